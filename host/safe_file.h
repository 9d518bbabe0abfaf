// A file must be safe before it is believed: opened once, judged by fstat of what is open.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

enum class Use : unsigned char {
    read,     // a file whose content is believed
    execute,  // a program that is started; its descriptor is O_PATH
};

// Why something was not opened.
struct OpenError {
    enum class Kind : unsigned char {
        missing,  // a component does not exist
        failed,   // the system said no: permissions, descriptors, input/output
        unsafe,   // it is there, and somebody else could change it or put it in place
    };
    Kind kind = Kind::failed;
    std::string message;  // with the path of the component at fault
    std::string problem;  // without it: "is not a regular file; put a regular file there"
    // Of what is missing: why others than root and the owner could put it there, if they could.
    std::optional<std::string> others_could_create = std::nullopt;
    // Of a program, for those who may not see where it is: "it is not executable". Empty: what the
    // kind says.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::string told = {};
};

// Opens an absolute path whose file is regular, owned by root or `owner`, not group- or
// world-writable, and of which the same holds for every folder on the way. A folder above the one
// that holds the file may be world-writable if it is sticky (/tmp): nobody else can rename what is
// in it. Symbolic links are followed by hand, also one that is the last component, each owned by
// root or `owner` and each target checked like the rest; so no link of /proc is ever taken for what
// the kernel makes of it. Never blocks on a FIFO or device, and never opens one.
//
// The file may have several hard links. Its owner, mode and content are those of the inode, by
// whatever name: another link lets nobody write it, and that this name leads to it was decided by
// who can write the folder. What a second name can do is to have root's own tools write to it in a
// place where a user chooses names; but that name can be gone again when we look, so that to
// refuse a second link would not help, and fs.protected_hardlinks (proc_sys_fs(5)) does. Where that
// is 0, refusing would let every user switch a file off, by a link to it.
//
// The error names the component that is not safe, its owner and mode, and what to do. A link that
// leads to what does not exist is no file that is missing: Kind::failed, for Use::read.
Result<UniqueFd, OpenError> open_safe(const std::string& path, uid_t owner, Use use);

// The same for a folder: the error says why its files can't be believed. The descriptor can be
// read.
Result<UniqueFd, OpenError> open_safe_folder(const std::string& path, uid_t owner);

// What is wrong with a folder as a place for what `owner` makes in it: as open_safe_folder() sees
// it, but that others may write to it if it is sticky, since they can't take away or rename there
// what is not theirs.
Result<void, OpenError> check_safe_place(const std::string& path, uid_t owner);

// The file `name` in an open folder that open_safe_folder() gave, judged as open_safe() does it for
// Use::read. `path` is its absolute one: for messages, and where a link begins. An empty
// descriptor: the name is a link that leads to /dev/null. Kind::missing: there is no such name (any
// more).
Result<UniqueFd, OpenError> open_safe_in(int folder, const std::string& name,
                                         const std::string& path, uid_t owner);

// The whole content of an open regular file. Errors: longer than `limit`; changed while it was read
// (by size and time: what is half old and half new is never believed); can't be read.
Result<std::string> read_unchanged(int file, std::size_t limit);

}  // namespace postern
