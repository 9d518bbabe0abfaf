// The spares of all actions: which there are, and when they are made and let go.
//
// One is made after a run of its action, when systemd has nothing else to do for us, and is let go
// a minute later; or, where the file says "spare": N, so many are kept. Whatever could make one
// differ from what would be set up now lets all of them go: other actions, accounts or groups, a
// mount, systemd reading its files anew. An action whose spare has died once, whatever for, has
// none until something of the actions has changed.
//
// The spares of a guard that died leave by themselves; what is left of their units is found by the
// files in its runtime directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "daemon/jobs/job_host.h"
#include "daemon/jobs/supervisor.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/jobs/unit/spare.h"
#include "daemon/jobs/unit/world_watch.h"
#include "daemon/loop/event_source.h"
#include "daemon/policy/arguments.h"
#include "daemon/policy/snapshot.h"

namespace postern::jobs {

class Spares {
  public:
    // `is_busy`: whether systemd has something to start for us. Host and services outlive it.
    Spares(JobHost& host, ServiceManager& services, std::function<bool()> is_busy);
    ~Spares();
    Spares(const Spares&) = delete;
    Spares& operator=(const Spares&) = delete;

    // These are loaded from now on.
    void actions_changed(const policy::SnapshotPtr& actions);
    // A job of this action has ended.
    void ran(const std::string& action);
    // One that waits for this action, if there is one and nothing has changed since. It is held
    // until handed() or drop().
    std::optional<Supervisor::Prepared> take(const policy::Action& action,
                                             const policy::Command& command);
    // The one of this id that was taken; null: there is none.
    std::unique_ptr<Spare> handed(const JobId& id);
    void drop(const JobId& id);
    // One that was handed and got no order.
    void let_go(std::unique_ptr<Spare> spare);
    // It got its order and did not do what it was told: its action has none for now.
    void has_failed(const std::string& action) { failed_.insert(action); }
    void let_all_go();
    // No more are made; as Supervisor::shut_down().
    void close(const std::function<void()>& done);

    // As UnitJob's. False: it is none of ours.
    bool changed(const std::string& unit, Told told, const UnitNews& news);
    void mount_changed(std::chrono::microseconds at);
    void reconnected();
    // Those of a guard before this one.
    void forget_left();

  private:
    using Clock = std::chrono::steady_clock;
    struct Wish {
        std::size_t count = 0;
        std::optional<Clock::time_point> until;  // absent: for ever
    };
    using Entry = std::unordered_map<std::string, std::unique_ptr<Spare>>::iterator;

    [[nodiscard]] bool can_be() const;
    void wish(const policy::Action& action);
    void make_one();
    const policy::Action* next();
    Status make(const policy::Action& action);
    void asked(const std::string& unit, const UnitSpec& spec,
               const Result<std::vector<std::string>, CallError>& environment_names);
    void answered(const std::string& unit, const std::optional<CallError>& error);
    void look_at(const std::string& unit);
    void has_died(const std::string& unit);
    void expire();
    void arm_life();
    void leave(Entry entry);
    void ask_to_go(const Spare& spare);
    void look_at_leaving(const std::string& unit);
    void forget(Entry entry);
    void watch_world();
    [[nodiscard]] std::size_t count(std::string_view action) const;
    // Made for a job that is to come, and not leaving.
    [[nodiscard]] std::size_t count() const;
    template <typename Argument>
    auto guarded(const std::string& unit,
                 void (Spares::*method)(const std::string& unit, Argument argument));

    JobHost& host_;
    ServiceManager& services_;
    std::function<bool()> is_busy_;
    policy::SnapshotPtr actions_;
    std::string folder_;  // of the files that say which there are; empty: there can be none
    bool closed_ = false;
    std::function<void()> closed_and_empty_;           // until it was called
    std::map<std::string, Wish, std::less<>> wishes_;  // by action
    std::set<std::string, std::less<>> failed_;
    std::unordered_map<std::string, std::unique_ptr<Spare>> spares_;  // by unit
    std::unordered_map<JobId, std::unique_ptr<Spare>> taken_;
    WorldWatch world_;
    Timer make_timer_;
    Timer life_timer_;
    std::shared_ptr<Spares*> self_;  // for guarded(): the others are weak
};

}  // namespace postern::jobs
