// What is asked for candidates: the daemon that the line means, and the accounts of this machine.
// Nothing is said of what goes wrong, and nothing waits long for it.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "ctl/completion/candidates.h"
#include "ctl/wire/socket_path.h"

namespace postern::ctl {

class Asked final : public Knowledge {
  public:
    // `line` is to outlive it.
    Asked(const TypedLine& line, SocketEnvironment environment)
        : line_(line), environment_(std::move(environment)) {}

    std::vector<Candidate> actions() override;
    std::optional<ActionDescription> action(const std::string& name) override;
    std::vector<Candidate> jobs() override;
    std::vector<std::string> users() override;

  private:
    struct Place {
        std::string path;  // empty: none that can be asked
        bool datagram = false;
    };
    [[nodiscard]] Place place(Asks asks) const;

    const TypedLine& line_;
    SocketEnvironment environment_;
};

}  // namespace postern::ctl
