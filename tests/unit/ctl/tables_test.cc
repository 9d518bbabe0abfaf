// The tables of verbs and options, and what else is written down of them: the completion, whose
// lists are made from the tables (POSTERN_RERECORD=1 writes them anew), and the manual.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "ctl/verbs/all_options.h"
#include "ctl/verbs/verbs.h"
#include "tests/unit/file_text.h"

namespace postern::ctl {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr const char* completion = POSTERN_PACKAGING "/completion/posternctl.bash";
constexpr const char* manual = POSTERN_PACKAGING "/man/posternctl.1";

std::string text_in(const char* path) {
    auto text = read_path(path);
    EXPECT_FALSE(text.empty()) << path;
    return text;
}

std::vector<Option> every_option() {
    auto options = own_options();
    options.insert(options.begin(), common_options.begin(), common_options.end());
    return options;
}

// "--socket --user"
template <typename Table>
std::string dashed_names(const Table& table) {
    std::string names;
    for (const auto& option : table) {
        names += (names.empty() ? "--" : " --") + std::string(option.name);
    }
    return names;
}

// All that looks like a long option in a text.
std::set<std::string> options_in(const std::string& text) {
    static const std::regex option("(^|[^A-Za-z0-9-])--([a-z][a-z-]*)");
    std::set<std::string> found;
    for (auto match = std::sregex_iterator(text.begin(), text.end(), option);
         match != std::sregex_iterator(); ++match) {
        found.insert((*match)[2]);
    }
    return found;
}

std::set<std::string> known_options() {
    std::set<std::string> names;
    for (const auto& option : every_option()) names.emplace(option.name);
    return names;
}

TEST(CtlTables, EveryRowIsWhole) {
    std::set<std::string_view> names;
    for (const auto* verb : verbs()) {
        SCOPED_TRACE(verb->name);
        EXPECT_TRUE(names.insert(verb->name).second);
        EXPECT_NE(verb->run, nullptr);
        EXPECT_LE(verb->least_words, verb->most_words);
        ASSERT_FALSE(verb->summary.empty());
        EXPECT_TRUE(verb->summary.front() >= 'a' && verb->summary.front() <= 'z');
        ASSERT_FALSE(verb->help.empty());
        EXPECT_EQ(verb->help.back(), '\n');
        // What is missing is called by the first word of the synopsis.
        EXPECT_TRUE(verb->least_words == 0 || !verb->synopsis.empty());
    }
}

TEST(CtlTables, AnOptionIsTheSameForAllVerbsThatTakeIt) {
    const auto options = every_option();
    std::set<std::string_view> names;
    std::set<char> letters;
    for (const auto& option : options) {
        SCOPED_TRACE(option.name);
        EXPECT_TRUE(names.insert(option.name).second);
        EXPECT_TRUE(option.letter == 0 || letters.insert(option.letter).second);
        EXPECT_FALSE(option.help.empty());
        EXPECT_NE(option.help.back(), '\n');
    }
    for (const auto* verb : verbs()) {
        for (const auto& option : verb->options) {
            const auto row = std::ranges::find(options, option.name, &Option::name);
            EXPECT_EQ(option.letter, row->letter) << option.name;
            EXPECT_EQ(option.value, row->value) << option.name;
            EXPECT_EQ(option.help, row->help) << option.name;
        }
    }
}

// The lists of the completion, as the tables have them.
std::string completion_lists() {
    std::ostringstream text;
    text << "    local verbs='";
    for (const auto* verb : verbs()) text << (verb == verbs().front() ? "" : " ") << verb->name;
    text << "'\n    local options='" << dashed_names(common_options) << "'\n    local -A own=(\n";
    for (const auto* verb : verbs()) {
        if (verb->options.empty()) continue;
        text << "        [" << verb->name << "]='" << dashed_names(verb->options) << "'\n";
    }
    text << "    )\n";
    return text.str();
}

TEST(CtlTables, TheCompletionHasTheirLists) {
    auto text = text_in(completion);
    const std::string begin =
        "    # From the tables of ctl/verbs/, by ctl_tests (HACKING.md, \"Tests\"):\n";
    const auto from = text.find(begin);
    const auto to = text.find("    # End of what is from the tables.\n");
    ASSERT_TRUE(from != std::string::npos && to != std::string::npos && from < to) << completion;
    const auto at = from + begin.size();
    if (const char* rerecord = std::getenv("POSTERN_RERECORD");
        rerecord != nullptr && *rerecord != '\0') {
        text.replace(at, to - at, completion_lists());
        std::ofstream(completion) << text;
        return;
    }
    EXPECT_EQ(text.substr(at, to - at), completion_lists())
        << completion << ": write it anew with POSTERN_RERECORD=1";
}

TEST(CtlTables, TheCompletionNamesNoOtherOption) {
    const auto text = text_in(completion);
    EXPECT_EQ(options_in(text), known_options());
    // A value is completed, or passed over in the search for the verb, by the option's name.
    for (const auto& option : every_option()) {
        if (option.value.empty()) continue;
        EXPECT_THAT(text, HasSubstr("            --" + std::string(option.name) + ")\n"));
    }
}

// As troff writes it: a plain "-" may become another character on paper.
std::string in_troff(std::string_view text) {
    std::string escaped;
    for (const char c : text) escaped += c == '-' ? std::string("\\-") : std::string(1, c);
    return escaped;
}

TEST(CtlTables, TheManualHasEveryVerbAndEveryOption) {
    const auto text = text_in(manual);
    for (const auto* verb : verbs()) {
        const auto name = in_troff(verb->name);
        EXPECT_THAT(text, AnyOf(HasSubstr(".TP\n.B " + name + "\n"),
                                HasSubstr(".TP\n.B " + name + " \\-\\-"),
                                HasSubstr(".TP\n.BI " + name + " \"")))
            << verb->name;
    }
    for (const auto& option : common_options) {
        const auto name = in_troff("--" + std::string(option.name));
        const auto value =
            option.value.empty() ? "\n" : " \" " + std::string(option.value) + "\"\n";
        const auto letter = std::string{'-', option.letter};
        EXPECT_THAT(
            text, AnyOf(HasSubstr(".TP\n.B " + name + value), HasSubstr(".TP\n.BI " + name + value),
                        HasSubstr(".TP\n.BR " + in_troff(letter) + " \", \" " + name + value)))
            << option.name;
    }
    for (const auto* verb : verbs()) {
        for (const auto& option : verb->options) {
            EXPECT_THAT(text, HasSubstr(in_troff("--" + std::string(option.name)))) << verb->name;
        }
    }
}

TEST(CtlTables, TheManualNamesNoOtherOption) {
    std::string ours;
    for (const auto& line : lines_of(text_in(manual))) {
        // What the daemon's own program takes is in its own manual.
        if (line.starts_with(".B posternd ")) continue;
        ours += std::regex_replace(line, std::regex(R"(\\-)"), "-") + '\n';
    }
    EXPECT_EQ(options_in(ours), known_options());
}

}  // namespace
}  // namespace postern::ctl
