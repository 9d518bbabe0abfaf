#include "ctl/wire/job_output.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "protocol/base64.h"

namespace postern::ctl {
namespace {

Unexpected<NotTaken> not_understood(std::string message) {
    return Unexpected(NotTaken{NotTaken::Why::nonsense, std::move(message)});
}

// The bytes of a stream in a reply; none where it has none. The error is one line.
Result<std::string> bytes_of(const nlohmann::json& parameters, const OutputStream& stream) {
    const auto* const text = field(parameters, stream.text);
    const auto* const base64 = field(parameters, stream.base64);
    if (text != nullptr && base64 != nullptr) {
        return fail(std::string(stream.text) + " comes twice");
    }
    if (text != nullptr) {
        if (!text->is_string()) return fail(std::string(stream.text) + " is not text");
        return text->get<std::string>();
    }
    if (base64 == nullptr) return std::string();
    auto bytes = protocol::decode_base64(string_field(parameters, stream.base64).value_or("?"));
    if (!bytes) return fail(std::string(stream.base64) + " is not valid base64");
    return std::move(*bytes);
}

}  // namespace

Result<void, NotTaken> JobOutput::take(
    const std::array<std::string, output_streams.size()>& output) {
    for (std::size_t which = 0; which < output_streams.size(); ++which) {
        offsets_.at(which) += output.at(which).size();
        POSTERN_TRY(write(which, output.at(which)));
    }
    return {};
}

Result<void, NotTaken> JobOutput::take(const nlohmann::json& parameters) {
    for (std::size_t which = 0; which < output_streams.size(); ++which) {
        POSTERN_TRY(take(parameters, which));
    }
    return {};
}

Result<void, NotTaken> JobOutput::take(const nlohmann::json& parameters, std::size_t which) {
    const OutputStream& stream = output_streams.at(which);
    std::uint64_t& offset = offsets_.at(which);
    // Where the daemon was told to look for the beginning itself.
    if (const auto* begin = field(parameters, stream.offset)) {
        const auto at = integer_field(parameters, stream.offset).value_or(-1);
        if (at < 0) return not_understood(std::string(stream.offset) + " is " + begin->dump());
        offset = static_cast<std::uint64_t>(at);
    }
    if (const auto* missed = field(parameters, stream.missed)) {
        const auto count = integer_field(parameters, stream.missed).value_or(-1);
        if (count < 0) return not_understood(std::string(stream.missed) + " is " + missed->dump());
        if (count > 0) {
            const std::uint64_t end = offset + static_cast<std::uint64_t>(count);
            if (wants(which)) {
                say_missing(std::to_string(count) + " bytes of its " + stream.name +
                            " are missing here, bytes " + std::to_string(offset) + " to " +
                            std::to_string(end - 1) + ": the daemon no longer had them");
            }
            offset = end;
        }
    }
    const auto bytes = bytes_of(parameters, stream);
    if (!bytes) return not_understood(bytes.error().message);
    offset += bytes->size();
    if (json_) return {};
    return write(which, *bytes);
}

Result<void, NotTaken> JobOutput::write(std::size_t which, std::string_view bytes) {
    if (!wants(which)) return {};
    const auto written = write_all(to_.at(which), bytes, interrupt_);
    if (!written) {
        return Unexpected(NotTaken{NotTaken::Why::unwritable, written.error().message});
    }
    if (*written == Written::interrupted) return Unexpected(NotTaken{});
    return {};
}

void JobOutput::say_missing(const std::string& what) {
    incomplete_ = true;
    complain(action_ + ": " + what);
}

bool JobOutput::end() {
    bool all = true;
    for (const int fd : to_) {
        if (fd < 0) continue;
        if (const auto kept = written_out(fd); !kept) {
            say_missing(kept.error().message);
            all = false;
        }
    }
    return all;
}

}  // namespace postern::ctl
