// A systemd that a test plays: the private socket of PID 1, with units of which nothing really
// runs. What it tells by itself, and in which order, is what systemd 252 and 257 were heard to
// tell.
//
// It lives in the test's own thread and does nothing by itself: each turn() reads one message and
// answers it, each happen() lets one thing happen to a unit. So a test decides what comes before
// what, and where the connection breaks.
#pragma once

#include <systemd/sd-bus.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/launcher/spare_order.h"

namespace postern::jobs {

// What may happen to a unit once its start was asked for, as far as systemd tells of it.
enum class Event : std::uint8_t {
    answer,       // the call that starts it is answered
    forked,       // its process is there: activating
    executed,     // the program runs: active
    job_removed,  // systemd's own job, the start, is done
    exits,        // the main process has ended
    settles,      // and with it all others, or it remains after the exit: the final state
    goes,         // somebody else has stopped it: systemd forgets it
    coalesced,    // it runs and settles, and all that is told is that systemd's own job is done
    reset,        // somebody else has it forgotten, though it has failed
    disconnect,   // systemd executes itself anew (daemon-reexec)
    reload,       // ... or reads all units again (daemon-reload)
};
const char* name_of(Event event);

// How a unit's main process ends.
struct Life {
    const char* name = "";
    std::int32_t code = 0;  // CLD_EXITED, ...; 0: there never was a process
    std::int32_t status = 0;
    const char* result = "success";
    bool executed = true;
    bool stopped = false;        // by somebody else: not even failed, and forgotten
    bool leaves_others = false;  // processes that do not end by themselves
    bool others_end = false;     // ... that do, between `exits` and `settles`
};

// What the launcher does that waits in a spare, once it has its order.
enum class Launcher : std::uint8_t {
    executes,        // it takes it, and the program runs
    can_not,         // it takes it, and can't execute the program
    refuses,         // it leaves, and nothing was run
    says_nothing,    // it stands still
    dies_before,     // it is ended by somebody else before it has taken it
    dies_afterwards  // ... and after that, before it has executed anything
};

class FakeSystemd {
  public:
    enum class Version : int { v252 = 252, v257 = 257 };
    // What becomes of the calls of a connection that breaks, which were sent and not read.
    enum class Unread : std::uint8_t { lost, last_lost, done };

    FakeSystemd(const std::string& socket, Version version);
    ~FakeSystemd();
    FakeSystemd(const FakeSystemd&) = delete;
    FakeSystemd& operator=(const FakeSystemd&) = delete;

    // How the next units end, and what happens to each once its start was read; what is missing at
    // the end of `events` never happens.
    void set_life(const Life& life, std::vector<Event> events);
    // The main process of those that are forked from now on.
    void set_main_pid(pid_t pid) { main_pid_ = pid; }
    // Of spares, whose lives before their order are always the same: `forked` tells of each in
    // time.
    void set_launcher(Launcher what) { launcher_ = what; }
    void set_forked(std::function<void(const std::string& unit)> forked) {
        forked_ = std::move(forked);
    }
    // What was ordered last.
    [[nodiscard]] const launcher::SpareOrder& order() const { return order_; }
    // Spares whose launchers wait for an order.
    [[nodiscard]] std::vector<std::string> waiting() const;
    // Ended by somebody else.
    void end_waiting(const std::string& unit);
    void tell_of_mount(std::uint64_t changed_at);
    // RuntimeMaxUSec= of the unit that was started last; 0: none.
    [[nodiscard]] std::uint64_t runtime_max() const { return runtime_max_; }
    // One more thing that happens, to each unit whose start was read.
    void add(Event event);
    // The next start is refused with this error.
    void refuse(std::string name, std::string message);
    // The next start is neither begun nor answered: the connection breaks instead.
    void break_at_start() { break_at_start_ = true; }
    // Signals that a unit's process does not end of.
    void ignore_signal(int signal) { ignored_ = signal; }
    // Reads one message and answers it, or takes a connection. False: there is none.
    bool turn();
    // Lets the next thing happen. False: nothing is left to happen.
    bool happen();
    // Does `what`, which waits for the first answer of a systemd; it gets that one and no other.
    void answer_first(const std::function<void()>& what);
    // The connection ends: its other side has died, or systemd executes itself anew.
    void end_connection(Unread unread);
    [[nodiscard]] bool connected() const { return bus_ != nullptr; }

