#include "tests/unit/daemon/jobs/unit/fake_systemd.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include "daemon/jobs/unit/unit_message.h"

namespace postern::jobs {
namespace {

constexpr const char* manager_object = "/org/freedesktop/systemd1";
constexpr const char* manager_name = "org.freedesktop.systemd1.Manager";
constexpr const char* unit_prefix = "/org/freedesktop/systemd1/unit";
constexpr const char* no_such_unit = "org.freedesktop.systemd1.NoSuchUnit";
constexpr std::uint64_t some_time = 1'700'000'000'000'000;

struct FreeName {
    void operator()(char* text) const { std::free(text); }
};
using Name = std::unique_ptr<char, FreeName>;

std::string object_of(const std::string& unit) {
    char* path = nullptr;
    EXPECT_GE(sd_bus_path_encode(unit_prefix, unit.c_str(), &path), 0);
    return Name(path).get();
}

std::string text_in(sd_bus_message* call) {
    const char* text = nullptr;
    EXPECT_GE(sd_bus_message_read(call, "s", &text), 0);
    return text == nullptr ? "" : text;
}

void say_error(sd_bus_message* call, const char* name, const std::string& text) {
    // Fails where the one who asked is no more.
    static_cast<void>(sd_bus_reply_method_errorf(call, name, "%s", text.c_str()));
}

}  // namespace

const char* name_of(Event event) {
    constexpr std::array<const char*, 11> names = {"answer", "forked",  "executed", "removed",
                                                   "exits",  "settles", "goes",     "coalesced",
                                                   "reset",  "break",   "reload"};
    return names.at(static_cast<std::size_t>(event));
}

FakeSystemd::FakeSystemd(const std::string& socket, Version version)
    : version_(version),
      path_(socket),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    EXPECT_LT(socket.size(), sizeof(address.sun_path));
    std::strncpy(static_cast<char*>(address.sun_path), socket.c_str(),
                 sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
              0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
}

FakeSystemd::~FakeSystemd() = default;

void FakeSystemd::set_life(const Life& life, std::vector<Event> events) {
    life_ = life;
    events_ = std::move(events);
}

void FakeSystemd::add(Event event) {
    for (const std::string& name : units()) due_.push_back({name, event});
}

void FakeSystemd::refuse(std::string name, std::string message) {
    refusal_.emplace(std::move(name), std::move(message));
}

// ---- The connection ----

void FakeSystemd::accept_one() {
    UniqueFd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!peer) return;
    sd_bus* bus = nullptr;
    ASSERT_GE(sd_bus_new(&bus), 0);
    drop_connection();
    bus_.reset(bus);
    sd_id128_t id{};
    ASSERT_GE(sd_id128_randomize(&id), 0);
    const int fd = peer.release();
    ASSERT_GE(sd_bus_set_fd(bus, fd, fd), 0);
    ASSERT_GE(sd_bus_set_server(bus, 1, id), 0);
    ASSERT_GE(sd_bus_negotiate_fds(bus, 1), 0);
    ASSERT_GE(sd_bus_add_filter(bus, nullptr, on_message, this), 0);
    ASSERT_GE(sd_bus_start(bus), 0);
}

void FakeSystemd::drop_connection() {
    start_calls_.clear();
    bus_.reset();
}

bool FakeSystemd::turn() {
    if (bus_) {
        // Held while it is used: what is read may end the connection.
        sd_bus* bus = sd_bus_ref(bus_.get());
        // It authenticates: sd_bus_process() does not say whether it has come further.
        pollfd other{sd_bus_get_fd(bus), static_cast<std::int16_t>(sd_bus_get_events(bus)), 0};
        const bool moves = sd_bus_is_ready(bus) == 0 && poll(&other, 1, 0) > 0;
        const int done = sd_bus_process(bus, nullptr);
        const bool same = bus_.get() == bus;
        sd_bus_unref(bus);
        if (done < 0 && same) drop_connection();
        if (done != 0 || moves) return true;
    }
    if (play_launchers()) return true;
    pollfd waiting{listener_.get(), POLLIN, 0};
    if (poll(&waiting, 1, 0) <= 0) return false;
    accept_one();
    return true;
}

