#include "daemon/session/job_replies.h"

#include <utility>

#include "daemon/session/json_values.h"

namespace postern::session {

using nlohmann::json;

namespace {

// The client has more of a stream than there is: what came after the end of what there is, is lost.
json end_of(JobResult result, const std::array<std::optional<std::uint64_t>, 2>& ends) {
    for (std::size_t stream = 0; stream < ends.size(); ++stream) {
        if (!result.lost_from.at(stream)) result.lost_from.at(stream) = ends.at(stream);
    }
    return result_json(result);
}

}  // namespace

bool JobReplies::take(const CallAnswer& answer, std::vector<UniqueFd>& files) {
    if (const auto* started = std::get_if<JobStarted>(&answer)) return start(*started, files);
    if (std::holds_alternative<HandedOver>(answer)) return std::exchange(handing_over_, false);
    if (std::holds_alternative<JobOutput>(answer)) return std::exchange(output_awaited_, false);
    if (!started() || over()) return false;
    if (std::holds_alternative<JobStored>(answer)) {
        // Of a Run all is wanted.
        if (!range_.stored) return false;
        stored_ = true;
        stop_here();
        return true;
    }
    const auto* ended = std::get_if<JobEnded>(&answer);
    if (ended == nullptr) return false;
    result_ = ended->result;
    return true;
}

bool JobReplies::start(const JobStarted& started, std::vector<UniqueFd>& files) {
    if (!job_.empty() || started.job.empty()) return false;
    // Nobody but a call with "more" asks for descriptors.
    if ((started.hands_output || started.hands_input) && output_ != Output::stream) return false;
    job_ = started.job;
    about_ = started;
    if (range_.tail && (output_ == Output::stream || output_ == Output::whole)) {
        reader_.emplace<OutputTail>(std::move(files[0]), std::move(files[1]), *range_.tail);
    } else {
        read_from(std::move(files[0]), std::move(files[1]));
    }
    return true;
}

void JobReplies::read_from(UniqueFd stdout_file, UniqueFd stderr_file) {
    if (output_ == Output::stream) {
        reader_.emplace<JobStream>(std::move(stdout_file), std::move(stderr_file), range_.offsets);
    } else if (output_ == Output::whole) {
        reader_.emplace<JobSummary>(std::move(stdout_file), std::move(stderr_file), range_.offsets,
                                    maximum_);
    }
    if (stored_) stop_here();
}

void JobReplies::stop_here() {
    if (auto* stream = std::get_if<JobStream>(&reader_)) stream->stop_here();
    if (auto* summary = std::get_if<JobSummary>(&reader_)) summary->stop_here();
}

JobReplies::Next JobReplies::next(std::size_t room) {
    if (waits()) return {};
    if (output_ == Output::none) return over() ? Next(reply(json::object(), false)) : Next();
    if (auto* tail = std::get_if<OutputTail>(&reader_)) {
        if (!tail->look()) return Looking{};
        range_.offsets = tail->offsets();
        auto files = tail->take_files();
        read_from(std::move(files[0]), std::move(files[1]));
    }
    const bool announces = output_ == Output::stream || output_ == Output::result_more;
    if (announces && !std::exchange(announced_, true)) return announce();
    if (output_ == Output::result || output_ == Output::result_more) {
        if (!over()) return {};
        json parameters = json::object();
        put_end(parameters, {});
        return reply(std::move(parameters), false);
    }
    // Rather than look into files that are most likely still empty. If it is over (that may have
    // come while the lines were counted), nobody would say that there is more.
    if (!std::exchange(reading_, true) && !over()) return await_output(range_.offsets);
    if (auto* stream = std::get_if<JobStream>(&reader_)) return next(*stream, room);
    return next(std::get<JobSummary>(reader_));
}

JobReplies::Next JobReplies::next(JobStream& stream, std::size_t room) {
    if (auto chunk = stream.next(over(), room)) return std::move(*chunk);
    if (over()) {
        json parameters = json::object();
        put_end(parameters, stream.beyond_end());
        return reply(std::move(parameters), false);
    }
    return await_output(stream.read_to());
}

JobReplies::Next JobReplies::next(JobSummary& summary) {
    if (over()) {
        json parameters = summary.finish();
        if (about_.stdout_not_kept) parameters["stdoutNotKept"] = true;
        put_beginning(parameters);
        put_end(parameters, summary.beyond_end());
        return reply(std::move(parameters), false);
    }
    summary.read();
    // Where enough is read, the end is all that is waited for.
    return summary.full() ? Next() : await_output(summary.read_to());
}

JobReplies::Reply JobReplies::announce() {
    json parameters = json::object();
    if (about_.stdout_not_kept) parameters["stdoutNotKept"] = true;
    if (output_ == Output::stream) put_beginning(parameters);
    std::size_t descriptors = 0;
    if (about_.hands_output) parameters["outputFileDescriptor"] = descriptors++;
    if (about_.hands_input) parameters["inputFileDescriptor"] = descriptors++;
    handing_over_ = descriptors > 0;
    Reply announced = reply(std::move(parameters), true);
    announced.hands_over = handing_over_;
    return announced;
}

std::array<std::uint64_t, 2> JobReplies::given() const {
    if (const auto* stream = std::get_if<JobStream>(&reader_)) return stream->given();
    if (const auto* summary = std::get_if<JobSummary>(&reader_)) return summary->given();
    if (std::holds_alternative<OutputTail>(reader_)) return {};
    if (started()) return {not_awaited, not_awaited};
    return {};
}

// Where it is not the client that said it.
void JobReplies::put_beginning(json& parameters) const {
    if (!range_.tail) return;
    parameters["stdoutOffset"] = range_.offsets[0];
    parameters["stderrOffset"] = range_.offsets[1];
}

void JobReplies::put_end(json& parameters,
                         const std::array<std::optional<std::uint64_t>, 2>& ends) const {
    if (result_) parameters["result"] = end_of(*result_, ends);
}

JobReplies::Reply JobReplies::reply(json parameters, bool continues) const {
    parameters["job"] = job_.text();
    return {std::move(parameters), continues};
}

AwaitOutput JobReplies::await_output(std::array<std::uint64_t, 2> read_to) {
    output_awaited_ = true;
    return {read_to[0], read_to[1]};
}

}  // namespace postern::session
