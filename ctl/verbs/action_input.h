// What an action gets for its standard input from the command line: the caller's own standard
// input, a file (--input), or nothing (--no-input). It is read only where the action takes any.
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ctl/verbs/invocation.h"
#include "ctl/wire/exchange.h"
#include "model/action.h"

namespace postern::ctl {

inline constexpr Option option_file{
    .name = "file",
    .value = "NAME=PATH",
    .repeats = true,
    .help = "the content of a file as an argument; may be given several times",
    .completes = Completes::named_files};
inline constexpr Option option_input{
    .name = "input",
    .value = "FILE",
    .help = "a file as the action's standard input, instead of posternctl's own",
    .completes = Completes::files};
inline constexpr Option option_no_input{
    .name = "no-input", .value = "", .help = "no standard input, even if the action takes any"};

// What is wrong with these options together; empty: nothing.
std::string object_to_input(const Invocation& invocation);

class ActionInput {
  public:
    // The error was said.
    static Result<ActionInput, Failed> open(const Invocation& invocation);

    // Whether the action gets any: it takes some, and --no-input was not given. The error (a file
    // for an action that takes none) was said. Of an action that is not known: false; the daemon's
    // answer counts.
    [[nodiscard]] Result<bool, Failed> wanted(const ActionDescription* action) const;

    [[nodiscard]] int fd() const;
    [[nodiscard]] const std::string& name() const { return name_; }

    // Reads all of it into the parameters of Run, once; what was read is there for the next time.
    // `interrupt`: a descriptor, or -1; false: it became readable. The error was said.
    Result<bool, Failed> put(nlohmann::json& parameters, int interrupt);

  private:
    UniqueFd file_;  // invalid: standard input
    std::string name_ = "standard input";
    bool none_ = false;
    std::optional<std::string> read_;
};

}  // namespace postern::ctl
