#include "daemon/jobs/unit/service_manager.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <tuple>

#include "daemon/jobs/unit/unit_message.h"
#include "daemon/jobs/unit/unit_news_reader.h"

namespace postern::jobs {
namespace {

constexpr const char* destination = "org.freedesktop.systemd1";
constexpr const char* manager_path = "/org/freedesktop/systemd1";
constexpr const char* manager_interface = "org.freedesktop.systemd1.Manager";
constexpr const char* unit_interface = "org.freedesktop.systemd1.Unit";
constexpr const char* service_interface = "org.freedesktop.systemd1.Service";
constexpr const char* properties_interface = "org.freedesktop.DBus.Properties";
constexpr const char* unit_path_prefix = "/org/freedesktop/systemd1/unit";

constexpr std::chrono::milliseconds retry_interval{100};
// Callers wait for what systemd says: finer than sd-event's own 250 ms.
constexpr std::chrono::milliseconds bus_timer_accuracy{1};
// A systemd that does not answer for so long is as good as gone.
constexpr std::chrono::microseconds call_patience = std::chrono::seconds(30);

// What systemd adds to the environment of a service by itself (systemd.exec(5), ENVIRONMENT
// VARIABLES IN SPAWNED PROCESSES), but for what a sandbox asks for (directories, credentials).
constexpr std::array<const char*, 8> added_by_systemd = {
    "INVOCATION_ID",         "JOURNAL_STREAM", "MANAGERPID",       "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE", "NOTIFY_SOCKET",  "SYSTEMD_EXEC_PID", "SYSTEMD_NSS_DYNAMIC_BYPASS",
};

struct FreeText {
    void operator()(char* text) const { std::free(text); }  // sd-bus allocates with malloc(3)
};
using Text = std::unique_ptr<char, FreeText>;

std::string path_of(const std::string& unit) {
    char* path = nullptr;
    if (sd_bus_path_encode(unit_path_prefix, unit.c_str(), &path) < 0) return {};
    return Text(path).get();
}

// Of a job's unit; empty: it is another's.
std::string unit_of(const char* path) {
    constexpr std::string_view jobs = "/org/freedesktop/systemd1/unit/postern_2djob_2d";
    if (path == nullptr || !std::string_view(path).starts_with(jobs)) return {};
    char* name = nullptr;
    if (sd_bus_path_decode(path, unit_path_prefix, &name) <= 0) return {};
    return Text(name).get();
}

// The address of a path: everything but some harmless characters escaped (D-Bus specification,
// "Server Addresses").
std::string address_of(std::string_view path) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string address = "unix:path=";
    for (const char c : path) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '/' || c == '-' || c == '_' || c == '.';
        if (plain) {
            address += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            address += {'%', digits[byte >> 4U], digits[byte & 0xFU]};
        }
    }
    return address;
}

std::optional<CallError> error_of(sd_bus_message* answer) {
    if (answer == nullptr) return CallError{};
    const sd_bus_error* error = sd_bus_message_get_error(answer);
    if (error == nullptr) return std::nullopt;
    const std::string_view name = error->name == nullptr ? "" : error->name;
    // Ours, for a connection that ended and a time that ran out.
    const bool broke = name == SD_BUS_ERROR_NO_REPLY || name == SD_BUS_ERROR_TIMEOUT ||
                       name == SD_BUS_ERROR_DISCONNECTED;
    return CallError{broke ? "" : std::string(name),
                     error->message == nullptr ? "" : error->message};
}

// One call under way. sd-bus destroys it with its slot.
struct Pending {
    std::function<void(sd_bus_message* answer)> reply;
};

int on_answer(sd_bus_message* answer, void* userdata, sd_bus_error* /*error*/) {
    // Out of there first: what is called may end the connection and so destroy this.
    const auto reply = std::move(static_cast<Pending*>(userdata)->reply);
    reply(answer);
    return 0;
}

void drop_pending(void* userdata) {
    const std::unique_ptr<Pending> dropped(static_cast<Pending*>(userdata));
}

// Reads the value of an answer to Properties.Get.
void read_text(sd_bus_message* answer, std::string& target) {
    const char* text = nullptr;
    if (sd_bus_message_read(answer, "v", "s", &text) >= 0 && text != nullptr) target = text;
}
template <typename Integer>
void read_number(sd_bus_message* answer, const char* type, Integer& target) {
    Integer number{};
    if (sd_bus_message_read(answer, "v", type, &number) >= 0) target = number;
}

