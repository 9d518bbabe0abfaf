// `posternctl complete`: what the completions of the shells run (packaging/completion/). It is no
// verb of the table, and what it prints may change with them.
//
//   posternctl complete -- WORD...
// The words after the program's name; the last one is the one at the cursor, and may be empty. Each
// line is a word that it could become, not only those that begin with it, and behind a tab what it
// is, if that is known.
//
//   posternctl complete --bash LINE BREAKS
// The command line up to the cursor as bash has it, and COMP_WORDBREAKS. Each line is what readline
// is to put there, quoted.
//
// In both: a line of a tab and a number stands alone. The shell is to complete a path, which begins
// behind so many characters of the word.
#pragma once

#include <span>
#include <string>

namespace postern::ctl {

// The words after "complete". Returns the exit code.
int complete(std::span<const std::string> words);

}  // namespace postern::ctl
