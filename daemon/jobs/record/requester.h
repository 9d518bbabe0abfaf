// Whose job it is: for the record, the job's environment, and for who may follow it later on.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace postern::jobs {

struct Requester {
    uid_t uid = 0;
    gid_t gid = 0;
    pid_t pid = 0;
    std::uint64_t groups = 0;  // JobManager::digest() of them
    bool groups_known = true;  // they are all of them; not so for who sent a packet
    std::optional<std::string> unit = std::nullopt;  // the system's unit, where it was known
    // The caller's own name for the call, by which it finds the job again. Empty: it gave none.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string key = {};
    // JobManager::digest() of the action and of all arguments, secret ones too, as they were given.
    // Absent in what version 0.1.0 wrote.
    std::optional<std::uint64_t> call = std::nullopt;
    // Whose quotas its job counts for, where that is not its own uid (policy::Caller).
    std::optional<uid_t> paid_by = std::nullopt;
    // What its user is called, for the job itself. Empty: it has no name, or it is not known.
    // NOLINTNEXTLINE(readability-redundant-member-init): as above
    std::string user = {};
    // The socket that the call came through, by its path; the rule that allowed it, and where that
    // rule stands. Empty where a version before this one wrote the record.
    // NOLINTBEGIN(readability-redundant-member-init): as above
    std::string listener = {};
    std::string rule = {};
    std::string rule_place = {};
    // NOLINTEND(readability-redundant-member-init)
    [[nodiscard]] uid_t payer() const { return paid_by.value_or(uid); }
};

}  // namespace postern::jobs
