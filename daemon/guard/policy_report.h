// Tells the log and the audit what a load of the action files has changed.
#pragma once

#include <string>
#include <vector>

#include "daemon/guard/audit/audit.h"
#include "daemon/guard/policy_reader.h"
#include "daemon/policy/snapshot.h"

namespace postern {

class PolicyReport {
  public:
    // `audit` outlives it.
    explicit PolicyReport(Audit& audit) : audit_(audit) {}

    // What was so `before` (null: nothing was loaded yet) is not said again. Precondition:
    // read.snapshot is there.
    void say(const policy::SnapshotPtr& before, const PolicyRead& read);

  private:
    void action_off(const policy::BadFile& bad);

    Audit& audit_;
    std::vector<std::string> warnings_;  // of the last that was said
    std::vector<std::string> passed_over_;
};

}  // namespace postern
