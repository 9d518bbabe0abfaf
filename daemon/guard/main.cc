// posternd: arguments, set-up, run, one way out.
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <variant>

#include "daemon/guard/config/check.h"
#include "daemon/guard/config/options.h"
#include "daemon/guard/manager.h"
#include "daemon/guard/service/log.h"
#include "daemon/guard/service/signals.h"

namespace {

// 0, 1 and 2 must be something, or the next descriptors that are opened take their numbers.
bool fill_standard_descriptors() {
    for (;;) {
        const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd < 0) return false;
        if (fd > STDERR_FILENO) {
            ::close(fd);
            return true;
        }
        ::fcntl(fd, F_SETFD, 0);
    }
}

// Sessions, jobs and listeners are descriptors. Returns the soft limit as it was: jobs get that
// one.
std::uint64_t raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    const std::uint64_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    (void)::setrlimit(RLIMIT_NOFILE, &limit);
    return before;
}

int run(int argc, char** argv) {
    const uid_t uid = ::geteuid();
    auto parsed = postern::parse_options(argc, argv, uid);
    if (const auto* print = std::get_if<postern::Print>(&parsed)) {
        std::fputs(print->text.c_str(), print->exit_code == 0 ? stdout : stderr);
        return print->exit_code;
    }
    const auto& options = std::get<postern::Options>(parsed);
    if (!options.lint.empty()) {
        return postern::lint(options.lint, options.own ? uid : 0, options.json);
    }
    if (auto started = postern::start_log(options.configuration.log_level); !started) {
        std::fprintf(stderr, "posternd: %s\n", started.error().message.c_str());
        return 2;
    }
    if (options.check) return postern::check(options.configuration, uid, options.json);

    postern::Signals::block();
    ::umask(0077);
    const std::uint64_t open_files = raise_descriptor_limit();
    auto manager = postern::Manager::create(options.configuration, uid, open_files);
    if (!manager) {
        spdlog::critical("{}", manager.error().message);
        return 1;
    }
    const int code = (*manager)->run();
    spdlog::info("stopped");
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    if (!fill_standard_descriptors()) return 1;
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "posternd: %s\n", error.what());
        return 1;
    }
}