    // Of each unit: how often its program was executed.
    [[nodiscard]] int executions(const std::string& unit) const;
    [[nodiscard]] int executions() const;
    // Units of jobs, fences not counted.
    [[nodiscard]] std::vector<std::string> units() const;
    // "KillUnit 15" and so on: what was asked for but questions.
    [[nodiscard]] const std::vector<std::string>& calls() const { return calls_; }
    // How often each property was asked for.
    [[nodiscard]] const std::map<std::string, int>& questions() const { return questions_; }
    // Without fences.
    [[nodiscard]] int starts(const std::string& unit) const;
    [[nodiscard]] int starts() const { return starts_; }
    // Units whose start was read, and which are neither executed nor ended nor forgotten.
    [[nodiscard]] std::vector<std::string> being_started() const;
    // Puts a unit there of which nothing runs, as another guard or a former one might have left it:
    // it has failed, or remains after its exit.
    void leave_unit(const std::string& name, bool has_failed = true);
    // Tells so often that something of units is new that are no job's.
    void tell_of_others(int times);

  private:
    struct UnrefBus {
        void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
    };
    using Bus = std::unique_ptr<sd_bus, UnrefBus>;
    struct UnrefMessage {
        void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
    };
    using Message = std::unique_ptr<sd_bus_message, UnrefMessage>;

    struct Unit {
        std::string description;
        std::string active = "inactive";
        std::string sub = "dead";
        std::string result = "success";
        std::int32_t main_code = 0;
        std::int32_t main_status = 0;
        std::uint64_t main_started = 0;
        std::uint64_t main_exited = 0;
        std::uint32_t main_pid = 0;
        std::uint32_t job = 0;  // systemd's own, that has not been done
        std::uint64_t executed = 0;
        std::uint64_t active_since = 0;
        bool forgets_failed = false;  // CollectMode=inactive-or-failed
        bool waits_for_all = false;   // ExitType=cgroup
        Life life;
        UniqueFd socket;  // of a launcher that waits for its order
        std::vector<std::uint8_t> order;
        bool is_spare = false;
        bool is_ordered = false;
    };
    struct Due {
        std::string unit;
        Event event;
    };

    static int on_message(sd_bus_message* message, void* self, sd_bus_error* error);
    void accept_one();
    void drop_connection();
    void handle(sd_bus_message* call);
    void get(sd_bus_message* call);
    void get_of_unit(sd_bus_message* call, const std::string& property, const Unit* unit);
    void start(sd_bus_message* call);
    void kill(sd_bus_message* call);
    void stop(sd_bus_message* call);
    void reset_failed(sd_bus_message* call);
    void list(sd_bus_message* call);
    void read_property(sd_bus_message* call, const std::string& property, Unit& unit);
    bool play_launchers();
    bool play_launcher(const std::string& name, Unit& unit);
    bool say(Unit& unit, const std::string& text);
    void end_with(const std::string& name, Unit& unit, const Life& life);
    void happen_to(const Due& due);
    void end_main(const std::string& name, Unit& unit);
    void settle(const std::string& name, Unit& unit);
    void run(Unit& unit, const std::string& name);
    static void come_to_rest(Unit& unit);
    // All of the two halves, in their order.
    void tell(const std::string& name, const Unit& unit);
    void tell_other(const char* name);
    void tell_job(const char* signal, const std::string& unit, std::uint32_t job,
                  const char* result = nullptr);
    void tell_unit(const char* signal, const std::string& unit);
    void tell_reloading(bool begins);
    void remove_job(const std::string& name, const char* result);
    void forget(const std::string& name);
    [[nodiscard]] Unit* find(const std::string& name);

    Version version_;
    std::string path_;
    UniqueFd listener_;
    Bus bus_;
    std::map<std::string, Unit> units_;
    std::map<std::string, int> executions_;
    std::vector<std::string> calls_;
    std::map<std::string, int> questions_;
    int starts_ = 0;
    std::map<std::string, int> starts_of_;
    std::uint32_t last_job_ = 83;
    pid_t main_pid_ = 4711;
    bool answered_version_ = false;

    Life life_;
    std::vector<Event> events_;
    std::deque<Due> due_;
    std::map<std::string, Message> start_calls_;  // not answered yet, by unit
    std::optional<std::pair<std::string, std::string>> refusal_;
    bool break_at_start_ = false;
    Launcher launcher_ = Launcher::executes;
    std::function<void(const std::string&)> forked_;
    launcher::SpareOrder order_;
    std::uint64_t runtime_max_ = 0;
    int ignored_ = 0;
    bool holds_ = false;  // messages are kept and not handled
    std::vector<Message> held_;
};

}  // namespace postern::jobs
