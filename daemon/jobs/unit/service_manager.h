// systemd as the supervisor of jobs: PID 1 over /run/systemd/private, or a user's own manager.
//
// The private socket and not the system bus: it is there before and without D-Bus, and its peers
// get the signals of all units without asking (systemd 252, 257). Every call is asynchronous; a
// connection that breaks (systemctl daemon-reexec) is made again, and what was not answered until
// then is answered with an error.
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/unit/unit_spec.h"
#include "daemon/loop/event_source.h"
#include "model/job.h"

namespace postern::jobs {

// Of a unit, as far as a job's result hangs on it.
struct UnitState {
    std::string description;
    std::string load;    // "not-found": there is no such unit (any more)
    std::string active;  // "activating", "active", "deactivating", "inactive", "failed"
    std::string sub;     // "start", "running", "exited", ...
    // As `active`, asked for once more when all the rest had been.
    std::string active_afterwards;
    std::string control_group;     // its path below the root of cgroups, "" where it has none
    std::string result;            // "success", "exit-code", "signal", "timeout", "oom-kill", ...
    std::int32_t main_code = 0;    // CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: it has not ended
    std::int32_t main_status = 0;  // exit code or signal
    Time main_started;             // the epoch: it has not
    // CLOCK_MONOTONIC; 0: never. With Type=exec active means that the program was executed.
    std::chrono::microseconds active_since{};
    std::chrono::microseconds executed{};  // 0 also where systemd does not know (before 256)
    std::optional<std::chrono::nanoseconds> cpu;
    std::optional<std::uint64_t> memory_peak_bytes;  // unknown before systemd 255
    Time main_exited;                                // the epoch: it has not
};

// What a signal told of a unit: may come when the unit itself can't be asked any more.
struct UnitChanges {
    std::optional<std::int32_t> main_code;
    std::optional<std::int32_t> main_status;
    std::optional<std::string> result;
};

// Why systemd did not do it.
struct CallError {
    std::string name;  // "org.freedesktop.systemd1.UnitExists"; empty: the connection broke
    std::string message;
};

// The name of a job's unit, and the job of a unit of that name. Empty: it is no job's.
std::string job_unit(const JobId& job);
JobId job_of_unit(std::string_view unit);

class ServiceManager {
  public:
    using StartReply = std::function<void(const std::optional<CallError>&)>;
    // Absent: the connection broke; the one who asks again after `connected` gets an answer.
    using StateReply = std::function<void(const std::optional<UnitState>&)>;
    struct Events {
        // Something about this unit may be new. From the loop.
        std::function<void(const std::string& unit, const UnitChanges& changes)> changed;
        // It is connected again: every unit may be new.
        std::function<void()> connected;
        std::function<void(const std::string& message)> notice;
    };

    // Connects and waits for systemd's first answer: not for inside the loop. Error: why it can't
    // be reached. `socket` is the path of its private socket.
    static Result<std::unique_ptr<ServiceManager>> connect(sd_event* event, std::string socket,
                                                           Events events);
    ~ServiceManager();
    ServiceManager(const ServiceManager&) = delete;
    ServiceManager& operator=(const ServiceManager&) = delete;

    // All of these are answered from the loop, never from inside the call.

    // Starts a job's unit, whose environment is what the spec says and what its sandbox asks for,
    // but nothing that systemd gives to every service. Precondition: every text is UTF-8 without
    // NUL, and the descriptors stay open until the answer.
    void start(const UnitSpec& spec, StartReply reply);
    // Takes the name with a unit that does nothing for some seconds, so that a call of another
    // connection that is still on its way comes too late. UnitExists: that one came first.
    void fence(const std::string& name, StartReply reply);
    void state(const std::string& name, StateReply reply);
    // A signal to every process of it.
    void kill(const std::string& name, int signal);
    // TERM, and after its time KILL, to what is left of it; then the unit is forgotten.
    void stop(const std::string& name);
    // Forgets a unit that has failed.
    void reset_failed(const std::string& name);
    // The names of the jobs' units that have failed and are not forgotten. Not answered where the
    // connection breaks.
    void failed_units(std::function<void(const std::vector<std::string>& names)> reply);

  private:
    struct UnrefBus {
        void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    };
    using Bus = std::unique_ptr<sd_bus, UnrefBus>;

    ServiceManager(sd_event* event, std::string socket, Events events);
    int open();  // 0 or a negative errno
    void get(const std::string& path, const char* interface, const char* property,
             std::function<void(sd_bus_message* answer)> reply);
    void call(sd_bus_message* message, std::function<void(sd_bus_message* answer)> reply);
    // A Manager's method whose answer is of no interest: what came of it shows in the unit.
    template <typename... Arguments>
    void tell(const char* method, const char* types, Arguments... arguments);
    void disconnected(sd_bus_message* message);
    void properties_changed(sd_bus_message* message);
    void job_removed(sd_bus_message* message);
    // A method as what sd-bus calls with a message.
    template <void (ServiceManager::*method)(sd_bus_message*)>
    static int forward(sd_bus_message* message, void* self, sd_bus_error* error);
    void reconnect();
    void answer_unsent();

    EventLoop event_;
    std::string socket_;
    Events events_;
    Bus bus_;
    Timer retry_timer_;
    // Calls that could not even be sent, until they are answered so.
    std::vector<std::function<void(sd_bus_message* answer)>> unsent_;
    Timer unsent_timer_;
};

}  // namespace postern::jobs
