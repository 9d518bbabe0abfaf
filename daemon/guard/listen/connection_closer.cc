#include "daemon/guard/listen/connection_closer.h"

#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "daemon/guard/listen/socket_options.h"

namespace postern {
namespace {

// Until a process is tried to be had again.
constexpr std::chrono::milliseconds closer_retry_time{20};
// Until processes that have nothing to do are ended.
constexpr std::chrono::seconds tidy_time{1};

}  // namespace

ConnectionCloser::ConnectionCloser(sd_event* event, Dropper::Source source)
    : dropper_(source),
      again_(
          event, [this] { close_waiting(); }, std::chrono::milliseconds(1)),
      tidy_(event, [this] { tidy(); }) {}

void ConnectionCloser::close(UniqueFd connection) {
    // It got this from its listener when it was made, so none has come in by it.
    if (refuses_descriptors(connection.get())) return;
    std::vector<UniqueFd> alone;
    alone.push_back(std::move(connection));
    hand_over(std::move(alone));
}

void ConnectionCloser::close_pipes(std::vector<UniqueFd> ends) {
    if (!ends.empty()) hand_over(std::move(ends));
}

void ConnectionCloser::hand_over(std::vector<UniqueFd> descriptors) {
    if (!tidies_) tidies_ = tidy_.arm(tidy_time) >= 0;
    if (waiting_.empty() && dropper_.close(descriptors)) return;
    waiting_.push_back(std::move(descriptors));
    // Without a timer the next one goes on with it.
    close_waiting();
}

void ConnectionCloser::refuse(UniqueFd connection) {
    ::shutdown(connection.get(), SHUT_RDWR);
    close(std::move(connection));
}

void ConnectionCloser::close_waiting() {
    while (!waiting_.empty() && dropper_.close(waiting_.front())) waiting_.pop_front();
    if (!waiting_.empty()) (void)again_.arm(closer_retry_time);
}

void ConnectionCloser::tidy() {
    tidies_ = dropper_.tidy() && tidy_.arm(tidy_time) >= 0;
}

}  // namespace postern
