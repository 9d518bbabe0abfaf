#include "daemon/policy/file/people_reader.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/io.h"
#include "base/utf8.h"
#include "daemon/policy/file/closed_socket.h"
#include "daemon/policy/file/range_warnings.h"
#include "host/accounts.h"
#include "host/subordinate_ids.h"

namespace postern::policy {
namespace {

constexpr std::size_t longest_file = std::size_t{16} << 20U;
constexpr std::size_t most_warnings = 20;

class PeopleReader {
  public:
    PeopleReader(const LoadOptions& options, const Snapshot& snapshot)
        : folder_(options.system_settings),
          sockets_(options.sockets),
          owner_(options.owner),
          snapshot_(snapshot),
          groups_(all_groups()) {
        for (Account& user : all_users()) {
            add_account(user);
            std::string name = user.name;
            users_.emplace(std::move(name), std::move(user));
        }
        for (const Group& group : groups_) people_.group_names.try_emplace(group.gid, group.name);
    }

    People read() {
        people_.last_system_uid = last_system_uid(text_of("login.defs"));
        read_ranges();
        // A directory service may list nobody: then those whom rules name are asked for.
        for (const auto& [name, action] : snapshot_.actions) {
            for (const auto* const rules : {&action.allow, &action.deny}) {
                for (const Rule& rule : *rules) add_named(rule.subject.user);
            }
        }
        read_members();
        people_.accounts.assign(accounts_.begin(), accounts_.end());
        // What an ordinary user's guard runs, it runs for that user alone.
        if (owner_ == 0) {
            finish_warnings();
            read_kept_out();
        }
        return std::move(people_);
    }

  private:
    void add_account(const Account& user) {
        accounts_.insert(user.uid);
        people_.user_names.try_emplace(user.uid, user.name);
    }

    void warn(std::string what) {
        if (owner_ == 0) people_.warnings.push_back(std::move(what));
    }

    // Empty where there is no such file, or it can't be read, which is told.
    std::string text_of(const std::string& name) {
        const std::string path = folder_ + '/' + name;
        auto text = read_file(path, longest_file);
        if (text) return *std::move(text);
        if (text.error() != ENOENT) {
            people_.ranges_known = false;
            warn(path + ": can't be read: " + std::generic_category().message(text.error()) +
                 "; it is not known which user a uid without an account belongs to");
        }
        return {};
    }

    // Null: there is none. `failed`: that can't be known now.
    const Account* user_of(const std::string& name, bool& failed) {
        const auto known = users_.find(name);
        if (known != users_.end()) return &known->second;
        const auto found = find_user(name);
        failed = failed || !found;
        const std::optional<Account> user = found ? *found : std::nullopt;
        if (!user) return nullptr;
        add_account(*user);
        return &users_.emplace(name, *user).first->second;
    }

    void add_named(const std::optional<uid_t>& uid) {
        if (!uid || accounts_.contains(*uid)) return;
        const auto found = find_user(*uid);
        const std::optional<Account> user = found ? *found : std::nullopt;
        if (user) add_account(*user);
    }

    // As newuidmap(1): the text is a name, and a number besides.
    std::vector<uid_t> owners_named(const std::string& text, bool& failed) {
        std::vector<uid_t> owners;
        if (const Account* const user = user_of(text, failed)) {
            owners.push_back(user->uid);
            range_owners_.insert(user->name);
        }
        if (const auto uid = parse_id(text)) {
            owners.push_back(*uid);
            const auto found = find_user(*uid);
            const std::optional<Account> user = found ? *found : std::nullopt;
            if (user) {
                add_account(*user);
                users_.emplace(user->name, *user);
                range_owners_.insert(user->name);
            }
        }
        return owners;
    }