void FakeSystemd::answer_first(const std::function<void()>& what) {
    answered_version_ = false;
    std::atomic<bool> over = false;
    // The test waits meanwhile: all of this is the thread's until it has ended.
    std::thread beside([&] {
        while (!answered_version_ && !over) {
            if (turn()) continue;
            constexpr int look_again_ms = 20;
            std::array<pollfd, 2> fds = {
                {{listener_.get(), POLLIN, 0},
                 {bus_ ? sd_bus_get_fd(bus_.get()) : -1,
                  static_cast<std::int16_t>(bus_ ? sd_bus_get_events(bus_.get()) : 0), 0}}};
            poll(fds.data(), fds.size(), look_again_ms);
        }
    });
    what();
    over = true;
    beside.join();
}

void FakeSystemd::end_connection(Unread unread) {
    holds_ = true;
    while (turn()) {
    }
    holds_ = false;
    std::vector<Message> held;
    held.swap(held_);
    if (unread == Unread::lost) held.clear();
    if (unread == Unread::last_lost && !held.empty()) held.pop_back();
    for (const Message& message : held) handle(message.get());
    drop_connection();
}

// ---- What it is asked ----

int FakeSystemd::on_message(sd_bus_message* message, void* self, sd_bus_error* /*error*/) {
    auto& systemd = *static_cast<FakeSystemd*>(self);
    if (sd_bus_message_is_method_call(message, nullptr, nullptr) <= 0) return 0;
    if (systemd.holds_) {
        systemd.held_.emplace_back(sd_bus_message_ref(message));
    } else {
        systemd.handle(message);
    }
    return 1;
}

void FakeSystemd::handle(sd_bus_message* call) {
    const std::string_view member = sd_bus_message_get_member(call);
    if (member == "Get") return get(call);
    if (member == "StartTransientUnit") return start(call);
    if (member == "KillUnit") return kill(call);
    if (member == "StopUnit") return stop(call);
    if (member == "ResetFailedUnit") return reset_failed(call);
    if (member == "ListUnitsByPatterns") return list(call);
    ADD_FAILURE() << "systemd does not know " << member;
}

void FakeSystemd::get(sd_bus_message* call) {
    text_in(call);  // the interface
    const std::string property = text_in(call);
    ++questions_[property];
    const std::string path = sd_bus_message_get_path(call);
    if (path == manager_object) {
        if (property == "Version") {
            answered_version_ = true;
            const std::string version = std::to_string(static_cast<int>(version_));
            static_cast<void>(
                sd_bus_reply_method_return(call, "v", "s", (version + ".7-1").c_str()));
        } else {
            EXPECT_EQ(property, "Environment");
            static_cast<void>(
                sd_bus_reply_method_return(call, "v", "as", 2, "LANG=C", "STRANGE=1"));
        }
        return;
    }
    char* name = nullptr;
    ASSERT_GT(sd_bus_path_decode(path.c_str(), unit_prefix, &name), 0) << path;
    const Name unit(name);
    get_of_unit(call, property, find(unit.get()));
}

// One that is asked for is loaded, whatever its name; of one that there is not the answers are
// those of a service that never ran.
void FakeSystemd::get_of_unit(sd_bus_message* call, const std::string& property,
                              const Unit* known) {
    const Unit none;
    const Unit& unit = known != nullptr ? *known : none;
    const std::map<std::string, std::string> texts = {
        {"Description", unit.description},
        {"LoadState", known != nullptr ? "loaded" : "not-found"},
        {"ActiveState", unit.active},
        {"SubState", unit.sub},
        {"Result", unit.result},
        {"ControlGroup", unit.sub == "running" ? "/postern.slice/job" : ""},
    };
    const std::map<std::string, std::int32_t> numbers = {
        {"ExecMainCode", unit.main_code},
        {"ExecMainStatus", unit.main_status},
    };
    std::map<std::string, std::uint64_t> counts = {
        {"ActiveEnterTimestampMonotonic", unit.active_since},
        {"ExecMainStartTimestamp", unit.main_started},
        {"ExecMainExitTimestamp", unit.main_exited},
        {"CPUUsageNSec", known != nullptr ? 5'000'000 : UINT64_MAX},
    };
    if (version_ == Version::v257) {
        counts["ExecMainHandoffTimestampMonotonic"] = unit.executed;
        counts["MemoryPeak"] = known != nullptr ? 1 << 20 : UINT64_MAX;
    }
    if (const auto text = texts.find(property); text != texts.end()) {
        static_cast<void>(sd_bus_reply_method_return(call, "v", "s", text->second.c_str()));
    } else if (const auto number = numbers.find(property); number != numbers.end()) {
        static_cast<void>(sd_bus_reply_method_return(call, "v", "i", number->second));
    } else if (const auto count = counts.find(property); count != counts.end()) {
        static_cast<void>(sd_bus_reply_method_return(call, "v", "t", count->second));
    } else {
        say_error(call, SD_BUS_ERROR_UNKNOWN_PROPERTY, "Unknown property " + property);
    }
}

