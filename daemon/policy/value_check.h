// One value against what its argument must be.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "daemon/policy/snapshot.h"
#include "model/argument.h"

namespace postern::policy {

// What is wrong with the value, e.g. `"sshd" is not one of nginx, php-fpm`; the value is not named
// if the argument is secret. `pattern` is the compiled spec.pattern, null where there is none.
std::optional<std::string> value_problem(const ArgumentSpec& spec, const re2::RE2* pattern,
                                         const Value& value);

// What a value must be, e.g. `one of nginx, php-fpm` or `an integer from 1 to 10`.
std::string expectation(const ArgumentSpec& spec);

// Bytes that a string of this argument may have where its declaration sets no bound.
std::size_t most_bytes(const ArgumentSpec& spec);

// "a string" and so on.
std::string type_name(ArgumentType type);

}  // namespace postern::policy
