#include "daemon/policy/file/command_line.h"

#include <sys/stat.h>

#include <cstddef>
#include <vector>

#include "daemon/policy/file/document.h"

namespace postern::policy {
namespace {

bool is_program(const std::string& path) {
    constexpr mode_t execute = 0111;
    struct stat status{};
    return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           (status.st_mode & execute) != 0;
}

// By blanks, and quotation marks as a shell has them. Absent: a shell would do more than that.
std::optional<std::vector<std::string>> split(std::string_view line) {
    std::vector<std::string> words;
    std::string word;
    bool in_word = false;
    char quote = '\0';
    for (const char c : line) {
        if (quote != '\0') {
            if (c == quote) {
                quote = '\0';
            } else {
                word += c;
            }
        } else if (c == '\'' || c == '"') {
            quote = c;
            in_word = true;
        } else if (c == ' ' || c == '\t') {
            if (in_word) words.push_back(std::move(word));
            word.clear();
            in_word = false;
        } else if (std::string_view("|&;<>()$`\\*?~#\n").find(c) != std::string_view::npos) {
            return std::nullopt;
        } else {
            word += c;
            in_word = true;
        }
    }
    if (quote != '\0') return std::nullopt;
    if (in_word) words.push_back(std::move(word));
    return words;
}

}  // namespace

std::optional<std::string> find_program(const std::string& name, std::string_view search_path) {
    if (name.empty()) return std::nullopt;
    if (name.find('/') != std::string::npos) {
        return name.front() == '/' && is_program(name) ? std::optional(name) : std::nullopt;
    }
    while (!search_path.empty()) {
        const std::size_t colon = search_path.find(':');
        std::string path(search_path.substr(0, colon));
        path += '/';
        path += name;
        if (path.front() == '/' && is_program(path)) return path;
        if (colon == std::string_view::npos) break;
        search_path.remove_prefix(colon + 1);
    }
    return std::nullopt;
}

std::optional<std::string> command_words(std::string_view line, std::string_view search_path) {
    constexpr std::size_t most = 400;
    auto words = split(line);
    if (!words || words->empty() || line.size() > most) return std::nullopt;
    if (auto program = find_program(words->front(), search_path)) {
        words->front() = *std::move(program);
    }
    std::string text;
    for (const std::string& word : *words) {
        if (!text.empty()) text += ", ";
        text += as_json(word);
    }
    return text;
}

}  // namespace postern::policy
