#include "host/safe_program.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "base/utf8.h"

namespace postern {
namespace {

constexpr int most_interpreters = 4;  // execve(2)
constexpr std::string_view blanks = " \t";
constexpr std::string_view its_interpreter = "its interpreter ";

Unexpected<OpenError> unusable(const std::string& path, const std::string& problem) {
    return Unexpected(OpenError{OpenError::Kind::unsafe,
                                printable(path + ' ' + problem),
                                printable(problem),
                                {},
                                printable("it " + problem.substr(0, problem.find("; ")))});
}

// What the kernel looks at of a program: BINPRM_BUF_SIZE of linux/binfmts.h, since Linux 5.1.
using FirstBytes = std::array<char, 256>;

// Why root may not read it and what to do: its mode, or else a security module has decided.
std::string why_unreadable(int error, int program, const std::string& path) {
    struct stat status{};
    if (error == EACCES && fstat(program, &status) == 0 && status.st_uid == geteuid() &&
        (status.st_mode & S_IRUSR) != 0) {
        return ", although its mode allows it; AppArmor or SELinux denies it: see journalctl -k";
    }
    return "; run: chmod u+r " + path;
}

// Filled up with zeros, as the kernel does it. `program` is an O_PATH descriptor of a regular file.
Result<FirstBytes, OpenError> read_first_bytes(int program, const std::string& path) {
    FirstBytes bytes{};
    const std::string name = "/proc/self/fd/" + std::to_string(program);
    const UniqueFd file(open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file) {
        const int error = errno;
        // An interpreter that runs as we do could not read it either: it is no script.
        if (error == EACCES && geteuid() != 0) return bytes;
        return unusable(path, "can't be read to see whether it is a script: " +
                                  std::generic_category().message(error) +
                                  why_unreadable(error, program, path));
    }
    std::size_t have = 0;
    while (have < bytes.size()) {
        const ssize_t got =
            pread(file.get(), bytes.data() + have, bytes.size() - have, static_cast<off_t>(have));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            return unusable(path, "can't be read: " + std::generic_category().message(errno));
        }
        if (got == 0) break;
        have += static_cast<std::size_t>(got);
    }
    return bytes;
}

struct FirstLine {
    std::string interpreter;
    std::string argument;  // one word, whatever blanks are in it; empty: none
};

std::string_view without_blanks(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// As load_script() of Linux's fs/binfmt_script.c reads it. Absent: it is no script.
Result<std::optional<FirstLine>, OpenError> first_line(const FirstBytes& bytes,
                                                       const std::string& path) {
    std::string_view line(bytes.data(), bytes.size());
    if (!line.starts_with("#!")) return std::optional<FirstLine>();
    const std::size_t end = line.find_first_of(std::string_view("\n\0", 2));
    const bool is_whole = end != std::string_view::npos;
    line = line.substr(0, end).substr(2);
    const std::size_t name = line.find_first_not_of(blanks);
    if (name == std::string_view::npos) {
        return unusable(path, "names no interpreter in its first line; write one after \"#!\"");
    }
    const std::size_t name_end = line.find_first_of(blanks, name);
    if (name_end == std::string_view::npos && !is_whole) {
        return unusable(path,
                        "names in its first line an interpreter whose path is too "
                        "long for Linux; move the interpreter");
    }
    FirstLine found;
    found.interpreter = line.substr(name, name_end - name);
    if (!is_whole) line.remove_suffix(1);  // which the kernel needs for a zero
    if (name_end < line.size()) found.argument = without_blanks(line.substr(name_end));
    return std::optional(std::move(found));
}

bool is_env(std::string_view interpreter) {
    return interpreter.substr(interpreter.rfind('/') + 1) == "env";
}

// The program that env(1) is asked for, by name or by path. Only the plain forms "NAME" and
// "-S NAME ARGUMENT..." are known; absent: it is another one.
std::optional<std::string> asked_of_env(std::string_view argument) {
    constexpr std::string_view split = "-S";
    const bool splits = argument.starts_with(split);
    if (splits) argument = without_blanks(argument.substr(split.size()));
    // What env(1) would expand or take for a variable or an option.
    constexpr std::string_view special = "\\\"'$#=";
    if (argument.empty() || argument.front() == '-' ||
        argument.find_first_of(special) != std::string_view::npos) {
        return std::nullopt;
    }
    return std::string(argument.substr(0, splits ? argument.find_first_of(blanks) : argument.npos));
}

// Follows a program to its interpreters.
class ProgramJudge {
  public:
    ProgramJudge(uid_t owner, std::string_view search_path)
        : owner_(owner), search_path_(search_path) {}

    // `before`: how many interpreters led here.
    Result<UniqueFd, OpenError> open(const std::string& path, int before) const {
        POSTERN_TRY(UniqueFd program, open_safe(path, owner_, Use::execute));
        POSTERN_TRY(const auto bytes, read_first_bytes(program.get(), path));
        POSTERN_TRY(const auto line, first_line(bytes, path));
        if (!line) return program;
        // "#!/bin/sh\r": the kernel takes it for a part of the name, and env(1) too.
        if (line->interpreter.ends_with('\r') ||
            (is_env(line->interpreter) && line->argument.ends_with('\r'))) {
            return unusable(path,
                            "has Windows line endings (CR LF), so its interpreter is not "
                            "found; run: sed -i 's/\\r$//' " +
                                path);
        }
        if (before == most_interpreters) {
            return unusable(path,
                            "is the fifth script in a chain of interpreters, and Linux "
                            "follows only four; name the interpreter of the last one");
        }
        const std::string begun = path + " is started by " + line->interpreter;
        if (auto found = open(line->interpreter, before + 1); !found) {
            return led_by(begun + ", as its first line says: ", line->interpreter,
                          std::move(found).error());
        }
        if (!is_env(line->interpreter)) return program;
        const auto asked = asked_of_env(line->argument);
        if (!asked) {
            return unusable(path, "is started by " + line->interpreter +
                                      " in a way that can't be "
                                      "followed (" +
                                      in_quotes(line->argument) +
                                      "); name the interpreter by its path in the first line");
        }
        if (auto found = search(*asked, before + 1); !found) {
            return led_by(begun + ", which looks for " + in_quotes(*asked) + " in PATH: ", *asked,
                          std::move(found).error());
        }
        return program;
    }

  private:
    // `interpreter`: what it led to.
    static Unexpected<OpenError> led_by(const std::string& begun, const std::string& interpreter,
                                        OpenError error) {
        // Of several in a row, the last one.
        // Of several in a row, the last one. Who could change it, and so where, is for the
        // administrator.
        if (!error.told.starts_with(its_interpreter)) {
            const bool unsafe = error.kind == OpenError::Kind::unsafe && error.told.empty();
            error.told =
                std::string(its_interpreter) +
                (unsafe ? std::string("could be changed by others")
                        : printable(interpreter) + ' ' +
                              (error.kind == OpenError::Kind::missing  ? "does not exist"
                               : error.kind == OpenError::Kind::failed ? "can't be opened"
                                                                       : error.told.substr(3)));
        }
        error.kind = OpenError::Kind::failed;  // what was asked for is not missing
        error.message = printable(begun) + error.message;
        error.problem = error.message;
        return Unexpected(std::move(error));
    }

    // All that execvp(3) might find.
    Result<void, OpenError> search(const std::string& name, int before) const {
        if (name.find('/') != std::string::npos) {
            POSTERN_TRY(const UniqueFd found, open(name, before));
            return {};
        }
        bool is_there = false;
        std::string_view rest = search_path_;
        while (true) {
            const std::size_t colon = rest.find(':');
            // An empty one is the working directory: no absolute path, and refused as such.
            std::string path(rest.substr(0, colon));
            if (!path.empty()) path += '/';
            path += name;
            const auto found = open(path, before);
            if (found) {
                is_there = true;
            } else if (found.error().kind != OpenError::Kind::missing) {
                return Unexpected(found.error());
            } else if (const auto& why = found.error().others_could_create) {
                return Unexpected(OpenError{OpenError::Kind::unsafe, *why, *why});
            }
            if (colon == std::string_view::npos) break;
            rest.remove_prefix(colon + 1);
        }
        if (is_there) return {};
        return Unexpected(
            OpenError{OpenError::Kind::missing,
                      "it is not in any of those directories; install it, or name the "
                      "interpreter by its path in the first line",
                      {}});
    }

    uid_t owner_;
    std::string_view search_path_;
};

}  // namespace

std::string format_problem(const UniqueFd& program, const std::string& path) {
    const auto bytes = read_first_bytes(program.get(), path);
    if (!bytes) return {};
    const std::string_view text(bytes->data(), bytes->size());
    // All zeros: it is empty, or could not be read.
    if (text.starts_with("\x7F"
                         "ELF") ||
        text.starts_with("#!"))
        return {};
    if (text.front() == '\0' && geteuid() != 0) return {};
    return printable(path) +
           " is neither a script with #! in its first line nor an ELF program, so Linux can't "
           "start "
           "it; write for example #!/bin/sh as its first line";
}

Result<UniqueFd, OpenError> open_safe_program(const std::string& path, uid_t owner,
                                              std::string_view search_path) {
    return ProgramJudge(owner, search_path).open(path, 0);
}

}  // namespace postern
