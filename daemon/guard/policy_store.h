// Loads the action files beside the loop: they are read, names are looked up (NSS may ask the
// network) and the result is handed to the loop as one immutable snapshot.
//
// What the machine says of users (policy::People) is read with them, and again whenever a file that
// it is made of changes: then the actions stay as they are. A range of subordinate ids that
// vanished counts as long as this lives: processes and setuid files of it stay.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/worker.h"
#include "daemon/policy/file/loader.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class PolicyStore {
  public:
    // `request`: the newest load() that this load began after.
    using Loaded = std::function<void(Result<policy::SnapshotPtr> snapshot, std::uint64_t request)>;
    // The actions that were loaded last, with what is now known of users; never before the first
    // load.
    using Refreshed = std::function<void(policy::SnapshotPtr snapshot)>;

    // Errors: no descriptor or thread to be had. `loaded` is called from the loop after each load,
    // `refreshed` after a change of those files.
    static Result<std::unique_ptr<PolicyStore>> create(sd_event* event, policy::LoadOptions options,
                                                       Loaded loaded, Refreshed refreshed);
    // Does not wait for a load that is under way.
    ~PolicyStore() = default;
    PolicyStore(const PolicyStore&) = delete;
    PolicyStore& operator=(const PolicyStore&) = delete;

    // Loads once more. What changes while a load is under way is seen by another one after it.
    // Returns the number of this request: ascending.
    std::uint64_t load();

    // Whether changes of the files that say who is who are seen. Not where the kernel gives no
    // inotify instance, or where there is no such folder: then they are read with the next load.
    [[nodiscard]] bool sees_changes() const { return watching_ != nullptr; }

  private:
    // To load, by load(); absent: to read once more who is who.
    struct Asked {
        std::optional<std::uint64_t> request;
    };
    struct Outcome {
        Result<policy::SnapshotPtr> snapshot;
        std::optional<std::uint64_t> request;
    };
    using Files = Worker<Asked, Outcome>;

    PolicyStore(Loaded loaded, Refreshed refreshed);
    static std::optional<Outcome> outcome_of(const policy::LoadOptions& options, const Asked& asked,
                                             policy::SnapshotPtr& last);
    void order(std::optional<std::uint64_t> request);
    void watch(sd_event* event, const std::string& folder);
    void on_changes();
    void on_read(std::vector<Outcome> outcomes);

    Loaded loaded_;
    Refreshed refreshed_;
    std::uint64_t requested_ = 0;  // by load()
    std::unique_ptr<Files> files_;
    UniqueFd changes_;  // inotify(7)
    EventSource watching_;
};

}  // namespace postern
