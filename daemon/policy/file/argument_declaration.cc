#include "daemon/policy/file/argument_declaration.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/utf8.h"
#include "daemon/policy/file/other_words.h"
#include "daemon/policy/template.h"
#include "daemon/policy/value_check.h"

namespace postern::policy {
namespace {

using nlohmann::json;

std::optional<ArgumentType> type_of(const std::string& text) {
    if (text == "string") return ArgumentType::string;
    if (text == "integer") return ArgumentType::integer;
    if (text == "boolean") return ArgumentType::boolean;
    if (text == "list") return ArgumentType::list;
    return std::nullopt;
}

Scalar to_scalar(const json& value) {
    if (value.is_string()) return value.get<std::string>();
    if (value.is_number_integer()) return value.get<std::int64_t>();
    if (value.is_boolean()) return value.get<bool>();
    if (value.is_null()) return Unsupported{Unusable::null};
    if (value.is_number()) return Unsupported{Unusable::fraction};
    return Unsupported{value.is_object() ? Unusable::object : Unusable::list};
}

Value to_value(const json& value) {
    if (value.is_array()) {
        std::vector<Scalar> list;
        for (const json& element : value) list.push_back(to_scalar(element));
        return list;
    }
    return std::visit([](auto scalar) -> Value { return scalar; }, to_scalar(value));
}

constexpr std::array<Key, 16> every_key = {{
    {"type", {}},
    {"summary", {}},
    {"required", {}},
    {"default", {}},
    {"enum", {}},
    {"pattern", {}},
    {"minLength", {}},
    {"maxLength", {}},
    {"minimum", {}},
    {"maximum", {}},
    {"items", {}},
    {"minItems", {}},
    {"maxItems", {}},
    {"multiline", {}},
    {"secret", {}},
    {"allowLeadingDash", {}},
}};

class Reader {
  public:
    Reader(Document& document, const Node& node) : document_(document), node_(node) {}

    std::optional<ArgumentDeclaration> read(const std::string& name) {
        if (!is_argument_name(name)) {
            document_.report_key(
                node_,
                "is not a valid name for an argument; use letters, digits, \"_\" and \"-\", "
                "starting with a letter, at most 64 characters");
        }
        if (!node_.value->is_object()) {
            report_type_alone();
            return std::nullopt;
        }
        spec_.name = name;
        if (!read_types()) {
            // Whatever it was meant to be, these are no keys of it.
            document_.check_keys(node_, every_key, other_words_of_arguments);
            return std::nullopt;
        }
        if (!document_.check_keys(node_, keys(), other_words_of_arguments)) return std::nullopt;
        read_text_keys();
        if (spec_.type == ArgumentType::string) {
            spec_.multiline = read_flag("multiline", false);
        }
        read_bounds();
        read_flags();
        if (spec_.pattern) compile(*spec_.pattern);
        if (spec_.pattern && pattern_ == nullptr) return std::nullopt;
        check_choices();
        read_default();
        return ArgumentDeclaration{std::move(spec_), std::move(pattern_)};
    }

  private:
    // "service": "string"
    void report_type_alone() {
        const bool text = node_.value->is_string();
        const std::string word = text ? node_.value->get<std::string>() : "string";
        document_.report(node_, "must be an object, not " + kind_of(*node_.value) +
                                    "; write {\"type\": " +
                                    as_json(type_of(word) ? word : std::string("string")) + '}');
    }

    bool read_types() {
        const auto type = document_.member(node_, "type");
        if (!type) {
            document_.report_required(node_, "type",
                                      R"("type": "string" (or integer, boolean, list))");
            return false;
        }
        const auto read = read_type(*type);
        if (!read) return false;
        spec_.type = *read;
        if (spec_.type != ArgumentType::list) return true;

        const auto items = document_.member(node_, "items");
        if (!items) {
            document_.report_required(node_, "items",
                                      R"("items": "string" (or integer, boolean), the )"
                                      "type of its elements");
            return false;
        }
        const auto item = read_type(*items);
        if (!item) return false;
        if (*item == ArgumentType::list) {
            document_.report(*items, "a list can't contain lists; use string, integer or boolean");
            return false;
        }
        spec_.items = *item;
        return true;
    }

