// What bash hands to a completion, and what it takes back: text as it is typed, with its quotes.
// Nothing of it is ever expanded.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::ctl {

// A command line up to the cursor, without its quotes.
struct BashLine {
    std::vector<std::string> words;  // before the one at the cursor; the first is the program
    std::string word;                // at the cursor, as far as it is typed
    // Readline leaves so many bytes of `word` as they are typed, and replaces the rest: it takes a
    // word for ended after "=" or ":", and has an open quote before what it replaces.
    std::size_t kept = 0;
    char quote = 0;          // in which the cursor is; 0: in none
    bool redirects = false;  // `word` is no argument but the file of a redirection
    bool expands = false;    // bash would make something else of `word`: it has "$" or "`"
};

// `breaks`: COMP_WORDBREAKS.
BashLine read_bash_line(std::string_view line, std::string_view breaks);

// What replaces the end of the word at the cursor so that this word is there, which begins with
// `line.word`. Absent: it can't be typed there.
std::optional<std::string> bash_text(std::string_view word, const BashLine& line);

}  // namespace postern::ctl
