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
#include "daemon/jobs/unit/bus_source.h"
#include "daemon/jobs/unit/unit_news.h"
#include "daemon/jobs/unit/unit_spec.h"
#include "daemon/loop/event_source.h"
#include "model/job.h"

namespace postern::jobs {

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
    using NamesReply = std::function<void(const Result<std::vector<std::string>, CallError>&)>;
    // Of a connection that breaks nothing is known.
    using UsageReply = std::function<void(const UnitUsage&)>;
    using TextReply = std::function<void(const std::optional<std::string>&)>;
    struct Events {
        // Of a job's unit. From the loop.
        std::function<void(const std::string& unit, Told told, const UnitNews& news)> changed;
        // It is connected again: every unit may be new.
        std::function<void()> connected;
        // systemd has read all units anew (daemon-reload), and forgot each of them for that.
        std::function<void()> reloaded;
        // A mount unit has changed its state at that time (CLOCK_MONOTONIC), or did so before and
        // is told of once more. Only while listen_for_mounts(true). May be empty.
        std::function<void(std::chrono::microseconds at)> mount_changed;
    };

    // Connects and waits for systemd's first answer: not for inside the loop. Error: why it can't
    // be reached. `socket` is the path of its private socket.
    static Result<std::unique_ptr<ServiceManager>> connect(sd_event* event, std::string socket,
                                                           Events events);
    ~ServiceManager();
    ServiceManager(const ServiceManager&) = delete;
    ServiceManager& operator=(const ServiceManager&) = delete;

    // Mounts are told of only then: there may be many, and nearly always nobody cares.
    void listen_for_mounts(bool listen) { listens_for_mounts_ = listen; }

    // All of these are answered from the loop, never from inside the call.

    // The names of variables that the manager gives every unit. Asked for each time: it does not
    // tell of changes.
    void environment_names(NamesReply reply);
    // Starts a job's unit, whose environment is what the spec says and what its sandbox asks for,
    // but nothing that systemd gives to every service, nor a variable of these names. Precondition:
    // every text is UTF-8 without NUL, and the descriptors stay open until the answer.
    void start(const UnitSpec& spec, const std::vector<std::string>& environment_names,
               StartReply reply);
    // Takes the name with a unit that does nothing for some seconds, so that a call of another
    // connection that is still on its way comes too late. UnitExists: that one came first.
    void fence(const std::string& name, StartReply reply);
    // All that is known of it, by many questions: where its signals may not tell all.
    void state(const std::string& name, StateReply reply);
    void usage(const std::string& name, UsageReply reply);
    // Its path below the root of cgroups. Absent: the connection broke.
    void control_group(const std::string& name, TextReply reply);
    // A signal to every process of it.
    void kill(const std::string& name, int signal);
    // TERM, and after its time KILL, to what is left of it; then the unit is forgotten.
    void stop(const std::string& name);
    // Forgets a unit that has failed.
    void reset_failed(const std::string& name);
    // One of the two, of a unit of which nothing runs any more.
    void forget(const std::string& name, bool has_failed);
    // The names of the jobs' units of which nothing runs any more and which are not forgotten. Not
    // answered where the connection breaks.
    void units_that_are_over(std::function<void(const std::string& name, bool has_failed)> of_each);

  private:
    struct UnrefBus {
        void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    };
    using Bus = std::unique_ptr<sd_bus, UnrefBus>;

    ServiceManager(sd_event* event, std::string socket, Events events);
    int open();  // 0 or a negative errno
    // Where units work by themselves: PID 1's in "/", a user's in the home, which is not known
    // here.
    [[nodiscard]] std::string_view own_directory() const {
        return socket_ == "/run/systemd/private" ? "/" : "";
    }
    void get(const std::string& path, const char* interface, const char* property,
             std::function<void(sd_bus_message* answer)> reply);
    void call(sd_bus_message* message, std::function<void(sd_bus_message* answer)> reply);
    // A Manager's method whose answer is of no interest: what came of it shows in the unit.
    template <typename... Arguments>
    void tell(const char* method, const char* types, Arguments... arguments);
    void disconnected(sd_bus_message* message);
    void properties_changed(sd_bus_message* message);
    void job_removed(sd_bus_message* message);
    void unit_removed(sd_bus_message* message);
    void reloading(sd_bus_message* message);
    // A method as what sd-bus calls with a message.
    template <void (ServiceManager::*method)(sd_bus_message*)>
    static int forward(sd_bus_message* message, void* self, sd_bus_error* error);
    void reconnect();
    int watch_bus();
    void take_version(sd_bus_message* answer);
    void answer_unsent();

    EventLoop event_;
    std::string socket_;
    Events events_;
    Bus bus_;
    std::unique_ptr<BusSource> source_;
    int version_ = 0;       // 257
    bool reloads_ = false;  // it reads all units anew
    bool listens_for_mounts_ = false;
    Timer retry_timer_;
    // Calls that could not even be sent, until they are answered so.
    std::vector<std::function<void(sd_bus_message* answer)>> unsent_;
    Timer unsent_timer_;
};

}  // namespace postern::jobs
