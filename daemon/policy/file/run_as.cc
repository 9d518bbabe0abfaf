#include "daemon/policy/file/run_as.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "daemon/policy/file/rules.h"

namespace postern::policy {
namespace {

void sort_unique(std::vector<gid_t>& groups) {
    std::ranges::sort(groups);
    const auto rest = std::ranges::unique(groups);
    groups.erase(rest.begin(), rest.end());
}

bool contains(const std::vector<gid_t>& groups, gid_t gid) {
    return std::ranges::binary_search(groups, gid);
}

// "groups" of the file with `gid`, or `otherwise` where it declares none.
std::vector<gid_t> read_groups(Document& document, gid_t gid, std::vector<gid_t> otherwise) {
    const auto node = document.member(document.root(), "groups");
    if (!node) return otherwise;
    std::vector<gid_t> groups = {gid};
    const auto elements = document.elements(*node);
    if (!elements) return groups;
    for (const Node& element : *elements) {
        if (const auto group = read_group(document, element)) groups.push_back(*group);
    }
    sort_unique(groups);
    return groups;
}

// An ordinary user's guard can change neither its uid nor its groups.
std::optional<RunAs> read_own(Document& document, const LoadOptions& options) {
    const Node root = document.root();
    const std::string uid = std::to_string(options.owner);
    RunAs run_as;
    run_as.gid = options.gid;
    run_as.groups = options.groups;
    run_as.groups.push_back(options.gid);
    sort_unique(run_as.groups);

    std::optional<Account> named;
    if (const auto node = document.member(root, "user")) {
        const auto user = read_user(document, *node);
        if (user) named = user->account;
        if (user && user->uid != options.owner) {
            document.report(*node, "uid " + std::to_string(user->uid) + " is not uid " + uid +
                                       ", as which this daemon runs every job; remove it");
        }
    }
    if (const auto node = document.member(root, "group")) {
        const auto group = read_group(document, *node);
        if (group && *group != run_as.gid) {
            document.report(*node, "gid " + std::to_string(*group) + " is not gid " +
                                       std::to_string(run_as.gid) +
                                       ", with which this daemon runs every job; remove it");
        }
    }
    if (const auto node = document.member(root, "groups")) {
        if (read_groups(document, run_as.gid, {}) != run_as.groups) {
            document.report(*node,
                            "these are not the daemon's own groups, with which it "
                            "runs every job; remove it");
        }
    }

    if (!named) {
        const Result<std::optional<Account>> found = find_user(options.owner);
        if (found) named = *found;
    }
    // A container's user may have no account.
    run_as.account = named.value_or(Account{uid, options.owner, options.gid, "/", "/bin/sh"});
    return run_as;
}

// What can't be looked up, or has no account, is reported.
std::optional<Account> account_of(Document& document, const Node& node, uid_t uid) {
    const Result<std::optional<Account>> account = find_user(uid);
    if (account && account->has_value()) return *account;
    document.report_unknown(
        node,
        "uid " + std::to_string(uid) +
            (account
                 ? " has no account; create one, because its groups and home directory are needed"
                 : " can't be looked up (" + account.error().message +
                       "); reload once that works"));
    return std::nullopt;
}

std::optional<Account> read_account(Document& document) {
    const auto node = document.member(document.root(), "user");
    if (!node) return account_of(document, document.root(), 0);
    const auto user = read_user(document, *node);
    if (!user) return std::nullopt;
    // Another account may have the same uid, and other groups and another home.
    return user->account ? user->account : account_of(document, *node, user->uid);
}

// By a uid systemd finds the first of its accounts, and gives the job the groups of that one. By a
// name it finds the right one, but looks it up once more at each start: with groups that its user
// does not have this is not allowed, since by then the name may be that of another uid, whom nobody
// has kept from tracing the job.
bool needs_name(Document& document, const Account& account, gid_t gid,
                const std::vector<gid_t>& groups) {
    const auto node = document.member(document.root(), "user");
    if (!node || !node->value->is_string() || account.uid == 0) return false;
    const auto first = account_of(document, *node, account.uid);
    if (!first || first->name == account.name) return false;
    const std::string both = "has uid " + std::to_string(account.uid) + ", like " +
                             in_quotes(first->name) + ", which is found first";
    if (account.name.find_first_not_of("0123456789") == std::string::npos) {
        document.report(*node,
                        both +
                            ", and systemd would take its name as a number; give it a uid of "
                            "its own");
    }
    const std::vector<gid_t> own = groups_of(account.name, account.gid);
    if (!contains(own, gid) || !std::ranges::includes(own, groups)) {
        document.report(
            *node,
            both +
                "; systemd then can't give its jobs any group "
                "that it does not have, so remove those groups, or give it a uid of its own");
    }
    return true;
}

// systemd gives the job of a user all groups of that user, and those of the action on top.
void check_own_groups(Document& document, const Node& node, const Account& account, gid_t gid) {
    const std::vector<gid_t> declared = read_groups(document, gid, {});
    for (const gid_t own : groups_of(account.name, gid)) {
        if (std::ranges::binary_search(declared, own)) continue;
        document.report(node, "leaves out gid " + std::to_string(own) + ", a group of the user \"" +
                                  account.name +
                                  "\", which systemd gives to every job of that user; name it too, "
                                  "or use another user");
        return;
    }
}

}  // namespace

std::optional<RunAs> read_run_as(Document& document, const LoadOptions& options) {
    if (options.owner != 0) return read_own(document, options);
    const auto account = read_account(document);
    const auto group = document.member(document.root(), "group");
    std::optional<gid_t> gid;
    if (group) {
        gid = read_group(document, *group);
    } else if (account) {
        gid = account->gid;
    }
    if (!account || !gid) {
        read_groups(document, 0, {});  // for what there is to report
        return std::nullopt;
    }
    if (const auto groups = document.member(document.root(), "groups");
        groups && options.systemd && account->uid != 0) {
        check_own_groups(document, *groups, *account, *gid);
    }
    RunAs run_as{*account, *gid, read_groups(document, *gid, groups_of(account->name, *gid))};
    run_as.by_name = options.systemd && needs_name(document, *account, run_as.gid, run_as.groups);
    return run_as;
}

std::vector<gid_t> read_lent_groups(Document& document, const RunAs& run_as,
                                    const std::vector<Rule>& allow) {
    const uid_t uid = run_as.account.uid;
    std::vector<gid_t> lent;
    if (uid == 0) return lent;
    const std::vector<gid_t> own = groups_of(run_as.account.name, run_as.account.gid);
    std::ranges::set_difference(run_as.groups, own, std::back_inserter(lent));
    const Node root = document.root();
    auto place = document.member(root, "groups");
    if (!place) place = document.member(root, "group");
    if (lent.empty() || !place) return lent;
    const auto report = [&](gid_t gid, const std::string& what) {
        document.report(*place, "gid " + std::to_string(gid) + " is not a group of the user \"" +
                                    run_as.account.name + "\", " + what);
    };
    for (const Rule& rule : allow) {
        const Subject& subject = rule.subject;
        if (!subject.user) {
            report(lent.front(),
                   "so only callers that a rule names by user may run this, but "
                   "\"" +
                       rule.text +
                       "\" names no user: a caller with "
                       "subordinate ids could take the group from the job; name the users, or "
                       "remove the "
                       "group");
            return lent;
        }
        if (*subject.user != uid) continue;
        const auto more =
            std::ranges::find_if(lent, [&](gid_t gid) { return subject.group != gid; });
        if (more == lent.end()) continue;
        report(*more, "whom \"" + rule.text +
                          "\" allows to run this and who could then take the group from the job; "
                          "remove the group or that rule");
        return lent;
    }
    return lent;
}

}  // namespace postern::policy