    std::optional<ArgumentType> read_type(const Node& node) {
        const auto text = document_.text(node);
        if (!text) return std::nullopt;
        const auto type = type_of(*text);
        if (!type) {
            const auto other = std::ranges::find(other_types, *text, &OtherWord::word);
            document_.report(
                node, in_quotes(*text) + " is not a type; " +
                          (other == other_types.end() ? "use string, integer, boolean or list"
                                                      : std::string(other->advice)));
        }
        return type;
    }

    // Which keys may stand depends on the type.
    std::vector<Key> keys() {
        const bool list = spec_.type == ArgumentType::list;
        const ArgumentType scalar = list ? spec_.items : spec_.type;
        const bool string = scalar == ArgumentType::string;
        const bool integer = scalar == ArgumentType::integer;
        const std::string_view plural = string ? "strings" : integer ? "integers" : "booleans";
        no_meaning_ = "does not apply to " +
                      (list ? "a list of " + std::string(plural) : type_name(scalar)) +
                      "; remove it";
        std::vector<Key> these(every_key.begin(), every_key.end());
        const auto refuse_unless = [&](bool condition,
                                       std::initializer_list<std::string_view> names) {
            if (condition) return;
            for (Key& key : these) {
                if (std::ranges::find(names, key.name) != names.end()) key.refusal = no_meaning_;
            }
        };
        refuse_unless(string, {"enum", "pattern", "minLength", "maxLength"});
        refuse_unless(integer, {"minimum", "maximum"});
        refuse_unless(list, {"items", "minItems", "maxItems"});
        refuse_unless(string && !list, {"multiline"});
        refuse_unless(!list, {"secret"});
        refuse_unless(string || integer, {"allowLeadingDash"});
        return these;
    }

    void read_text_keys() {
        if (const auto summary = document_.member(node_, "summary")) {
            if (const auto text = document_.text(*summary)) {
                if (const auto forbidden = forbidden_character(*text)) {
                    document_.report(*summary, "contains " + *forbidden + "; remove it");
                }
                spec_.summary = *text;
            }
        }
        if (const auto pattern = document_.member(node_, "pattern")) {
            spec_.pattern = document_.text(*pattern);
        }
        const auto choices = document_.member(node_, "enum");
        if (!choices) return;
        const auto elements = document_.elements(*choices);
        if (!elements) return;
        if (elements->empty()) {
            document_.report(*choices, "is empty, so no value is valid; list at least one");
        }
        for (const Node& element : *elements) {
            const auto text = document_.text(element);
            if (!text) continue;
            if (std::ranges::find(spec_.values, *text) != spec_.values.end()) {
                document_.report(element, in_quotes(*text) + " is listed twice; remove one");
            }
            spec_.values.push_back(*text);
        }
    }

    std::optional<std::uint32_t> read_count(std::string_view key, std::size_t most) {
        const auto node = document_.member(node_, key);
        if (!node) return std::nullopt;
        const auto number = document_.integer(*node);
        if (!number) return std::nullopt;
        if (*number < 0 || static_cast<std::uint64_t>(*number) > most) {
            document_.report(*node, std::to_string(*number) +
                                        " is out of range; use a number from 0 to " +
                                        std::to_string(most));
            return std::nullopt;
        }
        return static_cast<std::uint32_t>(*number);
    }

    std::optional<std::int64_t> read_integer(std::string_view key) {
        const auto node = document_.member(node_, key);
        return node ? document_.integer(*node) : std::nullopt;
    }

    template <typename Number>
    void check_order(std::string_view low_key, std::optional<Number> low, std::string_view high_key,
                     std::optional<Number> high) {
        if (!low || !high || *low <= *high) return;
        report_at(high_key, std::to_string(*high) + " is less than \"" + std::string(low_key) +
                                "\" (" + std::to_string(*low) + "); correct one of them");
    }

