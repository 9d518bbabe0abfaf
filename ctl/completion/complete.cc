#include "ctl/completion/complete.h"

#include <vector>

#include "ctl/completion/asked.h"
#include "ctl/completion/bash_line.h"
#include "ctl/completion/candidates.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"
#include "ctl/wire/exchange.h"

namespace postern::ctl {
namespace {

Candidates found_for(std::span<const std::string> words) {
    const auto line = read_typed_line(words);
    Asked asked(line, socket_environment());
    return candidates_for(line, asked);
}

std::string path_line(std::size_t from) {
    return "\t" + std::to_string(from) + "\n";
}

int complete_words(std::span<const std::string> words) {
    const auto found = found_for(words);
    if (found.path_from) return finish(path_line(*found.path_from));
    std::string text;
    for (const auto& candidate : found.list) {
        text += candidate.text;
        if (!candidate.description.empty()) text += "\t" + candidate.description;
        text += "\n";
    }
    return finish(text);
}

int complete_bash(const std::string& typed, const std::string& breaks) {
    auto line = read_bash_line(typed, breaks);
    if (line.redirects) return finish(path_line(0));
    if (line.expands || line.words.empty()) return exit_code::success;
    std::vector<std::string> words(line.words.begin() + 1, line.words.end());
    words.push_back(line.word);
    const auto found = found_for(words);
    if (found.path_from) return finish(path_line(*found.path_from));
    std::string text;
    for (const auto& candidate : found.list) {
        if (!candidate.text.starts_with(line.word)) continue;
        if (const auto typable = bash_text(candidate.text, line)) text += *typable + "\n";
    }
    return finish(text);
}

}  // namespace

int complete(std::span<const std::string> words) {
    if (words.size() >= 2 && words.front() == "--") return complete_words(words.subspan(1));
    if (words.size() == 3 && words.front() == "--bash") return complete_bash(words[1], words[2]);
    complain(
        "complete is for the completion of shells: complete -- WORD... or complete --bash LINE "
        "BREAKS");
    return exit_code::usage;
}

}  // namespace postern::ctl
