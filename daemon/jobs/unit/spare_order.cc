#include "daemon/jobs/unit/spare_order.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "base/io.h"

namespace postern::jobs {
namespace {

using launcher::SpareAnswer;

// It has only to read and to write.
constexpr std::chrono::milliseconds answer_patience{100};
// A program that can't be executed is told of sooner than that; where the machine is busy it is
// looked at the process, so often at most.
constexpr std::chrono::milliseconds exec_patience{3};
constexpr int most_looks = 30;
// How long until it is looked again whether it is dead.
constexpr std::chrono::milliseconds late_look{500};
constexpr std::chrono::milliseconds accuracy{1};

}  // namespace

SpareOrder::SpareOrder(JobHost& host, ServiceManager& services, Spares& spares,
                       std::unique_ptr<Spare> spare, Hooks hooks)
    : host_(host),
      services_(services),
      spares_(spares),
      spare_(std::move(spare)),
      hooks_(std::move(hooks)),
      pid_(spare_->main ? spare_->main->pid() : 0),
      timer_(
          host.event(), [this] { look_again(); }, accuracy),
      self_(std::make_shared<SpareOrder*>(this)) {
    // Its job hears of that by itself, from now on.
    if (spare_->main) spare_->main->tell([](const auto& /*exit*/) {});
}

SpareOrder::~SpareOrder() {
    if (state_ == State::held) spares_.let_go(std::move(spare_));
}

// It may destroy this, and with it what is called.
void SpareOrder::call(Hook hook) {
    const auto called = hooks_.*hook;
    called();
}

void SpareOrder::give(const launcher::SpareOrder& order) {
    state_ = State::given;
    // From now on its record says what it is.
    unlink(spare_->marker.c_str());
    const auto bytes = launcher::encode_spare(order);
    const int socket = spare_->socket.get();
    const bool is_heard =
        add_io(host_.event(), source_, socket, EPOLLIN, [this](std::uint32_t) { hear(); }) >= 0;
    const bool is_sent = is_heard && bytes &&
                         send(socket, bytes->data(), bytes->size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                             static_cast<ssize_t>(bytes->size());
    static_cast<void>(timer_.arm(is_sent ? std::chrono::microseconds(answer_patience)
                                         : std::chrono::microseconds(0)));
}

// ---- What it says ----

void SpareOrder::read() {
    while (heard_bytes_ < heard_.size()) {
        const ssize_t got = recv(spare_->socket.get(), heard_.data() + heard_bytes_,
                                 heard_.size() - heard_bytes_, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) source_.reset();  // nobody has its end any more
        if (got <= 0) return;
        heard_bytes_ += static_cast<std::size_t>(got);
    }
}

void SpareOrder::hear() {
    read();
    // It says no more than that: whatever comes then is not from it.
    if (heard_bytes_ == heard_.size()) source_.reset();
    if (heard_bytes_ == 0) return;
    const bool takes = heard_[0] == static_cast<std::uint8_t>(SpareAnswer::taken);
    if (state_ == State::given) takes ? take() : withdraw();
}

bool SpareOrder::was_not_executed() {
    if (state_ == State::begun) return false;
    read();
    return heard_bytes_ > 1 && heard_[1] == static_cast<std::uint8_t>(SpareAnswer::not_executed);
}

void SpareOrder::take() {
    state_ = State::taken;
    static_cast<void>(timer_.arm(exec_patience));
    call(&Hooks::taken);
}

void SpareOrder::look_again() {
    switch (state_) {
        case State::given:
            // Its answer may have come in the same turn of the loop.
            hear();
            if (state_ == State::given) withdraw();
            return;
        case State::withdrawn:
            return look_whether_it_is_dead();
        case State::taken:
            if (was_not_executed()) return;
            if (++looks_ < most_looks && is_still_the_launcher()) {
                static_cast<void>(timer_.arm(exec_patience));
                return;
            }
            state_ = State::begun;
            return call(&Hooks::begun);
        default:
            return;
    }
}

// By its name, which all may read. Until it is reaped no other process has its number.
bool SpareOrder::is_still_the_launcher() const {
    constexpr std::size_t longest = 64;
    const auto name =
        read_file(host_.settings().proc_root + "/" + std::to_string(pid_) + "/comm", longest);
    return name && name->starts_with("postern-launche");
}

// ---- Where it does not answer ----

void SpareOrder::withdraw() {
    state_ = State::withdrawn;
    source_.reset();
    spares_.has_failed(spare_->action);
    services_.kill(spare_->unit, SIGKILL);
    static_cast<void>(timer_.arm(late_look));
}

void SpareOrder::changed(const UnitView& view) {
    spare_->view = view;
    const auto phase = view.phase();
    if (phase <= UnitView::Phase::running) return;
    if (state_ == State::given) {
        // It has died; perhaps after it has answered, in the same turn of the loop.
        read();
        if (heard_bytes_ > 0) return hear();
        withdraw();
    }
    if (state_ != State::withdrawn) return;
    if (phase != UnitView::Phase::over && phase != UnitView::Phase::gone) return;
    // It says nothing any more.
    read();
    if (heard_bytes_ > 0 && heard_[0] == static_cast<std::uint8_t>(SpareAnswer::taken)) {
        return take();
    }
    if (view.is_removed()) {
        state_ = State::failed;
        timer_.disarm();
        return call(&Hooks::failed);
    }
    if (phase == UnitView::Phase::gone || std::exchange(was_reset_, true)) return;
    services_.forget(spare_->unit, view.state().active == "failed");
}

void SpareOrder::look_whether_it_is_dead() {
    services_.kill(spare_->unit, SIGKILL);
    was_reset_ = false;
    static_cast<void>(timer_.arm(late_look));
    services_.state(spare_->unit, [weak = std::weak_ptr<SpareOrder*>(self_)](
                                      const std::optional<UnitState>& state) {
        const auto self = weak.lock();
        if (!self || !state) return;
        UnitView view = (*self)->spare_->view;
        view.take(*state);
        (*self)->changed(view);
    });
}

}  // namespace postern::jobs
