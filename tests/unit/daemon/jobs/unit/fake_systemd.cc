#include "tests/unit/daemon/jobs/unit/fake_systemd.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
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
    constexpr std::array<const char*, 9> names = {
        "answer", "forked", "executed", "removed", "exits", "settles", "goes", "break", "reload"};
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
    const std::string path = sd_bus_message_get_path(call);
    if (path == manager_object) {
        if (property == "Version") {
            answered_version_ = true;
            const std::string version = std::to_string(static_cast<int>(version_));
            static_cast<void>(sd_bus_reply_method_return(call, "v", "s", version.c_str()));
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
        {"Description", unit.description}, {"LoadState", known != nullptr ? "loaded" : "not-found"},
        {"ActiveState", unit.active},      {"SubState", unit.sub},
        {"Result", unit.result},           {"ControlGroup", "/postern.slice/job"},
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
        counts["ExecMainHandoffTimestampMonotonic"] = unit.active_since;
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
        } else {
            ASSERT_GE(sd_bus_message_skip(call, "v"), 0);
        }
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
    unit.life = life_;
    units_.emplace(name, std::move(unit));
    start_calls_[name].reset(sd_bus_message_ref(call));
    for (const Event event : events_) due_.push_back({name, event});
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
    if (find(name) == nullptr) {
        return say_error(call, no_such_unit, "Unit " + name + " not loaded.");
    }
    static_cast<void>(sd_bus_reply_method_return(call, "o", "/org/freedesktop/systemd1/job/2"));
    forget(name);
    tell_job_removed(name, "done");
}

void FakeSystemd::reset_failed(sd_bus_message* call) {
    const std::string name = text_in(call);
    calls_.emplace_back("reset");
    const Unit* unit = find(name);
    if (unit == nullptr) return say_error(call, no_such_unit, "Unit " + name + " not loaded.");
    static_cast<void>(sd_bus_reply_method_return(call, ""));
    if (unit->active == "failed") forget(name);
}

void FakeSystemd::list(sd_bus_message* call) {
    calls_.emplace_back("list");
    sd_bus_message* raw = nullptr;
    ASSERT_GE(sd_bus_message_new_method_return(call, &raw), 0);
    const Message answer(raw);
    ASSERT_GE(sd_bus_message_open_container(raw, 'a', "(ssssssouso)"), 0);
    for (const auto& [name, unit] : units_) {
        if (unit.active != "failed") continue;
        ASSERT_GE(sd_bus_message_append(raw, "(ssssssouso)", name.c_str(), unit.description.c_str(),
                                        "loaded", "failed", "failed", "", object_of(name).c_str(),
                                        0U, "", "/"),
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
        if (bus_) {
            static_cast<void>(
                sd_bus_emit_signal(bus_.get(), manager_object, manager_name, "Reloading", "b", 1));
        }
        return;
    }
    if (due.event == Event::answer) {
        const auto call = start_calls_.extract(due.unit);
        if (call) {
            static_cast<void>(sd_bus_reply_method_return(call.mapped().get(), "o",
                                                         "/org/freedesktop/systemd1/job/1"));
        }
        return;
    }
    if (due.event == Event::job_removed) return tell_job_removed(due.unit, "done");
    Unit* unit = find(due.unit);
    if (unit == nullptr) return;
    switch (due.event) {
        case Event::forked:
            unit->active = "activating";
            unit->sub = "start";
            unit->main_started = some_time;
            return tell_unit(due.unit, *unit);
        case Event::executed:
            unit->active = "active";
            unit->sub = "running";
            unit->main_started = some_time;
            unit->active_since = 7;
            ++executions_[due.unit];
            return tell_unit(due.unit, *unit);
        case Event::exits:
            return end_main(due.unit, *unit);
        case Event::settles:
            return settle(due.unit, *unit);
        default:
            return forget(due.unit);
    }
}

void FakeSystemd::end_main(const std::string& name, Unit& unit) {
    unit.main_code = unit.life.code;
    unit.main_status = unit.life.status;
    unit.main_exited = some_time + 4'000'000;
    unit.result = unit.life.result;
    if (unit.life.leaves_others && unit.waits_for_all) return tell_service(name, unit);
    if (unit.result != "success" || unit.life.stopped) {
        unit.active = "deactivating";
        unit.sub = "stop-sigterm";
        tell_unit(name, unit);
    }
    tell_service(name, unit);
}

void FakeSystemd::settle(const std::string& name, Unit& unit) {
    if (unit.life.leaves_others && unit.waits_for_all) return;
    if (unit.life.stopped) return forget(name);
    if (unit.life.code == 0) unit.result = unit.life.result;
    const bool good = unit.result == "success";
    unit.active = good ? "active" : "failed";
    unit.sub = good ? "exited" : "failed";
    tell_unit(name, unit);
}

void FakeSystemd::forget(const std::string& name) {
    const auto node = units_.extract(name);
    if (!node) return;
    Unit unit = node.mapped();
    unit.active = "inactive";
    unit.sub = "dead";
    tell_unit(name, unit);
}

void FakeSystemd::tell_unit(const std::string& name, const Unit& unit) {
    if (!bus_) return;
    static_cast<void>(sd_bus_emit_signal(
        bus_.get(), object_of(name).c_str(), "org.freedesktop.DBus.Properties", "PropertiesChanged",
        "sa{sv}as", "org.freedesktop.systemd1.Unit", 2, "ActiveState", "s", unit.active.c_str(),
        "SubState", "s", unit.sub.c_str(), 0));
}

void FakeSystemd::tell_service(const std::string& name, const Unit& unit) {
    if (!bus_) return;
    static_cast<void>(
        sd_bus_emit_signal(bus_.get(), object_of(name).c_str(), "org.freedesktop.DBus.Properties",
                           "PropertiesChanged", "sa{sv}as", "org.freedesktop.systemd1.Service", 4,
                           "MainPID", "u", 0U, "Result", "s", unit.result.c_str(), "ExecMainCode",
                           "i", unit.main_code, "ExecMainStatus", "i", unit.main_status, 0));
}

void FakeSystemd::tell_job_removed(const std::string& name, const char* result) {
    if (!bus_) return;
    static_cast<void>(sd_bus_emit_signal(bus_.get(), manager_object, manager_name, "JobRemoved",
                                         "uoss", 1U, "/org/freedesktop/systemd1/job/1",
                                         name.c_str(), result));
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

void FakeSystemd::leave_failed_unit(const std::string& name) {
    Unit unit;
    unit.active = "failed";
    unit.sub = "failed";
    units_.emplace(name, std::move(unit));
}

}  // namespace postern::jobs
