// What a job writes, and what postern-output is to do with it: which of it followers have, what
// they wait for, and when it is over.
//
// The keeper may be lost at any moment, and another one knows nothing: what is said to it is always
// the whole state of a stream, and is said again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

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
    // A job that was started before has no pipes yet; its record says which it had.
    JobOutput(const Record& record, JobStreams streams);

    [[nodiscard]] const JobStream& stream(std::size_t which) const { return streams_[which]; }
    // 0: a job of a version before this, which writes to the files itself.
    [[nodiscard]] std::size_t pipes() const { return pipes_; }
    [[nodiscard]] bool has_more(const Offsets& offsets) const;
    [[nodiscard]] Offsets sizes() const;

    // What its files take on the disk.
    [[nodiscard]] std::uint64_t stored_bytes() const;
    // Whether that is another number than when it was asked last.
    bool has_grown_to(std::uint64_t stored) { return std::exchange(measured_, stored) != stored; }
    // From now on the keeper tells once of whatever is written beyond these sizes, for nobody but
    // us. False: of this job nobody can tell, and it may write.
    bool await_growth(const Offsets& sizes);
    // Both streams together are to take no more than that, but for what followers have not had.
    void bound(std::uint64_t bytes);

    // Precondition: the program has its ends.
    void close_write_ends();

    // ---- For the keeper ----

    // Says what it has not heard. False: it takes no more at present, or is not there.
    bool sync(KeeperLink& keeper);
    // What followers have and wait for has changed.
    void set_needs(const Needs& needs);
    // Another one, or the same one once more: it has nothing that it does not say it has.
    void forget_keeper();
    // It has said that it has this stream: these are its descriptors, of which what was lost is
    // taken.
    void kept(std::size_t stream, UniqueFd read_end, UniqueFd file);
    // It has said of all streams which it has. Those that nobody has any more are lost, from the
    // returned offsets on; not_awaited where nothing is.
    Offsets all_kept();
    // It has told of growth, and is to be asked anew.
    void told(std::size_t stream);

    // Nothing of the job runs any more: what is in its pipes is the rest.
    void finish();
    // All that was written is in the files. Never before it is known who has the pipes: of a job
    // that was started before, the keeper has to say so.
    [[nodiscard]] bool is_drained() const;
    // The keeper has it, and is to be told that it need not have it.
    [[nodiscard]] bool is_kept() const;

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
    std::uint64_t stored_;       // of each stream, as the action or the limit says
    std::uint64_t bound_;        // the same, as the disk allows
    std::uint64_t told_stored_;  // as the keeper was told
    std::uint64_t measured_ = 0;
    Offsets await_growth_{not_awaited, not_awaited};
    Needs needs_;
    Needs told_needs_;  // as the keeper was told
    std::array<bool, stream_count>
        kept_{};  // it was told of the stream, or has said that it has it
    bool knows_pipes_;
    bool finishes_ = false;
    bool told_finish_ = false;
};

}  // namespace postern::jobs
