#include "daemon/jobs/job_output.h"

#include <algorithm>
#include <utility>

namespace postern::jobs {
namespace {

// How much a stream grows until it is measured again.
constexpr std::uint64_t measured_step = std::uint64_t{256} * 1024;

}  // namespace

JobOutput::JobOutput(const Record& record, JobStreams streams, std::uint64_t limit)
    : job_(record.job),
      streams_(std::move(streams.streams)),
      pipes_(record.pipes),
      first_(record.stdout_not_kept ? 1 : 0),
      owner_(std::uint64_t{record.requester.payer()} << 32U | record.uid),
      stored_(has_no_keeper() ? limit : record.stored_output),
      bound_(stored_),
      told_stored_(stored_),
      knows_pipes_(first_ >= pipes_ || streams_[first_].read_end) {}

bool JobOutput::has_more(const Offsets& offsets) const {
    for (std::size_t i = 0; i < stream_count; ++i) {
        if (streams_[i].size() > offsets[i]) return true;
    }
    return false;
}

Offsets JobOutput::sizes() const {
    return {streams_[0].size(), streams_[1].size()};
}

void JobOutput::trim() {
    for (const JobStream& stream : streams_) stream.trim(bound_);
}

bool JobOutput::has_outgrown(std::size_t stream, std::uint64_t size) const {
    return size > measured_[stream] + measured_step;
}

std::uint64_t JobOutput::measure() {
    measured_ = sizes();
    return streams_[0].stored() + streams_[1].stored();
}

void JobOutput::bound(std::uint64_t bytes) {
    bound_ = std::min(stored_, bytes / (std::max(pipes_, first_ + 1) - first_));
}

std::vector<UniqueFd> JobOutput::take_ends() {
    std::vector<UniqueFd> ends;
    for (JobStream& stream : streams_) {
        for (UniqueFd* const end : {&stream.read_end, &stream.write_end}) {
            if (*end) ends.push_back(std::move(*end));
        }
    }
    return ends;
}

// A follower's, or our own.
std::uint64_t JobOutput::awaited(std::size_t stream) const {
    return std::min(needs_.awaited[stream], measured_[stream] + measured_step);
}

output::Message JobOutput::about(std::size_t stream, output::Kind kind) const {
    const auto offset = [](std::uint64_t value) {
        return value == not_awaited ? output::none : value;
    };
    output::Message message;
    message.kind = kind;
    message.job = job_;
    message.stream = static_cast<std::uint8_t>(stream);
    message.owner = owner_;
    message.stored = bound_;
    message.floor = offset(needs_.floor[stream]);
    message.awaited = awaited(stream);
    message.followers = needs_.followers;
    return message;
}

bool JobOutput::sync(KeeperLink& keeper) {
    if (first_ >= pipes_) return true;
    if (!keeper.connected()) return false;
    for (std::size_t i = first_; i < pipes_; ++i) {
        if (!streams_[i].read_end) continue;
        if (!kept_[i]) {
            const std::array<int, 3> descriptors{streams_[i].read_end.get(), streams_[i].file.get(),
                                                 streams_[i].write_end.get()};
            const std::size_t known = streams_[i].write_end ? 3 : 2;
            if (!keeper.send(about(i, output::Kind::keep), std::span(descriptors).first(known))) {
                return false;
            }
            kept_[i] = true;
        } else if (bound_ != told_stored_ || needs_.floor[i] != told_needs_.floor[i] ||
                   awaited(i) != told_needs_.awaited[i] ||
                   needs_.followers != told_needs_.followers) {
            if (!keeper.send(about(i, output::Kind::watch))) return false;
        }
        told_needs_.floor[i] = needs_.floor[i];
        told_needs_.awaited[i] = awaited(i);
    }
    told_needs_.followers = needs_.followers;
    told_stored_ = bound_;
    if (finishes_ && !told_finish_) {
        if (!keeper.send(about(0, output::Kind::finish))) return false;
        told_finish_ = true;
    }
    return true;
}

void JobOutput::set_needs(const Needs& needs) {
    needs_ = needs;
}

void JobOutput::forget_keeper() {
    kept_ = {};
    told_finish_ = false;
}

void JobOutput::kept(std::size_t stream, std::vector<UniqueFd>& descriptors) {
    if (not_kept(stream)) return;
    JobStream& mine = streams_[stream];
    descriptors.resize(3);
    // Without a file it is to be told of the stream again, with one.
    kept_[stream] = static_cast<bool>(descriptors[1]);
    if (!mine.read_end) mine.read_end = std::move(descriptors[0]);
    if (!mine.file) mine.file = std::move(descriptors[1]);
    if (!mine.write_end) mine.write_end = std::move(descriptors[2]);
    // It is told what followers need in any case: it may have others' needs.
    told_needs_.floor[stream] = 0;
    told_needs_.followers = ~0U;
}

Offsets JobOutput::all_kept() {
    knows_pipes_ = true;
    Offsets lost{not_awaited, not_awaited};
    for (std::size_t i = first_; i < pipes_ && !finished_; ++i) {
        // Somebody has removed the file: nobody can keep what comes.
        if (!streams_[i].file) streams_[i].read_end.reset();
        if (!streams_[i].read_end) lost[i] = streams_[i].size();
    }
    return lost;
}

Offsets JobOutput::finished(const std::array<std::uint64_t, output::streams>& kept) {
    finished_ = true;
    Offsets lost{not_awaited, not_awaited};
    for (std::size_t i = first_; i < pipes_; ++i) {
        // Of one that is lost, or was never kept, it knows nothing.
        if (kept[i] == 0 && !streams_[i].read_end) continue;
        if (kept[i] != streams_[i].size()) lost[i] = std::min(kept[i], streams_[i].size());
    }
    return lost;
}

void JobOutput::finish() {
    finishes_ = true;
}

bool JobOutput::is_drained() const {
    return finished_ || (knows_pipes_ && std::ranges::all_of(streams_, &JobStream::is_drained));
}

Offsets JobOutput::undrained() const {
    Offsets from{not_awaited, not_awaited};
    for (std::size_t i = first_; i < pipes_; ++i) {
        if (!streams_[i].is_drained()) from[i] = streams_[i].size();
    }
    return from;
}

bool JobOutput::is_known_to_keeper() const {
    return finished_ || std::ranges::find(kept_, true) != kept_.end();
}

}  // namespace postern::jobs