void FakeSystemd::start(sd_bus_message* call) {
    const std::string name = text_in(call);
    EXPECT_EQ(text_in(call), "fail");
    Unit unit;
    ASSERT_GT(sd_bus_message_enter_container(call, 'a', "(sv)"), 0);
    while (sd_bus_message_enter_container(call, 'r', "sv") > 0) {
        const std::string property = text_in(call);
        read_property(call, property, unit);
        ASSERT_GE(sd_bus_message_exit_container(call), 0);
    }
    const bool is_fence = unit.description == fence_description;
    if (!is_fence && std::exchange(break_at_start_, false)) return drop_connection();
    if (!is_fence && refusal_) {
        say_error(call, refusal_->first.c_str(), refusal_->second);
        return refusal_.reset();
    }
    if (units_.contains(name)) {
        return say_error(call, "org.freedesktop.systemd1.UnitExists",
                         "Unit " + name + " was already loaded or has a fragment file.");
    }
    calls_.push_back(is_fence ? "fence" : "start");
    if (is_fence) {
        unit.active = "active";
        unit.sub = "running";
        units_.emplace(name, std::move(unit));
        static_cast<void>(sd_bus_reply_method_return(call, "o", "/org/freedesktop/systemd1/job/1"));
        return;
    }
    ++starts_;
    ++starts_of_[name];
    unit.life = life_;
    unit.job = ++last_job_;
    const bool is_spare = unit.is_spare;
    const Unit& made = units_.emplace(name, std::move(unit)).first->second;
    start_calls_[name].reset(sd_bus_message_ref(call));
    tell_unit("UnitNew", name);
    tell_job("JobNew", name, made.job);
    tell_other("shutdown.target");
    tell_other("postern.slice");
    const std::vector<Event> of_spare = {Event::answer, Event::forked, Event::executed,
                                         Event::job_removed};
    for (const Event event : is_spare ? of_spare : events_) due_.push_back({name, event});
}

void FakeSystemd::read_property(sd_bus_message* call, const std::string& property, Unit& unit) {
    const char* text = nullptr;
    if (property == "Description") {
        ASSERT_GE(sd_bus_message_read(call, "v", "s", &text), 0);
        unit.description = text;
    } else if (property == "CollectMode") {
        ASSERT_GE(sd_bus_message_read(call, "v", "s", &text), 0);
        unit.forgets_failed = std::string_view(text) == "inactive-or-failed";
    } else if (property == "ExitType") {
        ASSERT_GE(sd_bus_message_read(call, "v", "s", &text), 0);
        unit.waits_for_all = std::string_view(text) == "cgroup";
    } else if (property == "RuntimeMaxUSec") {
        ASSERT_GE(sd_bus_message_read(call, "v", "t", &runtime_max_), 0);
    } else if (property == "StandardInputFileDescriptor") {
        int given = -1;
        ASSERT_GE(sd_bus_message_read(call, "v", "h", &given), 0);
        struct stat status{};
        ASSERT_EQ(fstat(given, &status), 0);
        if (!S_ISSOCK(status.st_mode)) return;
        unit.is_spare = true;
        unit.socket = duplicate(given);
    } else {
        ASSERT_GE(sd_bus_message_skip(call, "v"), 0);
    }
}

// ---- The launchers in spares ----

