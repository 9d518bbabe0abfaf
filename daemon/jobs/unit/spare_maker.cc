#include "daemon/jobs/unit/spare_maker.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/limits.h"
#include "daemon/jobs/job_command.h"
#include "daemon/jobs/unit/service_manager.h"
#include "daemon/launcher/spare_order.h"
#include "daemon/policy/spare.h"
#include "host/random_id.h"

namespace postern::jobs {
namespace {

Unexpected<Error> failed_with_errno(const std::string& what) {
    return fail(what + ": " + std::strerror(errno));
}

Status connect(UniqueFd& ours, UniqueFd& launchers) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) < 0) {
        return failed_with_errno("socketpair");
    }
    ours.reset(ends[0]);
    launchers.reset(ends[1]);
    // The launcher's end waits.
    if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) < 0) return failed_with_errno("socket");
    return {};
}

Status set_up(JobHost& host, Spare& spare, const policy::Action& action,
              const std::string& markers) {
    // Before anything of it is set up.
    auto places = SparePlaces::of(policy::places_of_spare(action));
    if (!places) return fail("one of its directories can't be looked at");
    spare.places = std::move(*places);
    POSTERN_TRY(const UniqueFd folder, host.records().make_folder(spare.id));
    const bool one_pipe = error_stream(action) == 0;
    POSTERN_TRY(spare.streams, JobStreams::create(folder.get(), host.keeper(), one_pipe));
    POSTERN_TRY(connect(spare.socket, spare.launcher_end));
    spare.marker = markers + "/" + spare.id.text();
    const UniqueFd marker(
        open(spare.marker.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!marker) return failed_with_errno(spare.marker);
    return {};
}

}  // namespace

std::string path_of_launcher(const Settings& settings) {
    std::array<char, PATH_MAX> target{};
    const std::string link = "/proc/self/fd/" + std::to_string(settings.launcher.get());
    const ssize_t size = readlink(link.c_str(), target.data(), target.size());
    if (size <= 0) return {};
    std::string path(target.data(), static_cast<std::size_t>(size));
    constexpr std::string_view replaced = " (deleted)";
    return path.starts_with('/') && !path.ends_with(replaced) ? path : std::string();
}

Result<std::unique_ptr<Spare>> make_spare(JobHost& host, const policy::Action& action,
                                          const std::string& markers) {
    POSTERN_TRY(std::string text, random_id());
    auto spare = std::make_unique<Spare>();
    spare->id = JobId(std::move(text));
    spare->unit = job_unit(spare->id);
    spare->action = action.description.name;
    spare->version = action.version;
    spare->uid = action.uid;
    spare->gid = action.gid;
    spare->groups = action.groups;
    spare->made = std::chrono::steady_clock::now();
    const std::chrono::microseconds kept_life = limits::kept_spare_life;
    spare->life = policy::wanted_spares(action) ? kept_life : host.settings().spare_life;
    if (Status done = set_up(host, *spare, action, markers); !done) {
        host.records().remove(spare->id);
        if (!spare->marker.empty()) unlink(spare->marker.c_str());
        return Unexpected(done.error());
    }
    return spare;
}

UnitSpec spec_of(const Spare& spare, const policy::Action& action, const std::string& launcher,
                 const Settings& settings) {
    Record record;
    record.job = spare.id;
    record.unit = spare.unit;
    UnitSpec spec = unit_spec(action, {}, record);
    spec.program = launcher;
    spec.argv = {"postern-launcher", launcher::spare_option};
    // Others may read it, and it is of no use: the program has what its order says.
    spec.environment.clear();
    if (spec.timeout.count() != 0) {
        spec.timeout += std::chrono::duration_cast<std::chrono::microseconds>(spare.life);
    }
    spec.kill_grace = settings.kill_grace;
    spec.stdin_file = spare.launcher_end.get();
    spec.stdout_file = spare.streams.streams[0].write_end.get();
    spec.stderr_file = spare.streams.streams[1].write_end.get();
    return spec;
}

}  // namespace postern::jobs
