#include "daemon/output/keeper/descriptor_store.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace postern::output {
namespace {

constexpr std::chrono::seconds young{10};
constexpr std::chrono::seconds between_messages{1};
constexpr std::array<std::string_view, streams> suffixes = {".out", ".err"};
constexpr std::size_t job_digits = 32;

// Without FDPOLL=0 it drops a pipe that has no writer any more, whatever is in it.
std::string store_message(const std::string& name) {
    return "FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0";
}

std::string remove_message(const std::string& name) {
    return "FDSTOREREMOVE=1\nFDNAME=" + name;
}

}  // namespace

std::string DescriptorStore::name_of(const Mover::Name& name) {
    return name.job.text() + std::string(suffixes.at(name.stream));
}

std::optional<Mover::Name> DescriptorStore::parse(const std::string& name) {
    const std::string job = name.substr(0, job_digits);
    if (job.size() != job_digits ||
        job.find_first_not_of("0123456789abcdef") != std::string::npos) {
        return std::nullopt;
    }
    const auto suffix = std::ranges::find(suffixes, std::string_view(name).substr(job_digits));
    if (suffix == suffixes.end()) return std::nullopt;
    return Mover::Name{JobId(job), static_cast<std::uint8_t>(suffix - suffixes.begin())};
}

void DescriptorStore::add(const Mover::Name& name, int pipe, Clock::time_point now) {
    if (!manager_.is_there()) return;
    std::string text = name_of(name);
    // One of this name may still wait to be removed: then there would be two.
    if (!entries_.emplace(text, Entry{pipe, now}).second) return;
    order_.emplace_back(std::move(text), now);
}

void DescriptorStore::add_stored(const Mover::Name& name) {
    entries_.emplace(name_of(name), Entry{});
}

void DescriptorStore::remove(const Mover::Name& name, std::uint64_t owner,
                             std::vector<UniqueFd> descriptors) {
    const auto found = entries_.find(name_of(name));
    if (found == entries_.end() || found->second.pipe >= 0) {
        workers_.close(owner, std::move(descriptors));
    } else {
        removed_.emplace_back(found->first, Held{owner, std::move(descriptors)});
    }
    if (found == entries_.end()) return;
    entries_.erase(found);
    skip_removed();
}

void DescriptorStore::skip_removed() {
    while (!order_.empty()) {
        const auto found = entries_.find(order_.front().first);
        if (found != entries_.end() && found->second.pipe >= 0 &&
            found->second.since == order_.front().second) {
            return;
        }
        order_.pop_front();
    }
}

bool DescriptorStore::store_all() {
    if (!manager_.is_there()) return true;
    for (auto& [name, entry] : entries_) {
        if (entry.pipe < 0) continue;
        if (!manager_.say(store_message(name), entry.pipe)) return false;
        entry.pipe = -1;
    }
    // It may not have room for all. What it lets go of it must not be the last one to close.
    if (!asked_at_last_ && !answer_) asked_at_last_ = ask();
    return asked_at_last_ && !answer_;
}

std::optional<DescriptorStore::Clock::time_point> DescriptorStore::due() const {
    if (!removed_.empty() || (!unasked_.empty() && !answer_)) return next_;
    if (order_.empty()) return std::nullopt;
    return std::max(next_, order_.front().second + young);
}

void DescriptorStore::pass_time(Clock::time_point now) {
    const auto time = due();
    if (!time || *time > now) return;
    next_ = now + between_messages;
    if (!removed_.empty()) {
        if (manager_.say(remove_message(removed_.front().first))) {
            unasked_.push_back(std::move(removed_.front().second));
            removed_.pop_front();
        }
    } else if (unasked_.empty()) {
        Entry& entry = entries_.at(order_.front().first);
        if (!manager_.say(store_message(order_.front().first), entry.pipe)) return;
        entry.pipe = -1;
        order_.pop_front();
        skip_removed();
    }
    if (!unasked_.empty() && !answer_) (void)ask();
}

bool DescriptorStore::ask() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    UniqueFd answer(ends[0]);
    const UniqueFd question(ends[1]);
    if (!poll_.add(answer.get(), EPOLLIN, number_)) return false;
    if (!manager_.say("BARRIER=1", question.get())) {
        poll_.remove(answer.get());
        return false;
    }
    answer_ = std::move(answer);
    asked_ = std::exchange(unasked_, {});
    return true;
}

void DescriptorStore::answered() {
    poll_.remove(answer_.get());
    answer_.reset();
    for (Held& held : std::exchange(asked_, {})) {
        workers_.close(held.owner, std::move(held.descriptors));
    }
}

}  // namespace postern::output
