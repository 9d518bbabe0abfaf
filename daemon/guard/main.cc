// posternd: arguments, set-up, run, one way out.
#include <malloc.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <variant>

#include "daemon/guard/config/check.h"
#include "daemon/guard/config/options.h"
#include "daemon/guard/manager.h"
#include "daemon/guard/open_sockets.h"
#include "daemon/guard/service/inherited.h"
#include "daemon/guard/service/log.h"
#include "daemon/guard/service/signals.h"

namespace {

// With this its unit is not started again by itself (RestartPreventExitStatus=).
constexpr int has_no_socket = 3;

int cant_start(const postern::Error& why) {
    spdlog::critical("{}", why.message);
    return postern::says_that_there_is_none(why) ? has_no_socket : 1;
}

// What keeps it from starting, once there is a log to say the rest.
postern::Status name_inherited(const postern::Result<postern::Inherited>& inherited, uid_t uid) {
    if (!inherited) return postern::Unexpected(inherited.error());
    for (const std::string& warning : inherited->warnings) spdlog::warn("{}", warning);
    if (uid != 0) return {};
    POSTERN_TRY(const auto lacking, postern::judge_capabilities());
    for (const std::string& warning : lacking) spdlog::warn("{}", warning);
    return {};
}

int run(int argc, char** argv, const postern::Result<postern::Inherited>& inherited) {
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
    for (const std::string& file : options.configuration.ignored) spdlog::warn("{}", file);

    if (auto named = name_inherited(inherited, uid); !named) return cant_start(named.error());
    postern::Signals::block();
    ::umask(0077);
    // It holds no file system that was its parent's.
    if (::chdir("/") != 0) return cant_start({std::string("chdir /: ") + std::strerror(errno)});
    auto manager = postern::Manager::create(options.configuration, uid, inherited->open_files);
    if (!manager) return cant_start(manager.error());
    const int code = (*manager)->run();
    spdlog::info("stopped");
    return code;
}

}  // namespace

int main(int argc, char** argv) {
    // Its threads wait most of the time, and an arena for each of them would have pages that stay.
    ::mallopt(M_ARENA_MAX, 1);
    try {
        // Before anything is opened.
        const auto inherited = postern::put_inherited_right();
        return run(argc, argv, inherited);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "posternd: %s\n", error.what());
        return 1;
    }
}