bool FakeSystemd::say(Unit& unit, const std::string& text) {
    return send(unit.socket.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
}

void FakeSystemd::end_with(const std::string& name, Unit& unit, const Life& life) {
    unit.is_ordered = true;
    unit.life = life;
    due_.push_back({name, Event::exits});
    due_.push_back({name, Event::settles});
}

bool FakeSystemd::play_launchers() {
    return std::ranges::any_of(units_, [this](auto& entry) {
        Unit& unit = entry.second;
        const bool waits = unit.is_spare && !unit.is_ordered && unit.sub == "running";
        return waits && play_launcher(entry.first, unit);
    });
}

// One read, and what comes of it.
bool FakeSystemd::play_launcher(const std::string& name, Unit& unit) {
    const Life leaves = {"left", CLD_KILLED, launcher::leaving_signal(), "signal"};
    std::array<std::uint8_t, 4096> bytes{};
    const ssize_t got = recv(unit.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0) return false;
    if (got == 0) {
        end_with(name, unit, leaves);
        return true;
    }
    unit.order.insert(unit.order.end(), bytes.begin(), bytes.begin() + got);
    if (unit.order.size() < launcher::spare_header_bytes) return true;
    launcher::SpareHeader header{};
    std::copy_n(unit.order.begin(), header.size(), header.begin());
    const auto length = launcher::body_length(header);
    EXPECT_TRUE(length);
    if (unit.order.size() < header.size() + *length) return true;
    const auto order = launcher::decode_spare(std::span(unit.order).subspan(header.size()));
    EXPECT_TRUE(order);
    if (order) order_ = *order;
    unit.is_ordered = true;
    const Life killed = {"killed", CLD_KILLED, SIGKILL, "signal"};
    switch (launcher_) {
        case Launcher::executes:
            if (!say(unit, "A")) {
                end_with(name, unit, leaves);
                return true;
            }
            ++executions_[name];
            unit.life = life_;
            for (const Event event : events_) {
                if (event >= Event::exits) due_.push_back({name, event});
            }
            return true;
        case Launcher::can_not:
            say(unit, "AX\1\1\1\1");
            end_with(name, unit, {"not executed", CLD_EXITED, 203, "exit-code"});
            return true;
        case Launcher::refuses:
            say(unit, "N\1\1\1\1");
            end_with(name, unit, leaves);
            return true;
        case Launcher::says_nothing:
            return true;
        case Launcher::dies_before:
            end_with(name, unit, killed);
            return true;
        case Launcher::dies_afterwards:
            say(unit, "A");
            end_with(name, unit, killed);
            return true;
    }
    return true;
}

std::vector<std::string> FakeSystemd::waiting() const {
    std::vector<std::string> names;
    for (const auto& [name, unit] : units_) {
        if (unit.is_spare && !unit.is_ordered && unit.sub == "running") names.push_back(name);
    }
    return names;
}

void FakeSystemd::end_waiting(const std::string& unit) {
    end_with(unit, *find(unit), {"killed", CLD_KILLED, SIGKILL, "signal"});
}

void FakeSystemd::tell_of_mount(std::uint64_t changed_at) {
    static_cast<void>(sd_bus_emit_signal(
        bus_.get(), object_of("srv-data.mount").c_str(), "org.freedesktop.DBus.Properties",
        "PropertiesChanged", "sa{sv}as", "org.freedesktop.systemd1.Unit", 2, "ActiveState", "s",
        "active", "StateChangeTimestampMonotonic", "t", changed_at, 0));
}

void FakeSystemd::kill(sd_bus_message* call) {
    const std::string name = text_in(call);
    EXPECT_EQ(text_in(call), "all");
    std::int32_t signal = 0;
    ASSERT_GE(sd_bus_message_read(call, "i", &signal), 0);
    calls_.push_back("kill " + std::to_string(signal));
    Unit* unit = find(name);
    if (unit == nullptr) return say_error(call, no_such_unit, "Unit " + name + " not loaded.");
    static_cast<void>(sd_bus_reply_method_return(call, ""));
    if (signal == SIGCONT || signal == ignored_) return;
    if (unit->active != "active" || unit->main_code != 0) return;
    // A TERM counts as a success for systemd.
    unit->life = {"killed", CLD_KILLED, signal, signal == SIGTERM ? "success" : "signal"};
    std::erase_if(due_, [&name](const Due& due) {
        return due.unit == name && (due.event == Event::exits || due.event == Event::settles);
    });
    due_.push_back({name, Event::exits});
    due_.push_back({name, Event::settles});
}

void FakeSystemd::stop(sd_bus_message* call) {
    const std::string name = text_in(call);
    calls_.emplace_back("stop");
    Unit* unit = find(name);
    if (unit == nullptr) {
        return say_error(call, no_such_unit, "Unit " + name + " not loaded.");
    }
    unit->job = ++last_job_;
    tell(name, *unit);
    tell_job("JobNew", name, unit->job);
    const std::string job = "/org/freedesktop/systemd1/job/" + std::to_string(unit->job);
    static_cast<void>(sd_bus_reply_method_return(call, "o", job.c_str()));
    // One that has failed stays so.
    if (unit->active == "failed") return remove_job(name, "done");
    if (unit->sub == "running") {
        unit->active = "deactivating";
        unit->sub = "stop-sigterm";
        tell(name, *unit);
    }
    forget(name);
}

void FakeSystemd::reset_failed(sd_bus_message* call) {
    const std::string name = text_in(call);
    calls_.emplace_back("reset");
    const Unit* unit = find(name);
    if (unit == nullptr) return say_error(call, no_such_unit, "Unit " + name + " not loaded.");
    static_cast<void>(sd_bus_reply_method_return(call, ""));
    happen_to({name, Event::reset});
}

void FakeSystemd::list(sd_bus_message* call) {
    calls_.emplace_back("list");
    sd_bus_message* raw = nullptr;
    ASSERT_GE(sd_bus_message_new_method_return(call, &raw), 0);
    const Message answer(raw);
    ASSERT_GE(sd_bus_message_open_container(raw, 'a', "(ssssssouso)"), 0);
    std::array<const char*, 2> wanted{};
    ASSERT_GE(sd_bus_message_read(call, "as", 2, wanted.data(), &wanted[1]), 0);
    for (const auto& [name, unit] : units_) {
        if (unit.active != wanted[0] && unit.sub != wanted[1]) continue;
        ASSERT_GE(sd_bus_message_append(raw, "(ssssssouso)", name.c_str(), unit.description.c_str(),
                                        "loaded", unit.active.c_str(), unit.sub.c_str(), "",
                                        object_of(name).c_str(), 0U, "", "/"),
                  0);
    }
    ASSERT_GE(sd_bus_message_close_container(raw), 0);
    static_cast<void>(sd_bus_send(sd_bus_message_get_bus(call), raw, nullptr));
}

// ---- What happens ----

bool FakeSystemd::happen() {
    if (due_.empty()) return false;
    const Due due = due_.front();
    due_.pop_front();
    happen_to(due);
    return true;
}

void FakeSystemd::happen_to(const Due& due) {
    if (due.event == Event::disconnect) {
        // What was asked before it goes is still heard, as far as it was read.
        return drop_connection();
    }
    if (due.event == Event::reload) {
        tell_reloading(true);
        for (const auto& [name, unit] : units_) tell_unit("UnitRemoved", name);
        for (const auto& [name, unit] : units_) tell_unit("UnitNew", name);
        return tell_reloading(false);
    }
    if (due.event == Event::answer) {
        const auto call = start_calls_.extract(due.unit);
        const Unit* unit = find(due.unit);
        const std::string job = "/org/freedesktop/systemd1/job/" +
                                std::to_string(unit == nullptr ? last_job_ : unit->job);
        if (call) {
            static_cast<void>(sd_bus_reply_method_return(call.mapped().get(), "o", job.c_str()));
        }
        return;
    }
    Unit* unit = find(due.unit);
    if (unit == nullptr) return;
    switch (due.event) {
        case Event::job_removed:
            return remove_job(due.unit, unit->active == "failed" ? "failed" : "done");
        case Event::forked:
            if (unit->is_spare && forked_) forked_(due.unit);
            unit->main_pid = static_cast<std::uint32_t>(main_pid_);
            unit->main_started = some_time;
            // First of all it has a process, and is not being activated yet.
            tell(due.unit, *unit);
            unit->active = "activating";
            unit->sub = "start";
            tell(due.unit, *unit);
            return tell_job("PropertiesChanged", due.unit, unit->job);
        case Event::executed:
            if (version_ == Version::v257) {
                unit->executed = 6;
                tell(due.unit, *unit);
            }
            run(*unit, due.unit);
            return tell(due.unit, *unit);
        case Event::exits:
            return end_main(due.unit, *unit);
        case Event::settles:
            return settle(due.unit, *unit);
        case Event::coalesced:
            unit->main_started = some_time;
            run(*unit, due.unit);
            unit->main_code = unit->life.code;
            unit->main_status = unit->life.status;
            unit->result = unit->life.result;
            come_to_rest(*unit);
            return tell_job("JobRemoved", due.unit, std::exchange(unit->job, 0), "done");
        case Event::reset:
            if (unit->active != "failed") return;
            unit->result = "success";
            return forget(due.unit);
        default:
            return forget(due.unit);
    }
}

void FakeSystemd::run(Unit& unit, const std::string& name) {
    unit.active = "active";
    unit.sub = "running";
    unit.main_started = some_time;
    unit.active_since = 7;
    if (!unit.is_spare) ++executions_[name];
}

void FakeSystemd::come_to_rest(Unit& unit) {
    const bool good = unit.result == "success";
    unit.main_pid = 0;
    unit.active = good ? "active" : "failed";
    unit.sub = good ? "exited" : "failed";
}

// What ends by itself, with all that belongs to it, is told of once it has settled.
void FakeSystemd::end_main(const std::string& name, Unit& unit) {
    const bool others_remain = unit.life.leaves_others || unit.life.others_end;
    const std::string_view result = unit.life.result;
    if (result == "timeout" || unit.life.stopped) {
        // That it is ended is told before its process has ended.
        unit.result = result;
        unit.active = "deactivating";
        unit.sub = "stop-sigterm";
        tell(name, unit);
    }
    unit.main_code = unit.life.code;
    unit.main_status = unit.life.status;
    unit.main_exited = some_time + 4'000'000;
    unit.main_pid = 0;
    unit.result = result;
    if (result == "oom-kill") {
        // The others of it are ended.
        unit.active = "deactivating";
        unit.sub = "stop-sigterm";
        tell(name, unit);
    } else if (others_remain && unit.waits_for_all) {
        tell(name, unit);
    }
}

void FakeSystemd::settle(const std::string& name, Unit& unit) {
    if (unit.life.leaves_others && unit.waits_for_all) return;
    if (unit.life.stopped) return forget(name);
    if (unit.life.code == 0) unit.result = unit.life.result;
    come_to_rest(unit);
    tell(name, unit);
}

void FakeSystemd::forget(const std::string& name) {
    Unit* unit = find(name);
    if (unit == nullptr) return;
    unit->active = "inactive";
    unit->sub = "dead";
    unit->main_pid = 0;
    if (unit->job != 0) {
        remove_job(name, "done");
    } else {
        tell(name, *unit);
    }
    tell_unit("UnitRemoved", name);
    units_.erase(name);
}

// ---- What it tells ----

void FakeSystemd::tell(const std::string& name, const Unit& unit) {
    if (!bus_) return;
    const std::string path = object_of(name);
    const auto begin = [&](const char* interface) {
        sd_bus_message* raw = nullptr;
        EXPECT_GE(sd_bus_message_new_signal(bus_.get(), &raw, path.c_str(),
                                            "org.freedesktop.DBus.Properties", "PropertiesChanged"),
                  0);
        EXPECT_GE(sd_bus_message_append(raw, "s", interface), 0);
        EXPECT_GE(sd_bus_message_open_container(raw, 'a', "{sv}"), 0);
        return Message(raw);
    };
    const auto end = [&](const Message& message, const char* invalidated) {
        EXPECT_GE(sd_bus_message_close_container(message.get()), 0);
        EXPECT_GE(sd_bus_message_append(message.get(), "as", 1, invalidated), 0);
        // Fails where the one who listens is no more.
        static_cast<void>(sd_bus_send(bus_.get(), message.get(), nullptr));
    };
    const auto add = [](const Message& message, const char* property, const char* type,
                        auto... value) {
        EXPECT_GE(sd_bus_message_append(message.get(), "{sv}", property, type, value...), 0);
    };
    const Message service = begin("org.freedesktop.systemd1.Service");
    add(service, "MainPID", "u", unit.main_pid);
    add(service, "ControlPID", "u", 0U);
    add(service, "StatusText", "s", "");
    add(service, "Result", "s", unit.result.c_str());
    add(service, "UID", "u", 64001U);
    add(service, "ExecMainStartTimestamp", "t", unit.main_started);
    add(service, "ExecMainExitTimestampMonotonic", "t", std::uint64_t{0});
    if (version_ == Version::v257) {
        add(service, "ExecMainHandoffTimestamp", "t", std::uint64_t{0});
        add(service, "ExecMainHandoffTimestampMonotonic", "t", unit.executed);
    }
    add(service, "ExecMainCode", "i", unit.main_code);
    add(service, "ExecMainStatus", "i", unit.main_status);
    end(service, "ExecStart");
    const Message half = begin("org.freedesktop.systemd1.Unit");
    add(half, "ActiveState", "s", unit.active.c_str());
    add(half, "FreezerState", "s", "running");
    add(half, "SubState", "s", unit.sub.c_str());
    add(half, "ActiveEnterTimestampMonotonic", "t", unit.active_since);
    add(half, "InvocationID", "ay", 2, 1, 2);
    add(half, "ConditionResult", "b", 1);
    const std::string job = "/org/freedesktop/systemd1/job/" + std::to_string(unit.job);
    add(half, "Job", "(uo)", unit.job, unit.job == 0 ? "/" : job.c_str());
    end(half, "Conditions");
}

// It tells of every unit to everybody who is connected.
void FakeSystemd::tell_other(const char* name) {
    if (!bus_) return;
    static_cast<void>(
        sd_bus_emit_signal(bus_.get(), object_of(name).c_str(), "org.freedesktop.DBus.Properties",
                           "PropertiesChanged", "sa{sv}as", "org.freedesktop.systemd1.Unit", 2,
                           "ActiveState", "s", "failed", "SubState", "s", "failed", 0));
}

void FakeSystemd::tell_job(const char* signal, const std::string& unit, std::uint32_t job,
                           const char* result) {
    if (!bus_) return;
    const std::string path = "/org/freedesktop/systemd1/job/" + std::to_string(job);
    if (std::string_view(signal) == "PropertiesChanged") {
        static_cast<void>(sd_bus_emit_signal(
            bus_.get(), path.c_str(), "org.freedesktop.DBus.Properties", signal, "sa{sv}as",
            "org.freedesktop.systemd1.Job", 1, "State", "s", "running", 0));
    } else if (result == nullptr) {
        static_cast<void>(sd_bus_emit_signal(bus_.get(), manager_object, manager_name, signal,
                                             "uos", job, path.c_str(), unit.c_str()));
    } else {
        static_cast<void>(sd_bus_emit_signal(bus_.get(), manager_object, manager_name, signal,
                                             "uoss", job, path.c_str(), unit.c_str(), result));
    }
}

void FakeSystemd::tell_unit(const char* signal, const std::string& unit) {
    if (!bus_) return;
    static_cast<void>(sd_bus_emit_signal(bus_.get(), manager_object, manager_name, signal, "so",
                                         unit.c_str(), object_of(unit).c_str()));
}

void FakeSystemd::tell_reloading(bool begins) {
    if (!bus_) return;
    static_cast<void>(sd_bus_emit_signal(bus_.get(), manager_object, manager_name, "Reloading", "b",
                                         begins ? 1 : 0));
}

// What is new of the unit is told first, and that it has no job any more after that.
void FakeSystemd::remove_job(const std::string& name, const char* result) {
    Unit& unit = *find(name);
    tell(name, unit);
    tell_job("JobRemoved", name, std::exchange(unit.job, 0), result);
    tell(name, unit);
}

// ---- What a test asks ----

FakeSystemd::Unit* FakeSystemd::find(const std::string& name) {
    const auto found = units_.find(name);
    return found == units_.end() ? nullptr : &found->second;
}

int FakeSystemd::executions(const std::string& unit) const {
    const auto found = executions_.find(unit);
    return found == executions_.end() ? 0 : found->second;
}

int FakeSystemd::executions() const {
    int all = 0;
    for (const auto& [unit, times] : executions_) all += times;
    return all;
}

int FakeSystemd::starts(const std::string& unit) const {
    const auto found = starts_of_.find(unit);
    return found == starts_of_.end() ? 0 : found->second;
}

std::vector<std::string> FakeSystemd::units() const {
    std::vector<std::string> names;
    for (const auto& [name, unit] : units_) {
        if (unit.description != fence_description) names.push_back(name);
    }
    return names;
}

std::vector<std::string> FakeSystemd::being_started() const {
    std::vector<std::string> names;
    for (const auto& [name, unit] : units_) {
        const bool begun = unit.active == "inactive" || unit.active == "activating";
        if (begun && unit.main_code == 0) names.push_back(name);
    }
    return names;
}

void FakeSystemd::tell_of_others(int times) {
    for (; times > 0; --times) tell_other("basic.target");
}

void FakeSystemd::leave_unit(const std::string& name, bool has_failed) {
    Unit unit;
    if (!has_failed) unit.active_since = 7;
    unit.active = has_failed ? "failed" : "active";
    unit.sub = has_failed ? "failed" : "exited";
    units_.emplace(name, std::move(unit));
}

}  // namespace postern::jobs
