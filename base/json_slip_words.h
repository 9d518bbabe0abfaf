// What people write where JSON wants a word, a number or a quotation mark. A part of
// base/json_slips.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern {

// Whether a word can begin so, other than a number.
bool begins_word(char c);

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
bool is_json_number(std::string_view text);

// As a string of JSON, for advice; "..." where it is long.
std::string json_string_of(std::string_view text);

// What looks like a quotation mark and is none of JSON's: the whole character; empty: it is none.
std::string_view other_quote(std::string_view text);

// What stands between `quote`, with which the line begins, and the next of any kind. Absent: there
// is none.
std::optional<std::string_view> other_quoted_text(std::string_view line, std::string_view quote);

// All that somebody meant who wrote no quotation marks: from the word, with which the line begins,
// to the end of the value.
std::string_view unquoted_text(std::string_view line, std::string_view word);

// What to write instead of a word where a value is wanted.
std::string advice_for_word(std::string_view word);

}  // namespace postern
