// Whether a name still leads to the file that is open.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace postern {

// What is the same for all names of a file, and no other file's for as long as it is open.
struct FileNumber {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const FileNumber&) const = default;
};
std::optional<FileNumber> number_of(int file);

// Whether the open file (or directory) lies at the path itself, over no link. Also false where
// either can't be asked.
bool lies_at(int file, const std::string& path);
// The same of one whose number is known.
bool lies_at(const FileNumber& file, const std::string& path);

}  // namespace postern
