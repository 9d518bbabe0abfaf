// A spare: the unit of a job that is to come, with its sandbox, user and groups, in which a
// launcher waits for the order that says what to execute (daemon/launcher/spare_order.h). It has
// the job's id, directory and pipes already, but is no job: there is no record, and nobody pays for
// it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "daemon/jobs/output/job_streams.h"
#include "daemon/jobs/unit/main_process.h"
#include "daemon/jobs/unit/spare_places.h"
#include "daemon/jobs/unit/unit_view.h"
#include "daemon/policy/snapshot.h"
#include "model/job.h"

namespace postern::jobs {

struct Spare {
    enum class State : std::uint8_t {
        making,   // systemd sets it up
        waiting,  // its launcher waits: it can be taken
        leaving,  // it is not wanted any more, and systemd has still to forget it
    };

    JobId id;
    std::string unit;
    std::string action;  // its name
    State state = State::making;
    // Of the action that it was made for.
    std::string version;
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
    SparePlaces places;
    std::chrono::steady_clock::time_point made;
    std::chrono::steady_clock::duration life{};

    UniqueFd socket;         // to its launcher
    UniqueFd launcher_end;   // until systemd has it
    JobStreams streams;      // until they are a job's
    bool has_folder = true;  // the job's directory is its own, until it is taken
    std::string marker;      // the file that says to the next guard that it is a spare
    UnitView view;
    std::unique_ptr<MainProcess> main;  // its launcher

    // It is not to be taken later.
    [[nodiscard]] std::chrono::steady_clock::time_point end() const { return made + life; }
    [[nodiscard]] bool is_for(const policy::Action& wanted) const {
        return state == State::waiting && action == wanted.description.name &&
               version == wanted.version && uid == wanted.uid && gid == wanted.gid &&
               groups == wanted.groups;
    }
};

}  // namespace postern::jobs