    void read_ranges() {
        const std::string sources = subordinate_id_sources(text_of("nsswitch.conf"));
        if (sources != "files") {
            people_.ranges_known = false;
            warn(folder_ + "/nsswitch.conf: subordinate ids come from " + in_quotes(sources) +
                 ", and only those from files can be read: it is not known which user a uid "
                 "without an account belongs to, and deny rules that name a user or group apply to "
                 "all such uids");
            return;
        }
        uid_lines_ = parse_subordinate_ids(text_of("subuid"));
        gid_lines_ = parse_subordinate_ids(text_of("subgid"));
        std::vector<UidRange> ranges;
        for (const SubordinateIds& ids : uid_lines_) {
            bool failed = false;
            const std::vector<uid_t> owners = owners_named(ids.owner, failed);
            // Root is never an owner: it may be anybody anyway.
            for (const uid_t owner : owners) {
                if (owner != 0) ranges.push_back({ids.first, ids.last, owner});
            }
            if (failed || owners.empty()) ranges.push_back({ids.first, ids.last, std::nullopt});
        }
        people_.ranges = UidRanges(std::move(ranges));
        bool failed = false;
        for (const SubordinateIds& ids : gid_lines_) owners_named(ids.owner, failed);
    }

    void read_members() {
        for (const auto& [name, action] : snapshot_.actions) {
            for (const Rule& rule : action.deny) {
                if (rule.subject.group) people_.members[*rule.subject.group];
            }
        }
        if (people_.members.empty()) return;
        for (auto& [gid, members] : people_.members) {
            for (const std::string& name : member_names(gid)) {
                bool failed = false;
                if (const Account* const user = user_of(name, failed)) members.push_back(user->uid);
            }
            for (const auto& [name, user] : users_) {
                if (user.gid == gid) members.push_back(user.uid);
            }
        }
        // A directory service may not list members either.
        for (const std::string& name : range_owners_) {
            const Account& user = users_.at(name);
            for (const gid_t gid : groups_of(user.name, user.gid)) {
                const auto denied = people_.members.find(gid);
                if (denied != people_.members.end()) denied->second.push_back(user.uid);
            }
        }
        for (auto& [gid, members] : people_.members) {
            std::ranges::sort(members);
            const auto twice = std::ranges::unique(members);
            members.erase(twice.begin(), twice.end());
        }
    }

    std::vector<std::string> member_names(gid_t gid) {
        std::vector<std::string> names;
        bool listed = false;
        const auto add = [&names, &listed](const Group& group) {
            names.insert(names.end(), group.members.begin(), group.members.end());
            listed = true;
        };
        for (const Group& group : groups_) {
            if (group.gid == gid) add(group);
        }
        if (listed) return names;
        const auto found = find_group_by_id(gid);
        const std::optional<Group> group = found ? *found : std::nullopt;
        if (group) add(*group);
        if (!found) {
            warn("the members of gid " + std::to_string(gid) + " can't be looked up (" +
                 found.error().message + "); reload once that works");
        }
        return names;
    }

    void finish_warnings() {
        NamedIds accounts;
        for (const auto& [name, user] : users_) accounts.emplace_back(user.uid, name);
        NamedIds groups;
        for (const Group& group : groups_) groups.emplace_back(group.gid, group.name);
        std::ranges::sort(accounts);
        std::ranges::sort(groups);
        std::ranges::move(range_warnings(folder_ + "/subuid", uid_lines_, accounts, "account"),
                          std::back_inserter(people_.warnings));
        std::ranges::move(range_warnings(folder_ + "/subgid", gid_lines_, groups, "group"),
                          std::back_inserter(people_.warnings));
        if (people_.warnings.size() > most_warnings) {
            const std::size_t more = people_.warnings.size() - most_warnings;
            people_.warnings.resize(most_warnings);
            warn("and " + std::to_string(more) + " more about subordinate ids");
        }
        warn_of_groups();
    }

    // By name, as far as the group database and the user database list them.
    std::map<std::string, uid_t> named_members(gid_t gid) {
        std::map<std::string, uid_t> members;
        for (const std::string& name : member_names(gid)) {
            bool failed = false;
            if (const Account* const user = user_of(name, failed)) members.emplace(name, user->uid);
        }
        for (const auto& [name, user] : users_) {
            if (user.gid == gid) members.emplace(name, user.uid);
        }
        return members;
    }

