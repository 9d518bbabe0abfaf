// The tables of verbs and options, and what else is written down of them: the manual.
#include <gmock/gmock.h>

#include <algorithm>
#include <regex>
#include <set>

#include "ctl/verbs/all_options.h"
#include "ctl/verbs/verbs.h"
#include "tests/unit/file_text.h"

namespace postern::ctl {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

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

TEST(CtlTables, AListOfWordsIsWhereOneIsCompleted) {
    for (const auto& option : every_option()) {
        SCOPED_TRACE(option.name);
        EXPECT_EQ(option.completes == Completes::listed, !option.listed.empty());
        EXPECT_TRUE(option.completes == Completes::nothing || !option.value.empty());
    }
    for (const auto* verb : verbs()) {
        SCOPED_TRACE(verb->name);
        EXPECT_EQ(verb->completes == Completes::listed, !verb->listed.empty());
        EXPECT_EQ(verb->completes == Completes::nothing, verb->most_words == 0);
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
        if (line.starts_with(".B posternd ") || line.starts_with(".BR \"posternd ")) continue;
        ours += std::regex_replace(line, std::regex(R"(\\-)"), "-") + '\n';
    }
    EXPECT_EQ(options_in(ours), known_options());
}

}  // namespace
}  // namespace postern::ctl
