#include "daemon/guard/policy_store.h"

#include <sys/epoll.h>

#include <algorithm>
#include <deque>
#include <utility>

namespace postern {
namespace {

using policy::Settling;
using std::chrono::duration_cast;
using std::chrono::microseconds;

constexpr microseconds timer_accuracy = std::chrono::milliseconds(5);

}  // namespace

Result<std::unique_ptr<PolicyStore>> PolicyStore::create(sd_event* event,
                                                         policy::LoadOptions options, Loaded loaded,
                                                         std::chrono::nanoseconds retry) {
    std::unique_ptr<PolicyStore> store(new PolicyStore(event, std::move(loaded)));
    // Before the first load: what changes while that reads is seen.
    const PolicyWatch watch(options.system_settings);
    store->watch(event, watch);
    auto worker = Files::create(
        event,
        [reader = std::make_shared<PolicyReader>(std::move(options), watch, retry)](
            const Asked& asked) -> std::optional<Outcome> {
            PolicyRead read = reader->read(asked.why);
            if (asked.quietly && read.looked) return std::nullopt;
            return Outcome{std::move(read), asked};
        },
        [raw = store.get()](std::vector<Outcome> outcomes) { raw->on_read(std::move(outcomes)); });
    if (!worker) return fail("action files: " + worker.error().message);
    store->files_ = std::move(*worker);
    return store;
}

PolicyStore::PolicyStore(sd_event* event, Loaded loaded)
    : loaded_(std::move(loaded)),
      soon_(
          event,
          [this] {
              changing_ = false;
              order(ReadWhy::look, false);
          },
          timer_accuracy),
      again_(event, [this] { order(ReadWhy::again, false); }, timer_accuracy) {}

// What is not begun yet is one order, however often it is asked for.
std::uint64_t PolicyStore::order(ReadWhy why, bool quietly) {
    const Asked asked{why, ++requested_, quietly, Clock::now()};
    files_->order([&](std::deque<Asked>& waiting) {
        if (waiting.empty()) return waiting.push_back(asked);
        Asked& other = waiting.back();
        other = {std::max(why, other.why), asked.request, quietly && other.quietly, asked.at};
    });
    return requested_;
}

std::uint64_t PolicyStore::load() {
    return order(marks_ ? ReadWhy::asked : ReadWhy::started, false);
}

std::uint64_t PolicyStore::look() {
    return order(ReadWhy::look, false);
}

bool PolicyStore::is_current(const std::string& action) {
    if (!marks_) return false;
    const auto now = Clock::now();
    if (remote_ && now - looked_ >= look_time) return false;
    if (now - std::max(looked_, look_ordered_) >= look_time) {
        look_ordered_ = now;
        order(ReadWhy::look, true);
    }
    const bool rests = action.empty() ? restless_.empty() : !restless_.contains(action);
    if (!rests || !policy::are_same(*marks_, action)) return false;
    const auto program = programs_->find(action);
    return program == programs_->end() ||
           policy::mark_of(program->second.path, true) == program->second.mark;
}

void PolicyStore::on_read(std::vector<Outcome> outcomes) {
    for (Outcome& outcome : outcomes) take(outcome);
}

void PolicyStore::take(Outcome& outcome) {
    PolicyRead& read = outcome.read;
    if (read.snapshot) {
        marks_ = read.marks;
        programs_ = read.programs;
        restless_ = read.restless;
        remote_ = policy::any_remote(*marks_);
        looked_ = outcome.asked.at;
    }
    if (read.looked) {
        // What it waits for is as far away as it was.
    } else if (read.again) {
        (void)again_.arm(std::chrono::ceil<microseconds>(*read.again));
    } else {
        again_.disarm();
    }
    loaded_(std::move(read), outcome.asked.request);
}

void PolicyStore::watch(sd_event* event, const PolicyWatch& watch) {
    if (!watch.sees_changes()) return;
    (void)add_io(event, watching_, watch.descriptor(), EPOLLIN,
                 [this, watch](std::uint32_t) { on_changes(watch); });
}

// Not at once: what changes now is not at rest. But not put off by what changes after it: what is
// not at rest by then is known to the reader from then on.
void PolicyStore::on_changes(const PolicyWatch& watch) {
    if (!watch.changed() || std::exchange(changing_, true)) return;
    (void)soon_.arm(duration_cast<microseconds>(Settling::quiet_time));
}

}  // namespace postern
