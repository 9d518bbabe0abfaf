// Every example that posternctl gives is one that the guard takes: the declaration goes the whole
// way, from the text of an action's file to the command that the guard would start.
#include <gtest/gtest.h>
#include <wordexp.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "base/utf8.h"
#include "ctl/command_line.h"
#include "ctl/text/action.h"
#include "ctl/text/action_text.h"
#include "ctl/text/argument_values.h"
#include "daemon/policy/arguments.h"
#include "daemon/session/json_values.h"
#include "tests/unit/daemon/policy/file/support.h"

namespace postern::ctl {
namespace {

using nlohmann::json;

// Files of actions with arguments of every kind. Most of what it writes is valid, and not all.
class Declarations {
  public:
    explicit Declarations(std::uint64_t seed) : random_(seed) {}

    json action() {
        json arguments = json::object();
        json exec = {"/usr/bin/true"};
        std::string stdin_text;
        for (int count = number(0, 3); count > 0; --count) {
            const std::string name = one_of(names);
            if (arguments.contains(name)) continue;
            const json declared = argument();
            const bool hidden =
                declared.value("secret", false) || declared.value("multiline", false);
            if (hidden) {
                stdin_text += '{' + name + '}';
            } else {
                exec.push_back('{' + name + '}');
            }
            arguments[name] = declared;
        }
        json action = {
            {"summary", "s"}, {"allow", json::array()}, {"exec", exec}, {"arguments", arguments}};
        if (!stdin_text.empty()) {
            action["stdin"] = stdin_text;
        } else if (often(4)) {
            action["input"] = often(2) ? "text" : "direct";
        }
        if (often(4)) action["datagram"] = true;
        return action;
    }

    std::string action_name() { return one_of(Texts{"a", "web.restart", "0", "A-b_c"}); }

  private:
    using Texts = std::vector<std::string>;
    // With what a shell, posternctl and JSON may take for something else.
    inline static const Texts names = {"a", "name", "x-y", "A_1", "n" + std::string(63, 'm')};
    inline static const Texts values = {"a",
                                        "x y",
                                        "it's",
                                        "-dash",
                                        "--help",
                                        "",
                                        "\u00e9",
                                        "first\nsecond",
                                        "tab\there",
                                        "\n",
                                        "\u202e",
                                        "\x1b[31m",
                                        "a=b",
                                        "=",
                                        "$HOME",
                                        "`id`",
                                        "{x}",
                                        "\\",
                                        "\\n",
                                        "\"",
                                        "~",
                                        "*",
                                        "!",
                                        "true",
                                        "7",
                                        "#",
                                        "\U0001F600",
                                        std::string(70, 'l'),
                                        std::string(4096, 'L')};
    inline static const Texts patterns = {".*", "[a-z]+", "a|x y", "[A-Z_0-9-]+", "(?s).*", "-.*"};

    bool often(int out_of) { return number(1, out_of) == 1; }
    int number(int from, int to) { return std::uniform_int_distribution(from, to)(random_); }
    template <typename T>
    T one_of(const std::vector<T>& all) {
        return all[std::uniform_int_distribution<std::size_t>(0, all.size() - 1)(random_)];
    }
    std::int64_t bound() {
        constexpr std::int64_t most = std::int64_t{1} << 53;
        return one_of<std::int64_t>(
            {-most, -most + 1, -100, -3, -1, 0, 1, 2, 5, 1000, most - 1, most});
    }
    int length() { return one_of<int>({0, 1, 2, 3, 4, 63, 64, 65, 100, 4095, 4096}); }
    int items() { return one_of<int>({0, 1, 2, 3, 8, 9, 256}); }

