// The owner of an open directory stream (opendir(3)).
#pragma once

#include <dirent.h>

#include <memory>

namespace postern {

struct CloseDirectory {
    void operator()(DIR* open) const { closedir(open); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

}  // namespace postern