// One that is not known is the highest of all.
std::optional<std::uint64_t> count_in(sd_bus_message* answer) {
    std::uint64_t read = UINT64_MAX;
    read_number(answer, "t", read);
    return read == UINT64_MAX ? std::nullopt : std::optional(read);
}
std::optional<std::chrono::nanoseconds> cpu_in(sd_bus_message* answer) {
    const auto nsec = count_in(answer);
    if (!nsec) return std::nullopt;
    return std::chrono::nanoseconds(static_cast<std::int64_t>(*nsec));
}

constexpr std::string_view job_unit_prefix = "postern-job-";
constexpr std::string_view job_unit_suffix = ".service";

}  // namespace

std::string job_unit(const JobId& job) {
    return std::string(job_unit_prefix).append(job.text()).append(job_unit_suffix);
}

JobId job_of_unit(std::string_view unit) {
    if (!unit.starts_with(job_unit_prefix) || !unit.ends_with(job_unit_suffix)) return {};
    unit.remove_prefix(job_unit_prefix.size());
    unit.remove_suffix(std::min(unit.size(), job_unit_suffix.size()));
    return JobId(std::string(unit));
}

Result<std::unique_ptr<ServiceManager>> ServiceManager::connect(sd_event* event, std::string socket,
                                                                Events events) {
    std::unique_ptr<ServiceManager> manager(
        new ServiceManager(event, std::move(socket), std::move(events)));
    const auto cannot = [&](int error) {
        return fail("systemd can't be reached at " + manager->socket_ + ": " +
                    std::strerror(-error));
    };
    if (const int r = manager->open(); r < 0) return cannot(r);
    sd_bus_message* raw = nullptr;
    const int r =
        sd_bus_call_method(manager->bus_.get(), destination, manager_path, properties_interface,
                           "Get", nullptr, &raw, "ss", manager_interface, "Version");
    const Message answer(raw);
    if (r < 0) return cannot(r);
    manager->take_version(answer.get());
    if (const int watched = manager->watch_bus(); watched < 0) return cannot(watched);
    return manager;
}

ServiceManager::ServiceManager(sd_event* event, std::string socket, Events events)
    : event_(sd_event_ref(event)),
      socket_(std::move(socket)),
      events_(std::move(events)),
      retry_timer_(
          event, [this] { reconnect(); }, bus_timer_accuracy),
      unsent_timer_(event, [this] { answer_unsent(); }, bus_timer_accuracy) {}

ServiceManager::~ServiceManager() = default;

int ServiceManager::open() {
    sd_bus* bus = nullptr;
    if (const int r = sd_bus_new(&bus); r < 0) return r;
    bus_.reset(bus);
    const std::string address = address_of(socket_);
    for (const int r : {
             sd_bus_set_description(bus, "systemd"),
             sd_bus_set_address(bus, address.c_str()),
             sd_bus_negotiate_fds(bus, 1),
             sd_bus_set_method_call_timeout(bus, static_cast<std::uint64_t>(call_patience.count())),
             sd_bus_add_match(bus, nullptr,
                              "type='signal',interface='org.freedesktop.DBus.Properties',"
                              "member='PropertiesChanged'",
                              forward<&ServiceManager::properties_changed>, this),
             sd_bus_add_match(bus, nullptr,
                              "type='signal',interface='org.freedesktop.systemd1.Manager',"
                              "member='JobRemoved'",
                              forward<&ServiceManager::job_removed>, this),
             sd_bus_add_match(bus, nullptr,
                              "type='signal',interface='org.freedesktop.systemd1.Manager',"
                              "member='UnitRemoved'",
                              forward<&ServiceManager::unit_removed>, this),
             sd_bus_add_match(bus, nullptr,
                              "type='signal',interface='org.freedesktop.systemd1.Manager',"
                              "member='Reloading'",
                              forward<&ServiceManager::reloading>, this),
             sd_bus_match_signal(bus, nullptr, nullptr, "/org/freedesktop/DBus/Local",
                                 "org.freedesktop.DBus.Local", "Disconnected",
                                 forward<&ServiceManager::disconnected>, this),
             sd_bus_start(bus),
         }) {
        if (r < 0) return r;
    }
    return 0;
}

