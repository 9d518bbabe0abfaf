#include "host/same_file.h"

#include <sys/stat.h>

namespace postern {

std::optional<FileNumber> number_of(int file) {
    struct stat status{};
    if (fstat(file, &status) != 0) return std::nullopt;
    return FileNumber{status.st_dev, status.st_ino};
}

bool lies_at(int file, const std::string& path) {
    const auto number = number_of(file);
    return number && lies_at(*number, path);
}

bool lies_at(const FileNumber& file, const std::string& path) {
    struct stat status{};
    return lstat(path.c_str(), &status) == 0 && FileNumber{status.st_dev, status.st_ino} == file;
}

}  // namespace postern