    void read_kept_out() {
        const std::vector<ClosedSocket> sockets = closed_sockets(sockets_);
        if (sockets.empty()) return;
        std::set<uid_t> let_in = {0};
        for (const ClosedSocket& socket : sockets) {
            if (socket.owner_may) let_in.insert(socket.owner);
            if (!socket.group_may) continue;
            for (const auto& [name, uid] : named_members(socket.group)) let_in.insert(uid);
        }
        for (const auto& [action, about] : snapshot_.actions) {
            for (const Rule& rule : about.allow) {
                // Of a unit the unit's file says which groups its processes have.
                if (rule.subject.unit) continue;
                const std::string why = why_kept_out(rule.subject, sockets.front(), let_in);
                if (why.empty()) continue;
                people_.kept_out.push_back(rule.place + ": " + rule.text + ": " + why);
            }
        }
    }

    // Each user and group once. Empty: there is nothing to say.
    std::string why_kept_out(const Subject& subject, const ClosedSocket& socket,
                             const std::set<uid_t>& let_in) {
        if (subject.everyone) {
            return std::exchange(told_everyone_, true) ? "" : closed_to_most_text(socket);
        }
        if (subject.user) {
            const auto name = people_.user_names.find(*subject.user);
            const bool is_out = !let_in.contains(*subject.user);
            // Of one without an account it is not known which groups it has.
            if (!is_out || name == people_.user_names.end()) return {};
            return told_users_.insert(*subject.user).second
                       ? user_kept_out_text(socket, name->second)
                       : "";
        }
        if (!subject.group || !told_groups_.insert(*subject.group).second) return {};
        const std::vector<std::string> listed = member_names(*subject.group);
        std::vector<std::string> names;
        for (const auto& [name, uid] : named_members(*subject.group)) {
            const bool is_member = std::ranges::find(listed, name) != listed.end();
            if (let_in.contains(uid) || (!is_member && is_the_groups_own(name, *subject.group))) {
                continue;
            }
            names.push_back(name);
        }
        return names.empty() ? "" : kept_out_text(socket, names);
    }

    // An account that is there for the group's sake, or for a package's: nobody calls as such.
    bool is_the_groups_own(const std::string& name, gid_t gid) {
        const auto group = people_.group_names.find(gid);
        return users_.at(name).uid <= people_.last_system_uid ||
               (group != people_.group_names.end() && group->second == name);
    }

    // A process that drops a group is known by the group database alone.
    void warn_of_groups() {
        if (people_.ranges_known && uid_lines_.empty() && gid_lines_.empty()) return;
        for (const auto& [name, action] : snapshot_.actions) {
            for (const Rule& rule : action.deny) {
                if (!rule.subject.group || !people_.members.at(*rule.subject.group).empty()) {
                    continue;
                }
                warn(rule.place + ": " + rule.text +
                     ": the group database lists no members of this group, so the "
                     "rule applies only to processes that have it, and users with subordinate ids "
                     "can drop it; deny "
                     "the users instead");
            }
        }
    }

    std::string folder_;
    const std::vector<std::string>& sockets_;
    uid_t owner_;
    const Snapshot& snapshot_;
    People people_;
    std::set<uid_t> accounts_;
    std::map<std::string, Account> users_;  // by name
    std::vector<Group> groups_;
    std::set<std::string> range_owners_;  // by name
    std::vector<SubordinateIds> uid_lines_;
    std::vector<SubordinateIds> gid_lines_;
    // Whose being kept out was told.
    bool told_everyone_ = false;
    std::set<uid_t> told_users_;
    std::set<gid_t> told_groups_;
};

}  // namespace

People read_people(const LoadOptions& options, const Snapshot& snapshot) {
    return PeopleReader(options, snapshot).read();
}

}  // namespace postern::policy