    void read_bounds() {
        // No message can carry more.
        spec_.min_length = read_count("minLength", most_bytes(spec_));
        spec_.max_length = read_count("maxLength", most_bytes(spec_));
        check_order("minLength", spec_.min_length, "maxLength", spec_.max_length);
        spec_.min_items = read_count("minItems", limits::json_members);
        spec_.max_items = read_count("maxItems", limits::json_members);
        check_order("minItems", spec_.min_items, "maxItems", spec_.max_items);
        spec_.minimum = read_integer("minimum");
        spec_.maximum = read_integer("maximum");
        check_order("minimum", spec_.minimum, "maximum", spec_.maximum);
        if (spec_.max_length == 0U && spec_.min_length != 0U) {
            report_at("maxLength",
                      "0 allows no value, because a value must not be empty; use at least "
                      "1, or add \"minLength\": 0");
        }
        if (spec_.max_items == 0U && spec_.min_items != 0U) {
            report_at("maxItems",
                      "0 allows no value, because a list must not be empty; use at least 1, "
                      "or add \"minItems\": 0");
        }
        if (spec_.maximum && *spec_.maximum < 0 && !document_.member(node_, "minimum")) {
            report_at("maximum", std::to_string(*spec_.maximum) +
                                     " allows no value, because a negative number needs a "
                                     "\"minimum\"; add one");
        }
    }

    void report_at(std::string_view key, const std::string& what) {
        if (const auto node = document_.member(node_, key)) document_.report(*node, what);
    }

    bool read_flag(std::string_view key, bool otherwise) {
        const auto node = document_.member(node_, key);
        return node ? document_.boolean(*node).value_or(otherwise) : otherwise;
    }

    void read_flags() {
        spec_.secret = read_flag("secret", false);
        spec_.allow_leading_dash = read_flag("allowLeadingDash", false);
        spec_.required = read_flag("required", !document_.member(node_, "default").has_value());
        if (!document_.member(node_, "default")) return;
        if (spec_.required) {
            report_at("required",
                      "an argument with a default is never required; remove \"required\" or "
                      "\"default\"");
        }
        if (spec_.secret) {
            report_at(
                "default",
                "a secret can't have a default, because every caller can read defaults; remove it");
        }
    }

    void compile(const std::string& pattern) {
        re2::RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(1 << 20);
        auto compiled = std::make_shared<const re2::RE2>(pattern, options);
        if (compiled->ok()) {
            pattern_ = std::move(compiled);
            return;
        }
        report_at("pattern", in_quotes(pattern) + " is not a valid RE2 regular expression (" +
                                 printable(compiled->error()) + "); correct it");
    }

    // A choice that could never be made is a mistake.
    void check_choices() {
        const auto choices = document_.member(node_, "enum");
        if (!choices || !choices->value->is_array()) return;  // reported already
        const auto elements = document_.elements(*choices);
        if (!elements) return;
        for (const Node& element : *elements) {
            if (!element.value->is_string()) continue;
            ArgumentSpec one = spec_;
            one.type = ArgumentType::string;
            if (const auto problem = value_problem(one, pattern_.get(), to_value(*element.value))) {
                document_.report(element, problem->what + "; correct the value or the rule");
            }
        }
    }

    void read_default() {
        const auto node = document_.member(node_, "default");
        if (!node || spec_.secret) return;
        const Value value = to_value(*node->value);
        if (const auto problem = value_problem(spec_, pattern_.get(), value)) {
            document_.report(*node, problem->what + "; correct the default or the rule");
        }
        spec_.fallback = value;
    }

    Document& document_;
    const Node& node_;
    ArgumentSpec spec_;
    std::shared_ptr<const re2::RE2> pattern_;
    std::string no_meaning_;
};

}  // namespace

std::optional<ArgumentDeclaration> read_argument(Document& document, const std::string& name,
                                                 const Node& node) {
    return Reader(document, node).read(name);
}

}  // namespace postern::policy
