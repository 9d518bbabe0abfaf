// JSON (RFC 8259) read strictly: what two readers could understand differently is an error.
//
// Refused besides what is no JSON at all: a key that stands twice in one object, integers beyond
// 2^53, numbers that no double holds, invalid UTF-8, lone surrogates, NUL bytes, a byte order mark,
// anything after the value, and whatever is larger than the limits. No exception leaves this file.
//
// Not for other headers to include: nlohmann/json.hpp is expensive to compile.
#pragma once

#include <cstddef>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "base/result.h"

namespace postern {

// A string that may be longer than others, by where it stands: the keys that lead to it from the
// whole, "*" for any.
struct LongString {
    std::span<const std::string_view> path;
    std::size_t bytes = 0;
};

struct JsonLimits {
    std::size_t bytes = limits::message_bytes;
    // Containers inside each other; [] has depth 1.
    std::size_t depth = limits::json_depth;
    // Of one object or array.
    std::size_t members = limits::json_members;
    // In all, containers included.
    std::size_t values = limits::json_values;
    // Of one string or key, after unescaping.
    std::size_t string_bytes = limits::json_string_bytes;
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::span<const LongString> long_strings = {};
    // Whether // and /* */ comments are skipped.
    bool comments = false;
};

struct JsonError {
    // What was wrong, with the field's path where there is one, e.g. `parameters.n: ...`. It is
    // printable whatever the text was.
    std::string message;
    // Bytes from the beginning of the text to where it stands; at most the text's length.
    std::size_t offset = 0;
};

Result<nlohmann::json, JsonError> parse_strict_json(std::string_view text,
                                                    const JsonLimits& limits = {});

// The value, and where its parts stand. Keys of both maps are JSON pointers (RFC 6901; "" is the
// whole); offsets are bytes from the beginning of the text.
struct LocatedJson {
    nlohmann::json value;
    // Of every value: its first byte.
    std::map<std::string, std::size_t> offsets;
    // Of every member of an object: the opening quote of its key.
    std::map<std::string, std::size_t> key_offsets;
};

Result<LocatedJson, JsonError> parse_located_json(std::string_view text, const JsonLimits& limits);

// `key` or index as the next step of a JSON pointer: "/" and the key with its ~ and / escaped.
std::string pointer_step(std::string_view key);

// Both from 1; the column counts characters (code points), not bytes.
struct LineColumn {
    std::size_t line = 1;
    std::size_t column = 1;
};
LineColumn line_column(std::string_view text, std::size_t offset);

}  // namespace postern
