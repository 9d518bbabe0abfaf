// A command line of posternctl that is being typed, up to the cursor. Unlike the one that is
// executed it may be wrong in any way; what is not understood is passed over.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ctl/verbs/verb.h"

namespace postern::ctl {

struct TypedLine {
    const Verb* verb = nullptr;
    bool lost = false;           // its verb is none that there is
    Invocation invocation;       // words and options before the cursor; it has no target
    bool options_ended = false;  // by "--"
    std::string word;            // at the cursor
    // The option whose value is at the cursor, from this byte of the word on: "--state=r".
    const Option* option = nullptr;
    std::size_t value_from = 0;

    [[nodiscard]] std::string_view value() const {
        return std::string_view(word).substr(value_from);
    }
};

// `words`: without the program's name; the last one is the one at the cursor, and may be empty.
TypedLine read_typed_line(std::span<const std::string> words);

}  // namespace postern::ctl
