#include "daemon/policy/file/rules.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "base/utf8.h"
#include "daemon/policy/file/other_words.h"

namespace postern::policy {
namespace {

constexpr std::array<Key, 4> subject_keys = {
    {{"user", {}}, {"group", {}}, {"everyone", {}}, {"unit", {}}}};

std::string not_known(std::string_view what, const std::string& name, const Error& error) {
    return "the " + std::string(what) + ' ' + in_quotes(name) + " can't be looked up (" +
           error.message + "); reload once that works";
}

bool is_group(const std::string& name) {
    const Result<std::optional<gid_t>> gid = find_group(name);
    return gid && gid->has_value();
}
bool is_user(const std::string& name) {
    const Result<std::optional<Account>> account = find_user(name);
    return account && account->has_value();
}
bool means_everyone(std::string_view name) {
    return name == "*" || name == "ALL" || name == "all" || name == "any" || name == "everyone";
}
bool names_unit(std::string_view name) {
    return name.ends_with(".service") || name.ends_with(".scope");
}

// The subject that was probably meant: {"group": "deploy"}.
std::string subject_of(const std::string& name) {
    if (means_everyone(name)) return R"({"everyone": true})";
    if (names_unit(name)) return R"({"unit": )" + as_json(name) + '}';
    if (name.starts_with('%')) return R"({"group": )" + as_json(name.substr(1)) + '}';  // sudoers
    const bool user = is_user(name);
    const bool group = is_group(name);
    const std::string as_user = R"({"user": )" + as_json(name) + '}';
    const std::string as_group = R"({"group": )" + as_json(name) + '}';
    if (user != group) return user ? as_user : as_group;
    return as_user + " or " + as_group;
}

std::string unknown(const Node& node, std::string_view what, const std::string& name) {
    const std::string none = "there is no " + std::string(what) + ' ' + in_quotes(name);
    // Whom a job runs as is another matter: there a group is not what a user is.
    const bool in_rule = node.path.starts_with("allow") || node.path.starts_with("deny");
    const bool other = what == "user" ? is_group(name) : is_user(name);
    if (in_rule && (other || means_everyone(name) || names_unit(name) || name.starts_with('%'))) {
        return none + "; write " + subject_of(name);
    }
    return none + "; correct the name or create the " + std::string(what);
}

// A number of JSON. Absent: reported.
std::optional<id_t> read_id(Document& document, const Node& node) {
    const auto number = node.value->get<std::int64_t>();
    if (number >= 0 && number < std::numeric_limits<id_t>::max()) return static_cast<id_t>(number);
    document.report(node,
                    std::to_string(number) + " is not a valid id; use one from 0 to 4294967294");
    return std::nullopt;
}

// A text that nobody's name is. Absent: reported.
std::optional<id_t> read_number_of(Document& document, const Node& node, const std::string& text,
                                   std::string_view what, std::string_view id_name) {
    if (const auto id = parse_id(text)) {
        document.warn(node, "no " + std::string(what) + " is named " + in_quotes(text) +
                                ", so it is taken as a " + std::string(id_name) +
                                "; write the number without quotes");
        return id;
    }
    const bool decimal = text.find_first_not_of("0123456789") == std::string::npos;
    if (decimal) {
        document.report(node,
                        in_quotes(text) + " is neither a name nor an id from 0 to 4294967294");
    } else {
        document.report_unknown(node, unknown(node, what, text));
    }
    return std::nullopt;
}

// A text that somebody's name is, whose id is `id`.
void warn_of_number(Document& document, const Node& node, const std::string& text, id_t id,
                    std::string_view what, const std::string& id_name) {
    const auto number = parse_id(text);
    if (!number || *number == id) return;
    document.warn(node, in_quotes(text) + " is taken as the " + std::string(what) +
                            " of that name, " + id_name + ' ' + std::to_string(id) + ", not as " +
                            id_name + ' ' + text +
                            "; if you mean that id, write the number without quotes");
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
        constexpr std::array<std::string_view, 4> started = {".socket", ".timer", ".path",
                                                             ".target"};
        const bool starts = std::ranges::find(started, kind) != started.end();
        const std::string name = starts ? text->substr(0, dot) : *text;
        const bool usable = !name.empty() && name.size() < most - std::string(".service").size() &&
                            name.find_first_not_of(characters) == std::string::npos &&
                            kind != ".slice" && kind != ".mount" && name.front() != '.' &&
                            !name.ends_with('@');
        document.report(node, in_quotes(*text) + " is not a unit that callers can run in; write " +
                                  (usable ? as_json(name + ".service")
                                          : std::string("for example \"ci-runner.service\"")));
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
                            ", so the rule applies to both of them");
}

// "group": ["deploy", "ops"]: in a subject all conditions must hold, so one that has two groups is
// not what is meant. Whether there is one.
bool report_lists(Document& document, const Node& subject) {
    bool found = false;
    for (const char* const key : {"user", "group", "unit"}) {
        const auto node = document.member(subject, key);
        if (!node || !node->value->is_array()) continue;
        found = true;
        constexpr std::size_t most = 5;
        std::string each;
        for (const nlohmann::json& value : *node->value) {
            each += (each.empty() ? "{\"" : ", {\"") + std::string(key) + "\": " +
                    (value.is_structured() || node->value->size() > most
                         ? "..."
                         : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) +
                    '}';
            if (node->value->size() > most) break;
        }
        document.report(*node, "takes one value, not a list; write one subject for each: " +
                                   (each.empty() ? "{\"" + std::string(key) + "\": ...}" : each));
    }
    return found;
}

std::optional<Rule> read_rule(Document& document, const Node& node, std::string_view verb) {
    if (node.value->is_string()) {
        document.report(node, "must be an object, not a string; write " +
                                  subject_of(node.value->get<std::string>()));
        return std::nullopt;
    }
    if (node.value->is_number_integer()) {
        document.report(node, "must be an object, not an integer; write {\"user\": " +
                                  node.value->dump() + '}');
        return std::nullopt;
    }
    if (!document.check_keys(node, subject_keys, other_words_of_subjects)) return std::nullopt;

    Rule rule;
    rule.place = document.file() + ':' + std::to_string(document.line(node));
    rule.text = verb;
    const auto user = document.member(node, "user");
    const auto group = document.member(node, "group");
    const auto unit = document.member(node, "unit");
    const auto everyone = document.member(node, "everyone");
    if (report_lists(document, node)) return std::nullopt;
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
            document.report(*everyone, "must be true; remove the subject if you mean nobody");
        }
        if (user || group || unit) {
            document.report_key(
                *everyone, "can't be combined with other conditions; remove it, or the others");
        }
        rule.subject.everyone = true;
        rule.text += " everyone";
    }
    if (!user && !group && !everyone && !unit) {
        // Others were reported as unknown.
        if (!node.value->empty()) return std::nullopt;
        document.report(node, R"(names nobody; add "user", "group", "unit" or "everyone": true)");
        return std::nullopt;
    }
    return rule;
}

}  // namespace

std::vector<Rule> read_rules(Document& document, const Node& list, std::string_view verb) {
    std::vector<Rule> rules;
    if (list.value->is_string()) {
        document.report(list, "must be a list, not a string; write [" +
                                  subject_of(list.value->get<std::string>()) + ']');
        return rules;
    }
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
