// (action, values of the caller) -> command line, or what is wrong with a value.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/policy/snapshot.h"
#include "model/argument.h"

namespace postern::policy {

// What a job is started with. Each argument's text is one literal piece of one element (or, for a
// list, of several); nothing is expanded twice.
struct Command {
    std::vector<std::string> argv;          // argv[0] is the program
    std::optional<std::string> stdin_text;  // absent: /dev/null
    // Name and text of every argument for records and audit, defaults included; a secret one's text
    // is "(secret)".
    std::vector<std::pair<std::string, std::string>> shown;
    // Names of those of them whose text is a list: ["a", "b\"c"], where \ stands before " and \.
    // NOLINTNEXTLINE(readability-redundant-member-init): g++ asks for it where it is left out
    std::vector<std::string> lists = {};
};

// For the caller, who may run the action: all that is wrong, one line for each argument, without a
// newline at the end. A line names the argument, the value (unless it is secret) and what is
// allowed, e.g. `service: "sshd" is not one of nginx, php-fpm`. First come those that the action
// does not have, in the caller's order, then its own in the order of its file. After some 4 KiB the
// others are only counted.
struct ArgumentError {
    std::string argument;  // of the first line
    std::string message;
};

// `input`: what the caller gives for standard input. An action that takes none is an error of the
// argument "input".
Result<Command, ArgumentError> bind_arguments(const Action& action, const Arguments& arguments,
                                              const std::optional<std::string>& input = {});

}  // namespace postern::policy
