// The replies of Run and Follow, made of what the guard says of a job and of what that job writes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <variant>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/session/job_output.h"
#include "daemon/session/output_tail.h"
#include "model/call.h"
#include "model/job.h"

namespace postern::session {

// What of stdout and stderr the replies have: from where on.
struct OutputRange {
    std::array<std::uint64_t, 2> offsets{};
    // Instead: so many lines before the end of what there is when the job is found.
    std::optional<std::uint64_t> tail = std::nullopt;
    // And to the end of what there is then, whatever the job goes on to write.
    bool stored = false;
};

class JobReplies {
  public:
    // What of the job's output the client gets.
    enum class Output : std::uint8_t {
        none,    // one-way: it waits for no reply
        whole,   // one reply at the end
        stream,  // "more": replies as it comes
        // It wants none of it: the result alone, with "more" after a reply that names the job.
        result,
        result_more,
    };
    // `maximum`: bytes of each stream in one reply.
    JobReplies(Output output, OutputRange range, std::uint64_t maximum)
        : output_(output), range_(range), maximum_(maximum) {}

    // The job has: only its end ends the call from now on.
    [[nodiscard]] bool started() const { return !job_.empty(); }
    // Nothing of it can be held back: nothing of it runs any more, or what it goes on to write is
    // not wanted.
    [[nodiscard]] bool over() const { return result_.has_value() || stored_; }

    [[nodiscard]] const JobId& job() const { return job_; }

    // An answer of the guard, with stdout's and stderr's file where it is JobStarted. False: not
    // what is waited for.
    bool take(const CallAnswer& answer, std::vector<UniqueFd>& files);

    // Nothing comes next until the guard says more.
    [[nodiscard]] bool waits() const {
        return !started() || handing_over_ || (output_awaited_ && !over());
    }

    // Whether a refusal is an answer to what it is at: not once the job has started, but where what
    // goes straight could not be handed over.
    [[nodiscard]] bool refusable() const { return !started() || handing_over_; }

    // The next reply is one that hands over.
    [[nodiscard]] bool announces_alone() const {
        return !announced_ && (about_.hands_output || about_.hands_input);
    }

    // How far the client has each stream once it has got all replies so far; not_awaited for one
    // that it wants no more of.
    [[nodiscard]] std::array<std::uint64_t, 2> given() const;

    struct Reply {
        nlohmann::json parameters;
        bool continues = false;
        // It is the guard that sends it, with descriptors: alone, after everything before it.
        bool hands_over = false;
    };
    // Nothing yet: there is more to look through at once.
    struct Looking {};
    // Nothing, a reply, output (a reply that continues), or what to tell the guard.
    using Next = std::variant<std::monostate, Reply, JobStream::Chunk, AwaitOutput, Looking>;
    // `room`: bytes of each stream in a reply with output.
    Next next(std::size_t room);

  private:
    bool start(const JobStarted& started, std::vector<UniqueFd>& files);
    void read_from(UniqueFd stdout_file, UniqueFd stderr_file);
    void stop_here();
    void put_beginning(nlohmann::json& parameters) const;
    // `ends`: of streams that were to begin past them.
    void put_end(nlohmann::json& parameters,
                 const std::array<std::optional<std::uint64_t>, 2>& ends) const;
    Next next(JobStream& stream, std::size_t room);
    Next next(JobSummary& summary);
    Reply announce();
    [[nodiscard]] Reply reply(nlohmann::json parameters, bool continues) const;
    AwaitOutput await_output(std::array<std::uint64_t, 2> read_to);

    Output output_;
    OutputRange range_;
    std::uint64_t maximum_;
    JobId job_;
    std::variant<std::monostate, OutputTail, JobStream, JobSummary> reader_;
    bool announced_ = false;  // the reply that says which job it is
    JobStarted about_;        // what else it says
    bool handing_over_ = false;
    bool reading_ = false;
    bool output_awaited_ = false;
    std::optional<JobResult> result_;
    bool stored_ = false;  // no more is wanted than what is there by now
};

}  // namespace postern::session
