// What the machine says of users, as far as rules depend on it beyond what a caller's process
// carries: who has an account, whose subordinate ids are whose, and who is in a group that some
// rule denies.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace postern::policy {

// Uids that a user may take on (subuid(5)).
struct UidRange {
    uid_t first = 0;
    uid_t last = 0;  // included
    // Absent: the line names a user that can't be told, so that whose these are is not known.
    std::optional<uid_t> owner;
    auto operator<=>(const UidRange&) const = default;
};

// All of them; they may overlap.
class UidRanges {
  public:
    UidRanges() = default;
    explicit UidRanges(std::vector<UidRange> ranges);

    // Those that hold the uid.
    [[nodiscard]] std::vector<UidRange> at(uid_t uid) const;
    [[nodiscard]] const std::vector<UidRange>& all() const { return ranges_; }
    bool operator==(const UidRanges&) const = default;

  private:
    std::vector<UidRange> ranges_;  // ascending, each once
    std::vector<uid_t> highest_;    // the highest last one so far, so that at() need not see all
};

struct People {
    std::vector<uid_t> accounts;  // ascending
    UidRanges ranges;
    // False: subordinate ids come from elsewhere than files, so that a uid may be anybody's.
    bool ranges_known = true;
    bool ranges_kept = false;
    // By group that a deny rule names: whom the group database puts in it, primary groups included;
    // ascending.
    std::map<gid_t, std::vector<uid_t>> members;
    uid_t last_system_uid = 999;
    // What those that are listed, or that a rule names, are called. For readers: nothing is decided
    // by it. Of several with one id the first, as in getpwuid(3).
    std::map<uid_t, std::string> user_names;
    std::map<gid_t, std::string> group_names;
    // For the administrator: ranges that are not safe, and what a deny rule can't do.
    std::vector<std::string> warnings;
    // The same, of rules that allow whom the socket keeps out.
    std::vector<std::string> kept_out;

    [[nodiscard]] bool has_account(uid_t uid) const;
    // Ranges that were somebody's before stay: processes and setuid files of them do, too.
    // `ranges_kept`: there is such a one.
    void keep_ranges_of(const People& before);
    // Whether users, groups or ranges are other ones, whatever the rules ask of them.
    [[nodiscard]] bool are_others_than(const People& before) const;
    bool operator==(const People&) const = default;
};

}  // namespace postern::policy
