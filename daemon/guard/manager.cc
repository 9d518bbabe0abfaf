#include "daemon/guard/manager.h"

#include <pwd.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/counted.h"
#include "base/utf8.h"
#include "base/version.h"
#include "daemon/guard/open_sockets.h"
#include "daemon/guard/output_keeper.h"
#include "daemon/guard/service/log.h"
#include "daemon/guard/system_user.h"
#include "daemon/jobs/open/open_jobs.h"
#include "daemon/loop/child.h"

namespace postern {
namespace {

// Units that systemd is asked to start at a time: one more than it is at work on.
constexpr std::size_t units_at_once = 2;

constexpr const char* default_output_user = "postern-output";

std::string loaded_text(const policy::Snapshot& snapshot) {
    return counted_is(snapshot.actions.size(), "action") + " loaded, " +
           counted_is(snapshot.bad.size(), "file") + " bad";
}

}  // namespace

Result<std::unique_ptr<Manager>> Manager::create(const Configuration& configuration, uid_t uid,
                                                 std::uint64_t open_files) {
    std::unique_ptr<Manager> manager(new Manager(configuration, uid));
    sd_event* event = nullptr;
    if (const int r = sd_event_new(&event); r < 0) {
        return fail(std::string("event loop: ") + std::strerror(-r));
    }
    manager->event_.reset(event);
    POSTERN_TRY(auto turns, TurnLoop::create(event));
    manager->turns_ = std::move(turns);
    manager->notice_ = std::make_unique<ServiceNotice>(event);
    manager->notice_->keep_alive([raw = manager.get()] {
        if (raw->state_ == State::serving) raw->activity_->look();
    });

    POSTERN_TRY(manager->watch_signals());
    POSTERN_TRY(manager->spawner_, Spawner::create());
    POSTERN_TRY(auto sockets, open_sockets(configuration, uid));
    std::vector<Listener> listeners = std::move(sockets.listeners);
    POSTERN_TRY(const SessionSettings session, manager->session_settings());
    // Whoever has connected waits for it: it starts while all else is set up.
    auto first_session = spawn_session(event, session);
    POSTERN_TRY(manager->dropper_program_, open_helper("postern-dropper"));
    const Dropper::Source dropper{manager->spawner_.get(), manager->dropper_program_.get()};
    manager->closer_ = std::make_unique<ConnectionCloser>(event, dropper);
    // What waits behind a pipe that stands still is to be nobody's connection.
    manager->pipe_closer_ = std::make_unique<ConnectionCloser>(event, dropper);
    std::vector<std::string> of_callers;
    for (const Listener& listener : listeners) {
        if (!listener.datagram && !listener.administrator) of_callers.push_back(listener.name);
    }
    manager->started_by_its_sockets_ = sockets.all_passed;
    POSTERN_TRY(
        auto audit,
        Audit::create(event, configuration.audit, [](const std::string& message, bool trouble) {
            spdlog::log(trouble ? spdlog::level::err : spdlog::level::warn, "{}", message);
        }));
    manager->audit_ = std::move(audit);
    manager->report_ = std::make_unique<PolicyReport>(*manager->audit_);
    POSTERN_TRY(auto systemd, systemd_socket(configuration.jobs, uid));
    manager->systemd_socket_ = std::move(systemd);
    // The action files are read meanwhile; what was read is taken by the loop.
    POSTERN_TRY(manager->set_up_policy(std::move(of_callers)));
    POSTERN_TRY(manager->set_up_jobs(open_files));
    manager->set_up_sessions(listeners, session);
    manager->set_up_upkeep(listeners);
    POSTERN_TRY(manager->set_up_listeners(std::move(listeners)));
    manager->set_up_activity();
    POSTERN_TRY(manager->pool_->try_session(std::move(first_session)));
    return manager;
}

Manager::Manager(Configuration configuration, uid_t uid)
    : configuration_(std::move(configuration)), uid_(uid) {}

Manager::~Manager() = default;

void Manager::set_state(State state) {
    constexpr std::array<const char*, 4> names = {"starting", "serving", "reloading", "stopping"};
    spdlog::debug("guard: {} -> {}", names[static_cast<std::size_t>(state_)],
                  names[static_cast<std::size_t>(state)]);
    state_ = state;
}

Status Manager::watch_signals() {
    // Blocked in main() before any thread, so they come here and nowhere else.
    POSTERN_TRY(signals_, Signals::watch(event_.get(), {[this] { stop(); }, [this] { reload(); },
                                                        [this] { open_audit(); }}));
    return {};
}

Status Manager::set_up_listeners(std::vector<Listener> listeners) {
    const auto only_uid = uid_ == 0 ? std::nullopt : std::optional<uid_t>(uid_);
    std::vector<Listener> streams;
    std::vector<Listener> packets;
    for (Listener& listener : listeners) {
        (listener.datagram ? packets : streams).push_back(std::move(listener));
    }
    POSTERN_TRY(known_callers_, KnownCallers::create(event_.get(), *pool_, audit_->names()));
    const Limits& limits = configuration_.limits;
    acceptor_ = std::make_unique<Acceptor>(
        turns_->ready(), turns_->turns(), std::move(streams), *known_callers_,
        OwnerQueue<Acceptor::Waiting>::Bounds{limits.connections_per_user, limits.connections},
        only_uid);
    POSTERN_TRY(auto datagrams,
                Datagrams::create(turns_->ready(), turns_->turns(), std::move(packets), *pool_,
                                  *audit_, {spawner_.get(), dropper_program_.get()}, only_uid));
    datagrams_ = std::move(datagrams);
    return {};
}

// Jobs of a unit's guard outlive it, and so is to who keeps what they write.
Result<jobs::KeeperLink::Connect> Manager::output_keeper() {
    const std::string& runtime = configuration_.output_runtime;
    if (!systemd_socket_.empty() && !runtime.empty()) {
        return connect_to_keeper(runtime + "/socket", uid_ == 0 ? "postern-output.service"
                                                                : "--user postern-output.service");
    }
    POSTERN_TRY(auto program, open_helper("postern-output"));
    std::optional<std::pair<uid_t, gid_t>> ids;
    if (uid_ == 0) {
        std::string user = configuration_.output_user;
        if (user.empty()) {
            user = ::getpwnam(default_output_user) != nullptr ? default_output_user
                                                              : configuration_.session_user;
        }
        POSTERN_TRY(ids, ids_of_system_user("output", "--output-user", user));
    }
    return start_keeper(event_.get(), *spawner_, std::move(program), ids);
}

Status Manager::set_up_jobs(std::uint64_t open_files) {
    POSTERN_TRY(auto launcher, open_helper("postern-launcher"));
    const Limits& limits = configuration_.limits;
    jobs::Settings settings;
    settings.state_folder = configuration_.state;
    settings.runtime_folder = configuration_.runtime;
    settings.spawner = spawner_.get();
    settings.launcher = std::move(launcher);
    settings.systemd_socket = systemd_socket_;
    // With SELinux a program's domain may hang on who executes it.
    if (access("/sys/fs/selinux/enforce", F_OK) < 0) settings.spares = limits.spares;
    settings.kill_grace = limits.kill_grace;
    POSTERN_TRY(settings.connect_keeper, output_keeper());
    settings.ready = [this] { starts_->wake(); };
    settings.close_pipes = [this](std::vector<UniqueFd> ends) {
        pipe_closer_->close_pipes(std::move(ends));
    };
    settings.stored_output_bytes = limits.stored_output;
    settings.retention = {limits.records_per_user, limits.records, limits.stored_output_per_user,
                          limits.stored_output_total};
    settings.follower_stall = limits.follower_stall;
    settings.job_open_files = open_files;
    settings.notice = [](const std::string& message) { spdlog::warn("jobs: {}", message); };
    job_audit_ = std::make_unique<JobAudit>(*audit_, [this] { touch(); });
    jobs::StartRules starts;
    starts.per_second = limits.starts_per_user;
    starts.burst = 2 * limits.starts_per_user;
    // Without systemd each start is a process of its own, and they have the machine to share.
    if (!systemd_socket_.empty()) starts.at_once = units_at_once;
    starts_ = std::make_unique<jobs::StartQueue>(event_.get(), starts, [this] {
        return jobs_->ready() && jobs_->settled() && !jobs_->makes_room();
    });
    POSTERN_TRY(auto manager, jobs::open_jobs(event_.get(), std::move(settings), *job_audit_));
    jobs_ = std::move(manager);
    spdlog::debug("jobs are supervised by {}", jobs_->supervision());
    return {};
}

Result<SessionSettings> Manager::session_settings() {
    POSTERN_TRY(session_program_, open_helper("postern-session"));
    const Limits& limits = configuration_.limits;
    SessionSettings settings;
    settings.spawner = spawner_.get();
    settings.program = session_program_.get();
    settings.reply_output_bytes = limits.reply_output;
    settings.idle = limits.session_idle;
    // Each connection, and the two files of each of its jobs while it follows them.
    settings.descriptors = 3 * limits.connections_per_user + 64;
    if (uid_ == 0) {
        POSTERN_TRY(auto ids,
                    ids_of_system_user("session", "--session-user", configuration_.session_user));
        settings.ids = ids;
    }
    return settings;
}

void Manager::set_up_sessions(const std::vector<Listener>& listeners,
                              const SessionSettings& settings) {
    std::vector<SocketReport> sockets;
    sockets.reserve(listeners.size());
    for (const Listener& listener : listeners) {
        sockets.push_back({listener.name, listener.administrator, listener.datagram});
    }
    administration_ = std::make_unique<Administration>(
        *jobs_, std::move(sockets),
        Administration::Hooks{[this] { return pool_->report(); },
                              [this] { return upkeep_->problems(); }, [this] { return reload(); },
                              log_level, set_log_level});
    current_ = std::make_unique<CurrentPolicy>(
        event_.get(), turns_->turns(),
        CurrentPolicy::Bounds{configuration_.limits.jobs_per_user, configuration_.limits.jobs},
        CurrentPolicy::Hooks{
            [this](const std::string& action) { return policy_->is_current(action); },
            [this] { return policy_->look(); }});
    calls_ = std::make_unique<Calls>(*jobs_, *starts_, *job_audit_, configuration_.limits,
                                     *current_, *administration_);
    PoolHooks hooks;
    hooks.answered = [this](const SessionProcess& session, ConnectionInfo info,
                            channel::Reply reply) {
        datagrams_->packet_answered(session, std::move(info), std::move(reply));
    };
    hooks.dropped = [this](const SessionProcess& session) { datagrams_->packets_dropped(session); };
    hooks.changed = [this] { touch(); };
    pool_ =
        std::make_unique<SessionPool>(turns_->ready(), turns_->turns(), *closer_, *audit_, *calls_,
                                      std::move(hooks), configuration_.limits, settings);
}

void Manager::set_up_activity() {
    Activity::Hooks hooks;
    hooks.figures = [this] {
        return Activity::Figures{
            pool_->connections() + acceptor_->waiting() + known_callers_->waiting(),
            pool_->sessions(), pool_->packets() + datagrams_->waiting(),
            jobs_->active() + starts_->waiting() + current_->waiting(),
            job_audit_->trouble().empty() ? jobs_->record_problem() : job_audit_->trouble()};
    };
    hooks.idle = [this] { leave_idle(); };
    hooks.looked = [this] { upkeep_->look_now_and_then(); };
    activity_ = std::make_unique<Activity>(
        event_.get(), *notice_,
        started_by_its_sockets_ ? configuration_.limits.idle_exit : std::chrono::microseconds(0),
        std::move(hooks));
}

void Manager::touch() {
    if (activity_) activity_->touch();
}

Status Manager::set_up_policy(std::vector<std::string> sockets) {
    policy::LoadOptions options;
    options.folders = configuration_.actions;
    options.owner = uid_;
    options.default_timeout = configuration_.limits.timeout;
    options.systemd = !systemd_socket_.empty();
    options.sockets = std::move(sockets);
    auto store = PolicyStore::create(
        event_.get(), std::move(options),
        [this](const PolicyRead& read, std::uint64_t request) { loaded(read, request); });
    if (!store) return Unexpected(std::move(store).error());
    policy_ = std::move(*store);
    if (!policy_->sees_changes()) {
        spdlog::warn(
            "changes of action files, users and groups are not noticed before the next call: "
            "inotify is not available; see fs.inotify.max_user_instances");
    }
    policy_->load();
    return {};
}

void Manager::set_up_upkeep(const std::vector<Listener>& listeners) {
    auto sockets = std::make_unique<SocketWatch>(
        event_.get(), listeners, uid_ != 0, [this](Listener listener) {
            return listener.datagram ? datagrams_->add(std::move(listener))
                                     : acceptor_->add(std::move(listener));
        });
    upkeep_ = std::make_unique<Upkeep>(std::move(sockets), *jobs_, *audit_);
}

// It says in the log what has become of it.
void Manager::open_audit() {
    if (std::string_view(audit_->sink_name()) != "file") {
        spdlog::info("SIGUSR1: there is no audit file to open again, the audit goes to {}",
                     audit_->sink_name());
    }
    static_cast<void>(audit_->ready());
}

void Manager::leave_idle() {
    // The next guard would not know of them.
    if (ranges_kept_) {
        spdlog::info(
            "nothing to do, but not exiting: subordinate ids that were taken away from "
            "a user still count as that user's while the daemon runs; restart it when no process "
            "and no file has them any more");
        return;
    }
    spdlog::info("nothing to do: exiting, the next call starts the daemon again");
    leave();
}

void Manager::loaded(const PolicyRead& read, std::uint64_t request) {
    if (state_ == State::stopping) return;
    const bool worked = read.snapshot != nullptr;
    if (!worked && state_ == State::starting) {
        spdlog::critical("{}", read.error);
        sd_event_exit(event_.get(), 1);
        return;
    }
    if (!worked && read.error != unreadable_) {
        spdlog::error(
            "{}; the loaded actions stay loaded, except those that are seen to have changed",
            read.error);
    }
    unreadable_ = read.error;
    if (worked && !read.same) {
        report_->say(in_force_, read);
        put_in_force(read.snapshot);
    }
    // Or the first one.
    const bool asked =
        state_ == State::starting || (state_ == State::reloading && request >= reload_);
    if (worked && (asked || !read.same)) {
        spdlog::info("{}{}", read.same ? "nothing has changed: " : "", loaded_text(*read.snapshot));
    }
    if (state_ == State::starting && !begin_to_serve()) return;
    activity_->set_policy(worked
                              ? loaded_text(*read.snapshot)
                              : "the action files can't be read; the loaded actions stay loaded");
    administration_->loaded(worked ? Result<policy::SnapshotPtr>(read.snapshot) : fail(read.error),
                            request);
    current_->loaded(request, worked, read.restless);
    if (asked) {
        set_state(State::serving);
        notice_->say("READY=1");
    }
    if (asked || !worked || !read.same) notice_->say_status(activity_->text());
}

// False: it could not.
bool Manager::begin_to_serve() {
    Status started = acceptor_->start();
    if (started) started = datagrams_->start();
    if (started) {
        upkeep_->start();
        activity_->touch();
    }
    if (!started) {
        spdlog::critical("{}", started.error().message);
        sd_event_exit(event_.get(), 1);
        return false;
    }
    for (const auto* listeners : {&acceptor_->listeners(), &datagrams_->listeners()}) {
        for (const Listener& listener : *listeners) {
            spdlog::info("listening on {}", listener.name);
        }
    }
    spdlog::info("posternd {} is ready, audit goes to {}", version, audit_->sink_name());
    return true;
}

void Manager::put_in_force(const policy::SnapshotPtr& snapshot) {
    in_force_ = snapshot;
    ranges_kept_ = snapshot->people.ranges_kept;
    calls_->set_snapshot(snapshot);
    pool_->set_snapshot(snapshot);
    datagrams_->set_snapshot(*snapshot);
    known_callers_->set_snapshot(snapshot);
    audit_->names().set_snapshot(snapshot);
    jobs_->actions_changed(snapshot);
}

int Manager::run() {
    const int code = sd_event_loop(event_.get());
    return code < 0 ? 1 : code;
}

std::uint64_t Manager::reload() {
    if (state_ == State::stopping) return std::numeric_limits<std::uint64_t>::max();
    if (state_ == State::starting) return policy_->load();
    set_state(State::reloading);
    upkeep_->look();
    // steady_clock is CLOCK_MONOTONIC, which sd_notify(3) asks for.
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now().time_since_epoch());
    notice_->say("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
    return reload_ = policy_->load();
}

void Manager::stop() {
    if (state_ == State::stopping) {
        spdlog::warn("asked to stop a second time: exiting at once; jobs that still run {}",
                     systemd_socket_.empty() ? "are killed" : "continue");
        sd_event_exit(event_.get(), 0);
        return;
    }
    const std::size_t running = jobs_->active();
    if (systemd_socket_.empty()) {
        spdlog::info("stopping; {} ended", counted_is(running, "job"));
    } else {
        spdlog::info("stopping; {} {}", counted(running, "job"),
                     running == 1 ? "continues" : "continue");
    }
    leave();
}

// From here on nothing is accepted: who connects waits in the backlog for the next guard.
void Manager::leave() {
    set_state(State::stopping);
    notice_->say("STOPPING=1");
    upkeep_->stop();
    activity_->stop();
    acceptor_->stop();
    known_callers_->stop();
    // Packets that were received are answered first. Who waits for a turn then is refused, and may
    // try again with the next guard. Then jobs, so that the sessions can still tell how they ended.
    datagrams_->stop([this] {
        current_->close();
        starts_->close();
        jobs_->shut_down([this] { pool_->shut_down([this] { sd_event_exit(event_.get(), 0); }); });
    });
}

}  // namespace postern
