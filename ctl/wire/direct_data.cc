#include "ctl/wire/direct_data.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace postern::ctl {
namespace {

// Of one turn: more than a pipe holds, unless somebody has widened it.
constexpr std::size_t turn_bytes = std::size_t{1} << 20;

// It is large data.
constexpr std::uint64_t large_bytes = std::uint64_t{1} << 20;

// Ours alone: the other end has a description of its own.
void never_block(int pipe) {
    (void)fcntl(pipe, F_SETFL, fcntl(pipe, F_GETFL) | O_NONBLOCK);
}

// Fewer turns for as many bytes. The job's pipe counts against what postern-output's user may have
// in all (pipe(7), /proc/sys/fs/pipe-user-pages-soft: 64 MiB as a rule), ours against our own
// share. Nothing depends on it: where the kernel grants no more, or it is no pipe, it stays as it
// is.
void widen(int pipe) {
    constexpr int bytes = 512 * 1024;
    if (fcntl(pipe, F_GETPIPE_SZ) < bytes) (void)fcntl(pipe, F_SETPIPE_SZ, bytes);
}

// Whoever writes to an empty pipe wakes us up. Without this the kernel lets us run in its place at
// once, so that we take its 4 KiB before it has written more: half as many bytes a second, and a
// third more of processor time. Where other programs keep the processors busy we then wait for a
// turn of theirs (sched(7)), some milliseconds: nothing for little that is to be there at once.
void let_others_write_on() {
    if (sched_getscheduler(0) != SCHED_OTHER) return;
    const sched_param none{};
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
}

// A job that reads no more is no reason to end.
class WithoutPipeSignal {
  public:
    WithoutPipeSignal() : former_(std::signal(SIGPIPE, SIG_IGN)) {}
    ~WithoutPipeSignal() { (void)std::signal(SIGPIPE, former_); }
    WithoutPipeSignal(const WithoutPipeSignal&) = delete;
    WithoutPipeSignal& operator=(const WithoutPipeSignal&) = delete;

  private:
    void (*former_)(int);
};

}  // namespace

bool is_pipe_end(int descriptor, PipeEnd end) {
    struct stat status{};
    if (fstat(descriptor, &status) != 0 || !S_ISFIFO(status.st_mode)) return false;
    const int flags = fcntl(descriptor, F_GETFL);
    return flags >= 0 && (flags & O_PATH) == 0 &&
           (flags & O_ACCMODE) == (end == PipeEnd::to_read ? O_RDONLY : O_WRONLY);
}

void DirectData::set_output(UniqueFd pipe, Flow flow) {
    never_block(pipe.get());
    widen(pipe.get());
    output_ = std::move(pipe);
    out_ = std::move(flow);
}

void DirectData::take_output(UniqueFd pipe) {
    const int from = pipe.get();
    widen(STDOUT_FILENO);
    set_output(std::move(pipe), Flow(from, STDOUT_FILENO));
}

void DirectData::take_output(UniqueFd pipe, Flow::Sink sink) {
    const int from = pipe.get();
    set_output(std::move(pipe), Flow(from, std::move(sink)));
}

void DirectData::give_input(UniqueFd pipe, int source, std::string name) {
    never_block(pipe.get());
    widen(pipe.get());
    widen(source);
    input_ = std::move(pipe);
    in_.emplace(source, input_.get());
    source_ = std::move(name);
}

void DirectData::watch(std::vector<pollfd>& watched) {
    for (const auto* flow : {&out_, &in_}) {
        const auto ends = *flow ? (*flow)->watched()
                                : std::array{pollfd{.fd = -1, .events = 0, .revents = 0},
                                             pollfd{.fd = -1, .events = 0, .revents = 0}};
        watched.insert(watched.end(), ends.begin(), ends.end());
    }
}

bool DirectData::ready() const {
    return (out_ && out_->ready()) || (in_ && in_->ready());
}

bool DirectData::go_on(std::span<const pollfd> watched) {
    if (out_) out_->seen(watched.subspan(0, 2));
    if (in_) in_->seen(watched.subspan(2, 2));
    if (out_ && out_->ready() && !move_output(turn_bytes)) return false;
    if (in_ && in_->ready() && !move_input()) return false;
    const auto large = [](const auto& flow) { return flow && flow->taken() >= large_bytes; };
    if (!large_ && (large(out_) || large(in_))) {
        large_ = true;
        let_others_write_on();
    }
    return true;
}

bool DirectData::move_output(std::size_t most) {
    if (!out_) return true;
    switch (out_->move(most)) {
        case Flow::Moved::some:
            return true;
        case Flow::Moved::end:
            // Nobody has the other end any more: it is still the daemon that says that the job
            // ended.
            out_.reset();
            return true;
        case Flow::Moved::failed:
            break;
    }
    failure_ = std::string(out_->read_failed() ? "the job's output" : "standard output") + ": " +
               std::strerror(out_->error());
    return false;
}

bool DirectData::move_input() {
    if (!in_) return true;
    const WithoutPipeSignal guard;
    const auto moved = in_->move(turn_bytes);
    if (moved == Flow::Moved::some) return true;
    const int error = in_->error();
    in_.reset();
    input_.reset();  // end of file
    if (moved == Flow::Moved::end || error == EPIPE) return true;
    failure_ = source_ + ": " + std::strerror(error);
    return false;
}

bool DirectData::finish(int interrupt) {
    in_.reset();
    input_.reset();
    int left = 0;
    if (!out_ || ioctl(output_.get(), FIONREAD, &left) != 0) left = 0;
    const auto all = out_ ? out_->taken() + static_cast<std::uint64_t>(std::max(left, 0)) : 0;
    while (out_ && (out_->taken() < all || !out_->empty())) {
        std::vector<pollfd> watched;
        watch(watched);
        watched.push_back({.fd = interrupt, .events = POLLIN, .revents = 0});
        if (poll(watched.data(), watched.size(), out_->ready() ? 0 : -1) < 0) continue;
        if (watched.back().revents != 0) return false;
        out_->seen(std::span(watched).first(2));
        if (!out_->ready()) continue;
        if (!move_output(static_cast<std::size_t>(all - out_->taken()))) return false;
    }
    return true;
}

}  // namespace postern::ctl
