// The short, plain calls that are made most often, recognized without a JSON value and without
// memory of their own: a method, and parameters that are plain texts. What is recognized is exactly
// what decode_call() makes of it; what is not may be anything, and decode_call() says what.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace postern::protocol {

// All texts point into the message. They are printable ASCII without a quote and without a
// backslash, so that they stand in JSON as they are.
class SmallCall {
  public:
    struct Parameter {
        std::string_view name;
        std::string_view value;  // a string
    };
    static constexpr std::size_t most_parameters = 4;

    std::string_view method;

    [[nodiscard]] std::span<const Parameter> parameters() const {
        return std::span(parameters_).first(count_);
    }
    // False: there is one of this name already, or no room.
    bool add(const Parameter& parameter);

  private:
    std::array<Parameter, most_parameters> parameters_{};
    std::size_t count_ = 0;
};

// One message, without its terminator.
std::optional<SmallCall> read_small_call(std::string_view message);

struct SmallFrame {
    SmallCall call;
    // '\0' or '\n': what ended it.
    char terminator = '\0';
};

// The next message of a stream, where a Framer is between two: takes off the front of `input` what
// that would. Without a value nothing is taken.
std::optional<SmallFrame> next_small_call(std::string_view& input);

// Adds to `to` the reply, with its terminator, whose one parameter is such a text.
void append_small_reply(std::string& to, std::string_view name, std::string_view value,
                        char terminator);

}  // namespace postern::protocol
