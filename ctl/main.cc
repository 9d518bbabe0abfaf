// posternctl: what a caller types.
#include <unistd.h>

#include <span>
#include <string>
#include <vector>

#include "ctl/command_line.h"
#include "ctl/completion/complete.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"

namespace {

int stop(const postern::ctl::Stop& stop) {
    using postern::ctl::write_all;
    const bool said = write_all(STDOUT_FILENO, stop.out, -1).has_value() &&
                      write_all(STDERR_FILENO, stop.err, -1).has_value();
    return said ? stop.code : postern::ctl::exit_code::broken;
}

}  // namespace

int main(int argc, char** argv) {
    using namespace postern::ctl;
    prepare_standard_streams();
    const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
    // Before all else: what is being typed may be wrong in any way.
    if (!words.empty() && words.front() == "complete") {
        return complete(std::span(words).subspan(1));
    }
    const auto parsed = parse_command_line(words, socket_environment());
    if (const auto* task = std::get_if<Task>(&parsed)) {
        return task->verb->run(task->invocation);
    }
    return stop(std::get<Stop>(parsed));
}
