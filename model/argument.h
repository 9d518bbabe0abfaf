// Arguments: what a caller gives, and what an action says that they must be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace postern {

// JSON that no argument can be.
enum class Unusable : std::uint8_t {
    other = 0,
    null = 1,
    fraction = 2,  // a number that is not written as an integer: 1.5, and 1000.0 or 1e3 too
    object = 3,
    list = 4,  // inside another one
};

// One argument value, as it came out of a message. `Unsupported` stands for JSON that no argument
// can be: of its value it carries nothing, so that the guard can decide first and only then say
// what is wrong with it.
struct Unsupported {
    Unusable what = Unusable::other;
    friend bool operator==(const Unsupported&, const Unsupported&) = default;
};
using Scalar = std::variant<Unsupported, std::string, std::int64_t, bool>;
using Value = std::variant<Unsupported, std::string, std::int64_t, bool, std::vector<Scalar>>;

struct NamedValue {
    std::string name;
    Value value;
    friend bool operator==(const NamedValue&, const NamedValue&) = default;
};
using Arguments = std::vector<NamedValue>;

enum class ArgumentType : std::uint8_t { string = 0, integer = 1, boolean = 2, list = 3 };

// What one argument must be. For a list, `items` says what its elements are (never another list),
// and the bounds of string and integer hold for each element.
struct ArgumentSpec {
    std::string name;
    std::string summary;
    ArgumentType type = ArgumentType::string;
    ArgumentType items = ArgumentType::string;  // of a list
    bool required = true;
    bool secret = false;
    bool allow_leading_dash = false;
    // A string of several lines, and longer than others: limits::multiline_bytes.
    bool multiline = false;
    std::optional<Value> fallback;       // "default"; implies that it is not required
    std::vector<std::string> values;     // "enum"; empty: any
    std::optional<std::string> pattern;  // RE2, must match the whole value
    // Bytes of UTF-8 of a string.
    std::optional<std::uint32_t> min_length;
    std::optional<std::uint32_t> max_length;
    std::optional<std::int64_t> minimum;
    std::optional<std::int64_t> maximum;
    // Elements of a list.
    std::optional<std::uint32_t> min_items;
    std::optional<std::uint32_t> max_items;
    friend bool operator==(const ArgumentSpec&, const ArgumentSpec&) = default;
};

}  // namespace postern
