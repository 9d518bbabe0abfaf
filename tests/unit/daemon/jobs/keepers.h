// Those who keep what the jobs of a test write: the real program, or one that only makes pipes.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/channel/transport.h"
#include "daemon/jobs/output/keeper_link.h"
#include "daemon/loop/event_source.h"
#include "daemon/loop/spawner.h"

namespace postern::jobs {

// A process of the real postern-output, opened as `program`, for each connection. All of them
// outlive what is returned.
KeeperLink::Connect real_keeper(sd_event* event, Spawner& spawner, int program);

// One in the loop itself: it makes pipes and moves nothing, for jobs that write nothing. It
// outlives the guards that connect to it, and their loops.
class FakeKeeper {
  public:
    // `event` outlives what is returned.
    KeeperLink::Connect connect(sd_event* event);
    // It does not say what it has until speak().
    void be_silent() { silent_ = true; }
    void speak();
    // As if the job had written it.
    void write(const JobId& job, std::string_view text) const;
    // It says that it has all of the job's output.
    void finished(const JobId& job) const;
    // How many streams it has.
    [[nodiscard]] std::size_t kept() const { return kept_.size(); }
    // How many pipes it was asked for, each time.
    [[nodiscard]] const std::vector<std::uint32_t>& asked() const { return asked_; }

  private:
    void hear();
    void take(const output::Message& message, std::vector<UniqueFd>& descriptors);
    void say(const output::Message& message, std::span<const int> descriptors) const;
    void make_pipes(output::Kind kind, std::uint32_t count) const;

    using Stream = std::pair<JobId, std::uint8_t>;
    std::map<Stream, std::vector<UniqueFd>> kept_;
    std::vector<std::uint32_t> asked_;
    UniqueFd channel_;
    EventSource source_;
    bool silent_ = false;
    std::unique_ptr<channel::Receiver> receiver_ =
        std::make_unique<channel::Receiver>(channel::Descriptors::taken);
};

}  // namespace postern::jobs
