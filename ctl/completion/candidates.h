// What the word at the cursor can become.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "ctl/completion/typed_line.h"
#include "model/action.h"

namespace postern::ctl {

struct Candidate {
    std::string text;         // the whole word
    std::string description;  // may be empty
    friend bool operator==(const Candidate&, const Candidate&) = default;
};

struct Candidates {
    std::vector<Candidate> list;
    // The shell is to complete a path, which begins behind so many characters of the word.
    std::optional<std::size_t> path_from = std::nullopt;
};

// What only others know. Where they do not say there is nothing.
class Knowledge {
  public:
    Knowledge() = default;
    Knowledge(const Knowledge&) = delete;
    Knowledge& operator=(const Knowledge&) = delete;
    virtual ~Knowledge() = default;
    virtual std::vector<Candidate> actions() = 0;
    virtual std::optional<ActionDescription> action(const std::string& name) = 0;
    // Those that the line can mean, the newest first.
    virtual std::vector<Candidate> jobs() = 0;
    virtual std::vector<std::string> users() = 0;
};

// They need not begin with what is typed: some shells have other ways to choose. None is a word
// that posternctl would take for an option, or has a character that a terminal would not show.
Candidates candidates_for(const TypedLine& line, Knowledge& knowledge);

}  // namespace postern::ctl
