#include "daemon/policy/file/rules.h"

#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/utf8.h"

namespace postern::policy {
namespace {

constexpr std::array<Key, 4> subject_keys = {
    {{"user", {}}, {"group", {}}, {"everyone", {}}, {"unit", {}}}};

std::string not_known(std::string_view what, const std::string& name, const Error& error) {
    return "the " + std::string(what) + ' ' + in_quotes(name) + " can't be looked up (" +
           error.message + "); reload when it can";
}

std::string unknown(std::string_view what, const std::string& name) {
    return "there is no " + std::string(what) + ' ' + in_quotes(name) +
           "; correct the name or create the " + std::string(what);
}

// A number of JSON. Absent: reported.
std::optional<id_t> read_id(Document& document, const Node& node) {
    const auto number = node.value->get<std::int64_t>();
    if (number >= 0 && number < std::numeric_limits<id_t>::max()) return static_cast<id_t>(number);
    document.report(node, std::to_string(number) +
                              " is no id that anybody can have; use one from 0 to 4294967294");
    return std::nullopt;
}

// A text that nobody's name is. Absent: reported.
std::optional<id_t> read_number_of(Document& document, const Node& node, const std::string& text,
                                   std::string_view what, std::string_view id_name) {
    if (const auto id = parse_id(text)) {
        document.warn(node, "no " + std::string(what) + " has the name " + in_quotes(text) +
                                ", so it is taken for a " + std::string(id_name) +
                                "; write the number without quotes");
        return id;
    }
    const bool decimal = text.find_first_not_of("0123456789") == std::string::npos;
    if (decimal) {
        document.report(node,
                        in_quotes(text) + " is neither a name nor an id from 0 to 4294967294");
    } else {
        document.report_unknown(node, unknown(what, text));
    }
    return std::nullopt;
}

// A text that somebody's name is, whose id is `id`.
void warn_of_number(Document& document, const Node& node, const std::string& text, id_t id,
                    std::string_view what, const std::string& id_name) {
    const auto number = parse_id(text);
    if (!number || *number == id) return;
    document.warn(node, in_quotes(text) + " is taken for the " + std::string(what) +
                            " of that name, " + id_name + ' ' + std::to_string(id) +
                            ", and not for " + id_name + ' ' + text +
                            "; if that one is meant, write the number without quotes");
}

// As the administrator wrote it: "deploy" or 1000.
std::string shown(const Node& node) {
    return node.value->is_string()
               ? in_quotes(node.value->get<std::string>())
               : node.value->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// A name as systemd.unit(5) has it, of something that processes can be in.
std::optional<std::string> read_unit(Document& document, const Node& node) {
    auto text = document.text(node);
    if (!text) return std::nullopt;
    constexpr std::size_t most = 255;
    constexpr std::string_view characters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@";
    const std::size_t dot = text->rfind('.');
    const std::string_view kind =
        dot == std::string::npos ? std::string_view() : std::string_view(*text).substr(dot);
    if (text->size() > most || text->find_first_not_of(characters) != std::string::npos ||
        dot == 0 || (kind != ".service" && kind != ".scope")) {
        document.report(node, in_quotes(*text) +
                                  " is no unit that a process can be in; write for example "
                                  "\"ci-runner.service\"");
        return std::nullopt;
    }
    if ((*text)[dot - 1] == '@') {
        document.report(node, in_quotes(*text) + " is a template; name an instance, such as \"" +
                                  text->substr(0, dot) + "1" + std::string(kind) + "\"");
        return std::nullopt;
    }
    return text;
}

// The kernel knows the uid of a caller and no name.
void warn_of_shared_uid(Document& document, const Node& node, const Account& account) {
    const Result<std::optional<Account>> looked_up = find_user(account.uid);
    if (!looked_up) return;
    const std::optional<Account>& first = *looked_up;
    if (!first || first->name == account.name) return;
    document.warn(node, in_quotes(account.name) + " and " + in_quotes(first->name) +
                            " are both uid " + std::to_string(account.uid) +
                            ", so the rule holds for both of them");
}

std::optional<Rule> read_rule(Document& document, const Node& node, std::string_view verb) {
    if (!document.check_keys(node, subject_keys)) return std::nullopt;

    Rule rule;
    rule.place = document.file() + ':' + std::to_string(document.line(node));
    rule.text = verb;
    const auto user = document.member(node, "user");
    const auto group = document.member(node, "group");
    const auto unit = document.member(node, "unit");
    const auto everyone = document.member(node, "everyone");
    if (user) {
        const auto named = read_user(document, *user);
        if (named) rule.subject.user = named->uid;
        if (named && named->account) warn_of_shared_uid(document, *user, *named->account);
        rule.text += " user " + shown(*user);
    }
    if (group) {
        rule.subject.group = read_group(document, *group);
        rule.text += (user ? " and group " : " group ") + shown(*group);
    }
    if (unit) {
        rule.subject.unit = read_unit(document, *unit);
        rule.text += (user || group ? " and unit " : " unit ") + shown(*unit);
    }
    if (everyone) {
        if (!document.boolean(*everyone).value_or(true)) {
            document.report(*everyone, "must be true; remove the subject if nobody is meant");
        }
        if (user || group || unit) {
            document.report_key(*everyone,
                                "stands alone; remove it, or the other conditions of the subject");
        }
        rule.subject.everyone = true;
        rule.text += " everyone";
    }
    if (!user && !group && !everyone && !unit) {
        document.report(node, R"(names nobody; add "user", "group", "unit" or "everyone": true)");
        return std::nullopt;
    }
    return rule;
}

}  // namespace

std::vector<Rule> read_rules(Document& document, const Node& list, std::string_view verb) {
    std::vector<Rule> rules;
    const auto elements = document.elements(list);
    if (!elements) return rules;
    for (const Node& element : *elements) {
        if (auto rule = read_rule(document, element, verb)) rules.push_back(*std::move(rule));
    }
    return rules;
}

std::optional<NamedUser> read_user(Document& document, const Node& node) {
    if (node.value->is_number_integer()) {
        const auto id = read_id(document, node);
        return id ? std::optional(NamedUser{*id, std::nullopt}) : std::nullopt;
    }
    const auto name = document.text(node);
    if (!name) return std::nullopt;
    const Result<std::optional<Account>> account = find_user(*name);
    if (!account) {
        document.report_unknown(node, not_known("user", *name, account.error()));
        return std::nullopt;
    }
    if (const std::optional<Account>& found = *account) {
        warn_of_number(document, node, *name, found->uid, "user", "uid");
        return NamedUser{found->uid, found};
    }
    const auto number = read_number_of(document, node, *name, "user", "uid");
    return number ? std::optional(NamedUser{*number, std::nullopt}) : std::nullopt;
}

std::optional<gid_t> read_group(Document& document, const Node& node) {
    if (node.value->is_number_integer()) return read_id(document, node);
    const auto name = document.text(node);
    if (!name) return std::nullopt;
    const Result<std::optional<gid_t>> looked_up = find_group(*name);
    if (!looked_up) {
        document.report_unknown(node, not_known("group", *name, looked_up.error()));
        return std::nullopt;
    }
    const std::optional<gid_t>& gid = *looked_up;
    if (!gid) return read_number_of(document, node, *name, "group", "gid");
    warn_of_number(document, node, *name, *gid, "group", "gid");
    return gid;
}

}  // namespace postern::policy
