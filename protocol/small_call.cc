#include "protocol/small_call.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "protocol/eight_bytes.h"

namespace postern::protocol {
namespace {

bool is_plain(char c) {
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

// How many characters at the front are plain.
std::size_t plain_length(std::string_view text) {
    std::size_t length = 0;
    for (std::uint64_t word = 0; text.size() - length >= sizeof word; length += sizeof word) {
        std::memcpy(&word, text.data() + length, sizeof word);
        const std::uint64_t ends = has_byte(word, '"') | has_byte(word, '\\');
        const std::uint64_t not_plain = ends | has_control(word) | has_past_tilde(word);
        if (not_plain == 0) continue;
        // The lowest bit that is set is the first byte's; those above may be set as well.
        if constexpr (std::endian::native == std::endian::little) {
            return length + static_cast<std::size_t>(std::countr_zero(not_plain)) / 8;
        }
        break;
    }
    while (length < text.size() && is_plain(text[length])) ++length;
    return length;
}

// Every function is false at the first thing that is not as plain as it takes it to be.
class Reader {
  public:
    explicit Reader(std::string_view rest) : rest_(rest) {}

    bool call(SmallCall& call);

    // What has not been read.
    [[nodiscard]] std::string_view rest() const { return rest_; }
    void skip_space() {
        while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
    }

  private:
    bool take(char c) {
        skip_space();
        if (rest_.empty() || rest_.front() != c) return false;
        rest_.remove_prefix(1);
        return true;
    }
    bool string(std::string_view& text);
    bool named(std::string_view& name) { return string(name) && take(':'); }
    bool parameters(SmallCall& call);

    std::string_view rest_;
};

bool Reader::string(std::string_view& text) {
    if (!take('"')) return false;
    text = rest_.substr(0, plain_length(rest_));
    rest_.remove_prefix(text.size());
    if (rest_.empty() || rest_.front() != '"') return false;
    rest_.remove_prefix(1);
    return text.size() <= limits::json_string_bytes;
}

bool Reader::parameters(SmallCall& call) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
        SmallCall::Parameter parameter;
        if (!named(parameter.name) || !string(parameter.value) || !call.add(parameter)) {
            return false;
        }
    } while (take(','));
    return take('}');
}

bool Reader::call(SmallCall& call) {
    bool has_method = false;
    bool has_parameters = false;
    // Whether it is the first of its name, which is noted.
    const auto first = [](bool& seen) { return !std::exchange(seen, true); };
    if (!take('{')) return false;
    do {
        std::string_view key;
        if (!named(key)) return false;
        if (key == "method") {
            if (!first(has_method) || !string(call.method)) return false;
        } else if (key == "parameters") {
            if (!first(has_parameters) || !parameters(call)) return false;
        } else {
            return false;
        }
    } while (take(','));
    return take('}') && has_method;
}

}  // namespace

bool SmallCall::add(const Parameter& parameter) {
    const auto same = [&](const Parameter& other) { return other.name == parameter.name; };
    if (count_ == parameters_.size() || std::ranges::any_of(parameters(), same)) return false;
    parameters_.at(count_++) = parameter;
    return true;
}

std::optional<SmallCall> read_small_call(std::string_view message) {
    std::optional<SmallCall> call(std::in_place);
    Reader reader(message);
    if (message.size() > limits::message_bytes || !reader.call(*call)) return std::nullopt;
    reader.skip_space();
    if (!reader.rest().empty()) return std::nullopt;
    return call;
}

std::optional<SmallFrame> next_small_call(std::string_view& input) {
    std::string_view message = input;
    while (!message.empty() && (is_space(message.front()) || message.front() == '\0')) {
        message.remove_prefix(1);
    }
    std::optional<SmallFrame> frame(std::in_place);
    Reader reader(message);
    if (!reader.call(frame->call)) return std::nullopt;
    // The first newline behind the value ends the message, as a NUL does.
    std::string_view rest = reader.rest();
    while (!rest.empty() && rest.front() != '\n' && is_space(rest.front())) rest.remove_prefix(1);
    if (rest.empty() || (rest.front() != '\n' && rest.front() != '\0')) return std::nullopt;
    if (message.size() - rest.size() > limits::message_bytes) return std::nullopt;
    frame->terminator = rest.front();
    input = rest.substr(1);
    return frame;
}

void append_small_reply(std::string& to, std::string_view name, std::string_view value,
                        char terminator) {
    to.append(R"({"parameters":{")").append(name).append(R"(":")").append(value);
    to.append("\"}}").push_back(terminator);
}

}  // namespace postern::protocol