template <void (ServiceManager::*method)(sd_bus_message*)>
int ServiceManager::forward(sd_bus_message* message, void* self, sd_bus_error* /*error*/) {
    (static_cast<ServiceManager*>(self)->*method)(message);
    return 0;
}

void ServiceManager::disconnected(sd_bus_message* /*message*/) {
    static_cast<void>(retry_timer_.arm(std::chrono::microseconds(0)));
}

void ServiceManager::reconnect() {
    source_.reset();
    bus_.reset();
    reloads_ = false;
    if (open() < 0 || watch_bus() < 0) {
        bus_.reset();
        static_cast<void>(retry_timer_.arm(retry_interval));
        return;
    }
    get(manager_path, manager_interface, "Version", [this](sd_bus_message* answer) {
        // Where it failed the connection broke again, and that is tried again by itself.
        if (error_of(answer)) return;
        take_version(answer);
        events_.connected();
    });
}

int ServiceManager::watch_bus() {
    auto source = std::make_unique<BusSource>(event_.get(), bus_.get());
    const int r = source->start();
    if (r >= 0) source_ = std::move(source);
    return r;
}

// "257.13-1~deb13u1": it may be another one than before.
void ServiceManager::take_version(sd_bus_message* answer) {
    std::string text;
    read_text(answer, text);
    version_ = 0;
    std::from_chars(text.data(), text.data() + text.size(), version_);
}

void ServiceManager::properties_changed(sd_bus_message* message) {
    const char* const path = sd_bus_message_get_path(message);
    const std::string unit = unit_of(path);
    if (!unit.empty()) return events_.changed(unit, Told::changed, read_news(message));
    if (!listens_for_mounts_ || path == nullptr || !std::string_view(path).ends_with("_2emount")) {
        return;
    }
    if (const auto at = read_news(message).changed_at) events_.mount_changed(*at);
}

void ServiceManager::job_removed(sd_bus_message* message) {
    const char* unit = nullptr;
    if (sd_bus_message_read(message, "uoss", nullptr, nullptr, &unit, nullptr) >= 0) {
        events_.changed(unit, Told::job_removed, {});
    }
}

void ServiceManager::unit_removed(sd_bus_message* message) {
    const char* unit = nullptr;
    // Those that it reads anew are there again in a moment.
    if (!reloads_ && sd_bus_message_read(message, "so", &unit, nullptr) >= 0) {
        events_.changed(unit, Told::removed, {});
    }
}

void ServiceManager::reloading(sd_bus_message* message) {
    int begins = 0;
    if (sd_bus_message_read(message, "b", &begins) < 0) return;
    reloads_ = begins != 0;
    if (!reloads_) events_.reloaded();
}

// ---- Calls ----

void ServiceManager::call(sd_bus_message* message,
                          std::function<void(sd_bus_message* answer)> reply) {
    auto pending = std::make_unique<Pending>(Pending{std::move(reply)});
    sd_bus_slot* slot = nullptr;
    if (!bus_ || sd_bus_call_async(bus_.get(), &slot, message, on_answer, pending.get(), 0) < 0) {
        // Not connected at the moment. Not from inside: from the loop, like every answer.
        unsent_.push_back(std::move(pending->reply));
        static_cast<void>(unsent_timer_.arm(retry_interval));
        return;
    }
    sd_bus_slot_set_destroy_callback(slot, drop_pending);
    std::ignore = pending.release();  // the slot's now
    sd_bus_slot_set_floating(slot, 1);
    sd_bus_slot_unref(slot);
    if (source_) source_->sent();
}

void ServiceManager::answer_unsent() {
    std::vector<std::function<void(sd_bus_message*)>> now;
    now.swap(unsent_);
    for (const auto& reply : now) reply(nullptr);
}

void ServiceManager::get(const std::string& path, const char* interface, const char* property,
                         std::function<void(sd_bus_message* answer)> reply) {
    sd_bus_message* raw = nullptr;
    if (bus_) {
        sd_bus_message_new_method_call(bus_.get(), &raw, destination, path.c_str(),
                                       properties_interface, "Get");
    }
    const Message message(raw);
    if (message) sd_bus_message_append(message.get(), "ss", interface, property);
    call(message.get(), std::move(reply));
}

