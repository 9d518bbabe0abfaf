// One value against what its argument must be.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "daemon/policy/snapshot.h"
#include "model/argument.h"

namespace postern::policy {

// What is wrong with a value, e.g. `"abc" is not an integer`, and what to do about it where the
// first does not say so: `give one from 1 to 500`, or `write 7` where it is plain what was meant. A
// value that does as it says is not refused. Neither shows anything of a secret argument's value.
struct ValueProblem {
    std::string what;
    std::string advice;  // empty: `what` says it

    [[nodiscard]] std::string text() const { return advice.empty() ? what : what + "; " + advice; }
};

// `pattern` is the compiled spec.pattern, null where there is none.
std::optional<ValueProblem> value_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                          const Value& value);

// What a value must be, e.g. `one of nginx, php-fpm` or `an integer from 1 to 10`.
std::string expectation(const ArgumentSpec& spec);

// Bytes that a string of this argument may have where its declaration sets no bound.
std::size_t most_bytes(const ArgumentSpec& spec);

// "a string" and so on.
std::string type_name(ArgumentType type);

}  // namespace postern::policy
