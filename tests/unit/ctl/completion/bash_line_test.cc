#include "ctl/completion/bash_line.h"

#include <gmock/gmock.h>

namespace postern::ctl {
namespace {

using testing::ElementsAreArray;

constexpr std::string_view usual_breaks = " \t\n\"'@><=;|&(:";

struct Typed {
    std::string line;  // behind "posternctl "
    std::vector<std::string> words;
    std::string word;
    std::size_t kept = 0;
    char quote = 0;
};

TEST(BashLine, IsReadAsBashReadsIt) {
    for (const auto& typed : std::vector<Typed>{
             {"", {}, ""},
             {"run", {}, "run"},
             {"run  a ", {"run", "a"}, ""},
             {"run 'a b' \"c\\\"d\" e\\ f g", {"run", "a b", "c\"d", "e f"}, "g"},
             {"run '' x", {"run", ""}, "x"},
             {"run a'b'\"c\"d", {"run"}, "abcd"},
             {"run \"a\\b\" ", {"run", "a\\b"}, ""},
             {"run a\\\nb", {"run"}, "ab"},
             {"run a\\", {"run"}, "a"},
             // What readline leaves as it is.
             {"run a service=ng", {"run", "a"}, "service=ng", 8},
             {"run a service=", {"run", "a"}, "service=", 8},
             {"run a size:=1", {"run", "a"}, "size:=1", 6},
             {"run a path=a:b@c", {"run", "a"}, "path=a:b@c", 9},
             {"run a path=a\\:b", {"run", "a"}, "path=a:b", 5},
             {"run a 'path=a:b", {"run", "a"}, "path=a:b", 0, '\''},
             {"run a path='a:b", {"run", "a"}, "path=a:b", 5, '\''},
             {"run a path=\"a\\$b", {"run", "a"}, "path=a$b", 5, '"'},
             {"run a path='a:b'c", {"run", "a"}, "path=a:bc", 5},
             // Redirections are no words.
             {"run a >x 2>y b ", {"run", "a", "b"}, ""},
             {"run a 2 >x ", {"run", "a", "2"}, ""},
             {"run a>x c", {"run", "a"}, "c"},
         }) {
        SCOPED_TRACE(typed.line);
        const auto line = read_bash_line("posternctl " + typed.line, usual_breaks);
        auto words = typed.words;
        words.insert(words.begin(), "posternctl");
        EXPECT_THAT(line.words, ElementsAreArray(words));
        EXPECT_EQ(line.word, typed.word);
        EXPECT_EQ(line.kept, typed.kept);
        EXPECT_EQ(line.quote, typed.quote);
        EXPECT_FALSE(line.expands);
        EXPECT_FALSE(line.redirects);
    }
    EXPECT_EQ(read_bash_line("p run a service=ng", " \t\n").kept, 0U);
}

TEST(BashLine, TellsWhatBashWouldExpand) {
    for (const auto* line : {"p run $HO", "p run a\"$", "p run `i", "p run x=\"`", "p run $'a"}) {
        EXPECT_TRUE(read_bash_line(line, usual_breaks).expands) << line;
    }
    for (const auto* line : {"p run \\$HO", "p run '$", "p run $A b", "p run \"\\`"}) {
        EXPECT_FALSE(read_bash_line(line, usual_breaks).expands) << line;
    }
    for (const auto* line : {"p run a >", "p run a > b", "p run a 2>b", "p run <"}) {
        EXPECT_TRUE(read_bash_line(line, usual_breaks).redirects) << line;
    }
}

TEST(BashText, IsQuotedAsTheLineIs) {
    const auto typed = [](std::string_view line, std::string_view word) {
        return bash_text(word, read_bash_line(line, usual_breaks)).value_or("(none)");
    };
    EXPECT_EQ(typed("p run web", "web.restart"), "web.restart");
    EXPECT_EQ(typed("p run ", "$(touch x)`;'\"\\!*?[~#{a,b}<>|&^"),
              "\\$\\(touch\\ x\\)\\`\\;\\'\\\"\\\\\\!\\*\\?\\[\\~\\#\\{a,b\\}\\<\\>\\|\\&\\^");
    EXPECT_EQ(typed("p run ", "\u00e4"), "\u00e4");
    EXPECT_EQ(typed("p run '", "$(a) 'b!"), "$(a) '\\''b!");
    EXPECT_EQ(typed("p run \"", "$(a) `\"\\'"), "\\$(a) \\`\\\"\\\\'");
    EXPECT_EQ(typed("p run \"", "a!b"), "(none)");
    // Only what comes behind what is kept.
    EXPECT_EQ(typed("p run a service=n", "service=nginx"), "nginx");
    EXPECT_EQ(typed("p run a 'service=n", "service=nginx"), "service=nginx");
    EXPECT_EQ(typed("p run a service='n", "service=n o"), "n o");
    EXPECT_EQ(typed("p run a path=a:b", "path=a:bc d"), "bc\\ d");
}

}  // namespace
}  // namespace postern::ctl
