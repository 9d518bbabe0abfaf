#include "daemon/jobs/job_output.h"

#include <algorithm>
#include <utility>

namespace postern::jobs {

JobOutput::JobOutput(const Record& record, JobStreams streams)
    : job_(record.job),
      streams_(std::move(streams.streams)),
      pipes_(record.pipes),
      first_(record.stdout_not_kept ? 1 : 0),
      stored_(record.stored_output),
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

std::uint64_t JobOutput::stored_bytes() const {
    return streams_[0].stored() + streams_[1].stored();
}

void JobOutput::bound(std::uint64_t bytes) {
    bound_ = std::min(stored_, bytes / (std::max(pipes_, first_ + 1) - first_));
}

bool JobOutput::await_growth(const Offsets& sizes) {
    if (pipes_ == 0) return false;
    await_growth_ = sizes;
    return true;
}

void JobOutput::told(std::size_t stream) {
    told_needs_.awaited[stream] = not_awaited;
    await_growth_[stream] = not_awaited;
}

void JobOutput::close_write_ends() {
    for (JobStream& stream : streams_) stream.write_end.reset();
}

std::uint64_t JobOutput::awaited(std::size_t stream) const {
    return std::min(needs_.awaited[stream], await_growth_[stream]);
}

output::Message JobOutput::about(std::size_t stream, output::Kind kind) const {
    const auto offset = [](std::uint64_t value) {
        return value == not_awaited ? output::none : value;
    };
    output::Message message;
    message.kind = kind;
    message.job = job_;
    message.stream = static_cast<std::uint8_t>(stream);
    message.stored = bound_;
    message.floor = offset(needs_.floor[stream]);
    message.awaited = offset(awaited(stream));
    message.followers = needs_.followers;
    return message;
}

bool JobOutput::sync(KeeperLink& keeper) {
    if (first_ >= pipes_) return true;
    if (!keeper.connected()) return false;
    for (std::size_t i = first_; i < pipes_; ++i) {
        if (!streams_[i].read_end) continue;
        if (!kept_[i]) {
            const std::array<int, 2> descriptors{streams_[i].read_end.get(),
                                                 streams_[i].file.get()};
            if (!keeper.send(about(i, output::Kind::keep), descriptors)) return false;
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

void JobOutput::kept(std::size_t stream, UniqueFd read_end, UniqueFd file) {
    if (not_kept(stream)) return;
    JobStream& mine = streams_[stream];
    // Without a file it is to be told of the stream again, with one.
    kept_[stream] = static_cast<bool>(file);
    if (!mine.read_end) mine.read_end = std::move(read_end);
    if (!mine.file) mine.file = std::move(file);
    // It is told what followers need in any case: it may have others' needs.
    told_needs_.floor[stream] = 0;
    told_needs_.followers = ~0U;
}

Offsets JobOutput::all_kept() {
    knows_pipes_ = true;
    Offsets lost{not_awaited, not_awaited};
    for (std::size_t i = first_; i < pipes_; ++i) {
        if (!streams_[i].read_end) lost[i] = streams_[i].size();
    }
    return lost;
}

void JobOutput::finish() {
    finishes_ = true;
}

bool JobOutput::is_drained() const {
    return knows_pipes_ && std::ranges::all_of(streams_, &JobStream::is_drained);
}

bool JobOutput::is_kept() const {
    return std::ranges::find(kept_, true) != kept_.end();
}

}  // namespace postern::jobs
