// Loads the action files beside the loop: they are read, names are looked up (NSS may ask the
// network) and the result is handed to the loop as one immutable snapshot.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "daemon/loop/event_source.h"
#include "daemon/policy/file/loader.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class PolicyStore {
  public:
    // `request`: the newest load() that this load began after.
    using Loaded = std::function<void(Result<policy::SnapshotPtr> snapshot, std::uint64_t request)>;

    // Errors: no descriptor or thread to be had. `loaded` is called from the loop after each load.
    static Result<std::unique_ptr<PolicyStore>> create(sd_event* event, policy::LoadOptions options,
                                                       Loaded loaded);
    // Does not wait for a load that is under way.
    ~PolicyStore();
    PolicyStore(const PolicyStore&) = delete;
    PolicyStore& operator=(const PolicyStore&) = delete;

    // Loads once more. What changes while a load is under way is seen by another one after it.
    // Returns the number of this request: ascending.
    std::uint64_t load();

  private:
    struct Shared;
    PolicyStore(std::shared_ptr<Shared> shared, Loaded loaded);
    void on_loaded();

    std::shared_ptr<Shared> shared_;
    Loaded loaded_;
    EventSource source_;
};

}  // namespace postern
