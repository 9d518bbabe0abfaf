// Whether a name still leads to the file that is open.
#pragma once

#include <string>

namespace postern {

// Whether the open file (or directory) lies at the path itself, over no link. Also false where
// either can't be asked.
bool lies_at(int file, const std::string& path);

}  // namespace postern