void ServiceManager::environment_names(NamesReply reply) {
    get(manager_path, manager_interface, "Environment",
        [reply = std::move(reply)](sd_bus_message* answer) {
            if (auto error = error_of(answer)) return reply(Unexpected(*std::move(error)));
            std::vector<std::string> names;
            if (sd_bus_message_enter_container(answer, 'v', "as") >= 0 &&
                sd_bus_message_enter_container(answer, 'a', "s") >= 0) {
                const char* variable = nullptr;
                while (sd_bus_message_read(answer, "s", &variable) > 0) {
                    const std::string_view text(variable);
                    names.emplace_back(text.substr(0, text.find('=')));
                }
            }
            reply(std::move(names));
        });
}

void ServiceManager::start(const UnitSpec& spec, const std::vector<std::string>& environment_names,
                           StartReply reply) {
    std::vector<std::string> unset(added_by_systemd.begin(), added_by_systemd.end());
    unset.insert(unset.end(), environment_names.begin(), environment_names.end());
    // systemd (252) refuses a list that names one twice.
    std::ranges::sort(unset);
    const auto twice = std::ranges::unique(unset);
    unset.erase(twice.begin(), twice.end());
    static_cast<void>(std::erase_if(unset, [&spec](const std::string& name) {
        return std::ranges::any_of(spec.environment, [&](const std::string& variable) {
            return variable.starts_with(name + '=');
        });
    }));
    Result<Message> message =
        bus_ ? start_message(bus_.get(), spec, unset, own_directory()) : Message();
    if (!message) {
        // From the loop, like every answer.
        const CallError error{"message", message.error().message};
        unsent_.emplace_back([reply = std::move(reply), error](sd_bus_message*) { reply(error); });
        static_cast<void>(unsent_timer_.arm(retry_interval));
        return;
    }
    call(message->get(),
         [reply = std::move(reply)](sd_bus_message* started) { reply(error_of(started)); });
}

void ServiceManager::fence(const std::string& name, StartReply reply) {
    Result<Message> message = bus_ ? fence_message(bus_.get(), name) : Message();
    call(message ? message->get() : nullptr,
         [reply = std::move(reply)](sd_bus_message* answer) { reply(error_of(answer)); });
}

void ServiceManager::state(const std::string& name, StateReply reply) {
    struct Gathering {
        UnitState state;
        std::size_t left = 0;
        bool broke = false;
        StateReply reply;
    };
    auto gathering = std::make_shared<Gathering>();
    gathering->reply = std::move(reply);
    UnitState& state = gathering->state;
    using Reader = std::function<void(sd_bus_message * answer)>;
    struct Wanted {
        const char* interface;
        const char* property;
        Reader read;
    };
    const auto text = [](std::string& target) {
        return [&target](sd_bus_message* answer) { read_text(answer, target); };
    };
    const auto number = [](std::int32_t& target) {
        return [&target](sd_bus_message* answer) { read_number(answer, "i", target); };
    };
    const auto count = [](auto set) {
        return [set](sd_bus_message* answer) {
            if (const auto read = count_in(answer)) set(*read);
        };
    };
    const auto span = [&count](std::chrono::microseconds& target) {
        return count([&target](std::uint64_t usec) { target = time_of(usec).time_since_epoch(); });
    };
    // The states first: what is read after a final one can't change any more.
    const std::array<Wanted, 15> wanted = {{
        {unit_interface, "Description", text(state.description)},
        {unit_interface, "LoadState", text(state.load)},
        {unit_interface, "ActiveState", text(state.active)},
        {unit_interface, "SubState", text(state.sub)},
        {unit_interface, "ActiveEnterTimestampMonotonic", span(state.active_since)},
        {service_interface, "ControlGroup", text(state.control_group)},
        {service_interface, "Result", text(state.result)},
        {service_interface, "ExecMainCode", number(state.main_code)},
        {service_interface, "ExecMainStatus", number(state.main_status)},
        {service_interface, "ExecMainStartTimestamp",
         count([&state](std::uint64_t usec) { state.main_started = time_of(usec); })},
        {service_interface, "ExecMainExitTimestamp",
         count([&state](std::uint64_t usec) { state.main_exited = time_of(usec); })},
        {service_interface, "ExecMainHandoffTimestampMonotonic", span(state.executed)},
        {service_interface, "CPUUsageNSec",
         [&state](sd_bus_message* answer) { state.usage.cpu = cpu_in(answer); }},
        {service_interface, "MemoryPeak",
         [&state](sd_bus_message* answer) { state.usage.memory_peak_bytes = count_in(answer); }},
        {unit_interface, "ActiveState", text(state.active_afterwards)},
    }};
    gathering->left = wanted.size();
    const std::string path = path_of(name);
    for (const Wanted& one : wanted) {
        get(path, one.interface, one.property,
            [gathering, read = one.read](sd_bus_message* answer) {
                const auto error = error_of(answer);
                if (!error) read(answer);
                // An unknown property is an older systemd, or a unit that is no service: not there.
                if (error && error->name.empty()) gathering->broke = true;
                if (--gathering->left > 0) return;
                gathering->reply(gathering->broke ? std::nullopt : std::optional(gathering->state));
            });
    }
}

