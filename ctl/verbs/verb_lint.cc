// Not a call: the loader that judges action files is the daemon's, so its program does it.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <vector>

#include "base/version.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"
#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

// Of the same build or package as this program.
std::string daemon_program() {
    std::array<char, PATH_MAX> buffer{};
    const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    const std::string self(buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
    std::string beside = self.substr(0, self.rfind('/') + 1) + "posternd";
    return ::access(beside.c_str(), X_OK) == 0 ? beside : std::string(sbin_directory) + "/posternd";
}

int run_lint(const Invocation& invocation) {
    const std::string program = daemon_program();
    std::vector<std::string> words = {"posternd"};
    if (invocation.given(option_user)) words.emplace_back("--own");
    if (invocation.target.json) words.emplace_back("--json");
    words.emplace_back("--lint");
    // A name that begins with "-" would be an option.
    for (const std::string& file : invocation.words) {
        words.push_back(file.starts_with('-') ? "./" + file : file);
    }
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(program.c_str(), arguments.data());
    complain(program + " can't be started: " + std::strerror(errno) +
             "; install the package postern again");
    return exit_code::broken;
}

}  // namespace

constinit const Verb verb_lint{
    .name = "lint",
    .synopsis = "PATH ...",
    .summary = "check action files before they are installed",
    .help =
        R"(The files are checked by the daemon's own loader, without a daemon, against this machine:
its users, groups and programs must exist. PATH is a file, or a directory, which means all of its
*.json files. Owner, mode and directory of a file are checked as well if it is where the daemon
reads it already; those of other files matter only once they are installed (posternd --check). With
--user, the files are checked for a daemon that runs as yourself. Exit code 0: all files are good;
1: one is not.

Examples:
  posternctl lint web.restart.json
  posternctl lint --json actions
)",
    .least_words = 1,
    .most_words = any_number,
    .completes = Completes::files,
    .asks = Asks::nobody,
    .run = run_lint,
};

}  // namespace postern::ctl
