// What a job writes, and what postern-output, the keeper, is to do with it: how far its followers
// have it, what they wait for, and when it ends.
//
// The keeper may be lost at any moment, and the next one knows nothing: so it is always told the
// whole state of a stream, and the next one is told again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/jobs/followers.h"
#include "daemon/jobs/output/job_streams.h"
#include "daemon/jobs/output/keeper_link.h"
#include "daemon/jobs/record/record.h"
#include "daemon/output/message.h"
#include "model/job.h"

namespace postern::jobs {

class JobOutput {
  public:
    // A job that an earlier guard started has no pipes yet; its record says which it had. `limit`:
    // how much of each stream is stored if the record does not say so (version 0.1.0).
    JobOutput(const Record& record, JobStreams streams, std::uint64_t limit);

    [[nodiscard]] const JobStream& stream(std::size_t which) const { return streams_[which]; }
    // A job that version 0.1.0 started, which writes to its files itself: nobody else frees their
    // fronts, or says that they have grown.
    [[nodiscard]] bool has_no_keeper() const { return pipes_ == 0 && first_ == 0; }
    void trim();
    [[nodiscard]] bool has_more(const Offsets& offsets) const;
    [[nodiscard]] Offsets sizes() const;

    // Whether so much was written since it was measured that it is to be measured again.
    [[nodiscard]] bool has_outgrown(std::size_t stream, std::uint64_t size) const;
    // What its files take on the disk.
    std::uint64_t measure();
    // Both streams together are to take no more than that, except for what followers have not had.
    void bound(std::uint64_t bytes);

    // Of its pipes, both ends.
    std::vector<UniqueFd> take_ends();

    // ---- For the keeper ----

    // Says what it has not heard. False: it takes no more at present, or is not there.
    bool sync(KeeperLink& keeper);
    // What followers have and wait for has changed.
    void set_needs(const Needs& needs);
    // The keeper is another one, or was reached anew: it only has what it says that it has.
    void forget_keeper();
    // It has said that it has this stream. Of its descriptors, those that are lacking here are
    // taken.
    void kept(std::size_t stream, std::vector<UniqueFd>& descriptors);
    // It has said which streams it has. Those that nobody has any more are lost from the returned
    // offsets on; not_awaited: nothing is lost.
    Offsets all_kept();
    // It has taken the rest, and so many bytes of each stream. Returns from where on the files are
    // not what it knows of; not_awaited: they are.
    Offsets finished(const std::array<std::uint64_t, output::streams>& kept);
    // It has told of growth; to be told again, it has to be asked again.
    void told(std::size_t stream) { told_needs_.awaited[stream] = not_awaited; }

    // Nothing of the job runs any more: what is in its pipes is the rest.
    void finish();
    // All that was written is in the files. False as long as it is not known who has the pipes: of
    // a job that an earlier guard started, the keeper has to say so.
    [[nodiscard]] bool is_drained() const;
    // From where on what was written is not in the files yet; not_awaited: all is.
    [[nodiscard]] Offsets undrained() const;
    // The keeper has it, or knows how it ended, and is to be told when it need no longer.
    [[nodiscard]] bool is_known_to_keeper() const;

  private:
    // The keeper has nothing to do with it: it goes straight, or the job writes to its file itself.
    [[nodiscard]] bool not_kept(std::size_t stream) const {
        return stream < first_ || stream >= pipes_;
    }
    [[nodiscard]] std::uint64_t awaited(std::size_t stream) const;
    [[nodiscard]] output::Message about(std::size_t stream, output::Kind kind) const;

    JobId job_;
    std::array<JobStream, stream_count> streams_;
    std::size_t pipes_;  // of them; those before `first_` are not kept
    std::size_t first_;
    std::uint64_t owner_;        // whose it is: who pays, and whom it runs as
    std::uint64_t stored_;       // of each stream, as the action or the limit says
    std::uint64_t bound_;        // the same, as the disk allows
    std::uint64_t told_stored_;  // as the keeper was told
    Offsets measured_{};         // the sizes when it was measured
    Needs needs_;
    Needs told_needs_;  // as the keeper was told
    std::array<bool, stream_count>
        kept_{};  // it was told of the stream, or has said that it has it
    bool knows_pipes_;
    bool finishes_ = false;
    bool told_finish_ = false;
    bool finished_ = false;  // the keeper has said so
};

}  // namespace postern::jobs