void ServiceManager::usage(const std::string& name, UsageReply reply) {
    constexpr int first_with_memory_peak = 255;
    const std::string path = path_of(name);
    auto used = std::make_shared<UnitUsage>();
    const bool has_peak = version_ >= first_with_memory_peak;
    // Answered in the order in which they are asked.
    get(path, service_interface, "CPUUsageNSec", [used, reply, has_peak](sd_bus_message* answer) {
        if (!error_of(answer)) used->cpu = cpu_in(answer);
        if (!has_peak) reply(*used);
    });
    if (!has_peak) return;
    get(path, service_interface, "MemoryPeak", [used, reply](sd_bus_message* answer) {
        if (!error_of(answer)) used->memory_peak_bytes = count_in(answer);
        reply(*used);
    });
}

void ServiceManager::control_group(const std::string& name, TextReply reply) {
    get(path_of(name), service_interface, "ControlGroup",
        [reply = std::move(reply)](sd_bus_message* answer) {
            if (error_of(answer)) return reply(std::nullopt);
            std::string group;
            read_text(answer, group);
            reply(group);
        });
}

template <typename... Arguments>
void ServiceManager::tell(const char* method, const char* types, Arguments... arguments) {
    sd_bus_message* raw = nullptr;
    if (!bus_ || sd_bus_message_new_method_call(bus_.get(), &raw, destination, manager_path,
                                                manager_interface, method) < 0) {
        return;
    }
    const Message message(raw);
    sd_bus_message_append(message.get(), types, arguments...);
    call(message.get(), [](sd_bus_message*) {});
}

void ServiceManager::kill(const std::string& name, int signal) {
    tell("KillUnit", "ssi", name.c_str(), "all", static_cast<std::int32_t>(signal));
}

void ServiceManager::stop(const std::string& name) {
    tell("StopUnit", "ss", name.c_str(), "replace");
}

void ServiceManager::reset_failed(const std::string& name) {
    tell("ResetFailedUnit", "s", name.c_str());
}

void ServiceManager::forget(const std::string& name, bool has_failed) {
    has_failed ? reset_failed(name) : stop(name);
}

void ServiceManager::units_that_are_over(
    std::function<void(const std::string& name, bool has_failed)> of_each) {
    sd_bus_message* raw = nullptr;
    if (bus_) {
        sd_bus_message_new_method_call(bus_.get(), &raw, destination, manager_path,
                                       manager_interface, "ListUnitsByPatterns");
    }
    const Message message(raw);
    if (message) {
        const std::string pattern = job_unit(JobId("*"));
        // States of each kind (systemctl --state): one that remains after its exit is active.
        sd_bus_message_append(message.get(), "asas", 2, "failed", "exited", 1, pattern.c_str());
    }
    call(message.get(), [of_each = std::move(of_each)](sd_bus_message* answer) {
        if (error_of(answer) || sd_bus_message_enter_container(answer, 'a', "(ssssssouso)") < 0) {
            return;
        }
        const char* name = nullptr;
        const char* active = nullptr;
        while (sd_bus_message_read(answer, "(ssssssouso)", &name, nullptr, nullptr, &active,
                                   nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) > 0) {
            of_each(name, std::string_view(active) == "failed");
        }
    });
}

}  // namespace postern::jobs
