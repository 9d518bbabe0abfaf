#include "tests/unit/daemon/jobs/keepers.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "daemon/channel/transport.h"
#include "daemon/loop/child.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {

KeeperLink::Connect real_keeper(sd_event* event, Spawner& spawner, int program) {
    auto child = std::make_shared<std::unique_ptr<Child>>();
    return [event, &spawner, program, child]() -> Result<UniqueFd> {
        POSTERN_TRY(auto ends, channel::make_pair());
        constexpr std::uint64_t descriptors = 4096;
        std::vector<std::string> arguments{"postern-output"};
        if (geteuid() == 0) {
            const std::string user = std::to_string(keeper_user);
            arguments.insert(arguments.end(), {"--uid", user, "--gid", user});
        }
        POSTERN_TRY(*child, Child::spawn(event, spawner, program, arguments, ends.second.get(),
                                         descriptors, [](const std::string&) {}));
        return std::move(ends.first);
    };
}

KeeperLink::Connect FakeKeeper::connect(sd_event* event) {
    return [this, event]() -> Result<UniqueFd> {
        hear();  // what a guard that died has said
        POSTERN_TRY(auto ends, channel::make_pair());
        channel_ = std::move(ends.second);
        EXPECT_EQ(
            add_io(event, source_, channel_.get(), EPOLLIN, [this](std::uint32_t) { hear(); }), 0);
        return std::move(ends.first);
    };
}

void FakeKeeper::hear() {
    while (channel_) {
        channel::Received received = receiver_->receive(channel_.get());
        if (received.state == channel::Received::State::ended) {
            source_.reset();
            channel_.reset();
        }
        if (received.state != channel::Received::State::packet) return;
        const auto message = output::decode(received.packet);
        ASSERT_TRUE(message);
        take(*message, received.descriptors);
    }
}

void FakeKeeper::take(const output::Message& message, std::vector<UniqueFd>& descriptors) {
    switch (message.kind) {
        case output::Kind::hello:
            if (!silent_) speak();
            return;
        case output::Kind::want_pipes:
            asked_.push_back(message.count);
            return make_pipes(output::Kind::pipe, message.count);
        case output::Kind::want_inputs:
            asked_.push_back(message.count);
            return make_pipes(output::Kind::input, message.count);
        case output::Kind::keep:
            kept_.try_emplace({message.job, message.stream}, std::move(descriptors));
            return;
        case output::Kind::finish:
        case output::Kind::forget:
            std::erase_if(kept_, [&](const auto& one) { return one.first.first == message.job; });
            return;
        default:
            return;
    }
}

void FakeKeeper::write(const JobId& job, std::string_view text) const {
    const int pipe = kept_.at({job, 0})[0].get();
    const UniqueFd end(
        ::open(("/proc/self/fd/" + std::to_string(pipe)).c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(::write(end.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

void FakeKeeper::finished(const JobId& job) const {
    output::Message finished;
    finished.kind = output::Kind::finished;
    finished.job = job;
    say(finished, {});
}

void FakeKeeper::speak() {
    silent_ = false;
    for (const auto& [stream, own] : kept_) {
        output::Message kept;
        kept.kind = output::Kind::kept;
        kept.job = stream.first;
        kept.stream = stream.second;
        kept.floor = output::none;
        say(kept, std::array{own[0].get(), own[1].get()});
    }
    output::Message all;
    all.kind = output::Kind::all_kept;
    say(all, {});
}

void FakeKeeper::make_pipes(output::Kind kind, std::uint32_t count) const {
    output::Message message;
    message.kind = kind;
    for (std::uint32_t i = 0; i < count; ++i) {
        std::array<int, 2> pipe{-1, -1};
        ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
        const UniqueFd read_end(pipe[0]);
        const UniqueFd write_end(pipe[1]);
        say(message, pipe);
    }
}

// To one that has gone it is not said.
void FakeKeeper::say(const output::Message& message, std::span<const int> descriptors) const {
    EXPECT_NE(channel::send_packet(channel_.get(), output::encode(message), descriptors),
              channel::Sent::full);
}

}  // namespace postern::jobs
