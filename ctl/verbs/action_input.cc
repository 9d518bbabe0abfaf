#include "ctl/verbs/action_input.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "base/utf8.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"
#include "protocol/base64.h"

namespace postern::ctl {
namespace {

// As text where that is possible and shorter: control characters take six bytes each in JSON.
void put_bytes(nlohmann::json& parameters, const std::string& bytes) {
    auto base64 = protocol::encode_base64(bytes);
    if (valid_utf8(bytes) && nlohmann::json(bytes).dump().size() <= base64.size() + 2) {
        parameters["input"] = bytes;
    } else {
        parameters["inputBase64"] = std::move(base64);
    }
}

}  // namespace

std::string object_to_input(const Invocation& invocation) {
    const bool both = invocation.given(option_input) && invocation.given(option_no_input);
    return both ? "--input and --no-input contradict each other" : "";
}

Result<ActionInput, Failed> ActionInput::open(const Invocation& invocation) {
    ActionInput input;
    input.none_ = invocation.given(option_no_input);
    const auto* const path = invocation.value_of(option_input);
    if (path == nullptr) return input;
    input.name_ = *path;
    input.file_.reset(::open(path->c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (input.file_) return input;
    complain("--input " + *path + ": " + std::strerror(errno));
    return Unexpected(Failed{exit_code::invalid});
}

Result<bool, Failed> ActionInput::wanted(const ActionDescription* action) const {
    if (action == nullptr || none_) return false;
    if (action->input != Input::none) return true;
    if (!file_) return false;
    complain("--input " + name_ + ": " + action->name + " takes no standard input");
    return Unexpected(Failed{exit_code::invalid});
}

int ActionInput::fd() const {
    return file_ ? file_.get() : STDIN_FILENO;
}

Result<bool, Failed> ActionInput::put(nlohmann::json& parameters, int interrupt) {
    std::string bytes;
    while (!read_) {
        std::array<pollfd, 2> watched = {pollfd{.fd = fd(), .events = POLLIN, .revents = 0},
                                         pollfd{.fd = interrupt, .events = POLLIN, .revents = 0}};
        if (poll(watched.data(), watched.size(), -1) < 0) continue;
        if (watched[1].revents != 0) return false;
        // One byte more than may be: a longer input shows.
        std::array<char, limits::input_bytes + 1> buffer{};
        const auto got = ::read(fd(), buffer.data(), buffer.size() - bytes.size());
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got < 0) {
            complain(name_ + ": " + std::strerror(errno));
            return Unexpected(Failed{exit_code::invalid});
        }
        if (got == 0) {
            read_ = std::move(bytes);
            break;
        }
        bytes.append(buffer.data(), static_cast<std::size_t>(got));
        if (bytes.size() <= limits::input_bytes) continue;
        complain(name_ + ": longer than " + std::to_string(limits::input_bytes) +
                 " bytes, which is the most that this action takes");
        return Unexpected(Failed{exit_code::invalid});
    }
    if (!read_->empty()) put_bytes(parameters, *read_);
    return true;
}

}  // namespace postern::ctl
