#include "daemon/policy/file/run_as.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

#include "daemon/policy/file/rules.h"

namespace postern::policy {
namespace {

void sort_unique(std::vector<gid_t>& groups) {
    std::ranges::sort(groups);
    const auto rest = std::ranges::unique(groups);
    groups.erase(rest.begin(), rest.end());
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

    if (const auto node = document.member(root, "user")) {
        const auto user = read_user(document, *node);
        if (user && *user != options.owner) {
            document.report(*node, "uid " + std::to_string(*user) + " is another user than uid " +
                                       uid + ", which this guard runs every job as; remove it");
        }
    }
    if (const auto node = document.member(root, "group")) {
        const auto group = read_group(document, *node);
        if (group && *group != run_as.gid) {
            document.report(*node, "gid " + std::to_string(*group) + " is another group than gid " +
                                       std::to_string(run_as.gid) +
                                       ", which this guard runs every job with; remove it");
        }
    }
    if (const auto node = document.member(root, "groups")) {
        if (read_groups(document, run_as.gid, {}) != run_as.groups) {
            document.report(*node,
                            "these are not the groups that this guard has and runs every job with; "
                            "remove it");
        }
    }

    // A container's user may have no account.
    const Result<std::optional<Account>> found = find_user(options.owner);
    const std::optional<Account> account = found ? *found : std::nullopt;
    run_as.account = account.value_or(Account{uid, options.owner, options.gid, "/", "/bin/sh"});
    return run_as;
}

std::optional<Account> read_account(Document& document) {
    const auto node = document.member(document.root(), "user");
    std::optional<uid_t> uid = 0;
    if (node) uid = read_user(document, *node);
    if (!uid) return std::nullopt;
    const Result<std::optional<Account>> account = find_user(*uid);
    if (account && account->has_value()) return *account;
    document.report(node ? *node : document.root(),
                    "uid " + std::to_string(*uid) +
                        (account ? " has no account; create one, its groups and home are needed"
                                 : " can't be looked up (" + account.error().message +
                                       "); reload when it can"));
    return std::nullopt;
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
    return RunAs{*account, *gid, read_groups(document, *gid, groups_of(account->name, *gid))};
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
        document.report(*place, "gid " + std::to_string(gid) + " is no group of the user \"" +
                                    run_as.account.name + "\", " + what);
    };
    for (const Rule& rule : allow) {
        const Subject& subject = rule.subject;
        if (!subject.user) {
            report(lent.front(),
                   "so that only callers that a rule names by user may run this, and "
                   "\"" +
                       rule.text +
                       "\" names none: whoever has subordinate ids "
                       "could take the group from the job; name the users, or remove the "
                       "group");
            return lent;
        }
        if (*subject.user != uid) continue;
        const auto more =
            std::ranges::find_if(lent, [&](gid_t gid) { return subject.group != gid; });
        if (more == lent.end()) continue;
        report(*more, "whom \"" + rule.text +
                          "\" lets in and who could take it from the job; "
                          "remove the group or that rule");
        return lent;
    }
    return lent;
}

}  // namespace postern::policy