    // With the keys that bound it.
    void bound_scalar(json& declared, const std::string& type) {
        if (type == "integer") {
            if (often(2)) declared["minimum"] = bound();
            if (often(2)) declared["maximum"] = bound();
        }
        if (type != "string") return;
        if (often(4)) declared["minLength"] = length();
        if (often(4)) declared["maxLength"] = length();
        if (often(5)) declared["pattern"] = one_of(patterns);
        if (!often(3)) return;
        json some = json::array();
        for (int count = number(1, 3); count > 0; --count) {
            const std::string value = one_of(values);
            if (std::ranges::find(some, json(value)) == some.end()) some.push_back(value);
        }
        declared["enum"] = some;
    }

    json argument() {
        const auto type = one_of<std::string>({"string", "string", "integer", "boolean", "list"});
        json declared = {{"type", type}};
        std::string scalar = type;
        if (type == "list") {
            scalar = one_of<std::string>({"string", "integer", "boolean"});
            declared["items"] = scalar;
            if (often(3)) declared["minItems"] = items();
            if (often(3)) declared["maxItems"] = items();
        } else if (often(8)) {
            declared["secret"] = true;
        }
        if (type == "string" && often(3)) declared["multiline"] = true;
        if (scalar != "boolean" && often(3)) declared["allowLeadingDash"] = true;
        if (often(6)) declared["required"] = often(2);
        bound_scalar(declared, scalar);
        return declared;
    }

    std::mt19937_64 random_;
};

// As a POSIX shell splits it; empty: it does something else with it.
std::vector<std::string> words_of(const std::string& command) {
    wordexp_t split{};
    std::vector<std::string> words;
    if (wordexp(command.c_str(), &split, WRDE_NOCMD | WRDE_UNDEF) == 0) {
        words.assign(split.we_wordv, split.we_wordv + split.we_wordc);
    }
    wordfree(&split);
    return words;
}

// What is wrong with an example of this action; empty: nothing.
std::string problem_of(const policy::Action& action, const ActionDescription& described,
                       const std::string& example) {
    if (printable(example) != example) return "it is not printable";
    const auto words = words_of(example);
    if (words.empty() || words.front() != "posternctl") return "a shell takes it for another";
    const auto parsed = parse_command_line(std::span(words).subspan(1), {});
    const auto* const task = std::get_if<Task>(&parsed);
    if (task == nullptr) return std::get<Stop>(parsed).err;
    const auto& given = task->invocation.words;
    if (given.front() != action.description.name) return "it is for " + given.front();
    const auto split = split_arguments(std::span(given).subspan(1));
    if (!split) return split.error().message;
    const auto typed = typed_arguments(*split, &described);
    if (!typed) return typed.error().message;
    const auto bound = policy::bind_arguments(action, session::arguments_from_json(*typed));
    return bound ? "" : bound.error().message;
}

TEST(CtlExample, IsTakenByTheGuardOrLeftOut) {
    constexpr std::uint64_t first_seed = 20'130'000;
    constexpr int files = 20'000;
    int accepted = 0;
    int with_example = 0;
    for (std::uint64_t seed = first_seed; seed < first_seed + files; ++seed) {
        Declarations declarations(seed);
        const std::string name = declarations.action_name();
        const std::string text = declarations.action().dump();
        const auto action = policy::parse_action(name, "/f.json", text, policy::own_options());
        if (!action) continue;
        ++accepted;
        // What the session sends to --json, read as posternctl reads it.
        const auto described = decode_action(session::action_json(action->description));
        ASSERT_TRUE(described) << "seed " << seed << ": " << text;
        const auto example = example_command(*described);
        const bool shown = describe_action(*described).find("\nExample: ") != std::string::npos;
        ASSERT_EQ(shown, example.has_value()) << "seed " << seed << ": " << text;
        if (!example) continue;
        ++with_example;
        ASSERT_EQ(problem_of(*action, *described, *example), "")
            << "seed " << seed << ": " << text << '\n'
            << *example;
    }
    // So that neither half says yes to nothing.
    EXPECT_GT(accepted, files / 4);
    EXPECT_GT(with_example, files / 8);
}

}  // namespace
}  // namespace postern::ctl
