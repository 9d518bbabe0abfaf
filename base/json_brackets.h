// The brackets of a JSON text that are open, and which of them was probably forgotten. A part of
// base/json_slips.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

struct JsonBracket {
    char bracket;  // { or [
    std::size_t at;

    [[nodiscard]] char closing() const { return bracket == '{' ? '}' : ']'; }
};

class JsonBrackets {
  public:
    // The text must live as long.
    explicit JsonBrackets(std::string_view text) : text_(text) {}

    void open(char bracket, std::size_t at) { open_.push_back({bracket, at}); }
    // The inner one, by what stands at `at`.
    void close(std::size_t at);

    [[nodiscard]] bool empty() const { return open_.empty(); }
    [[nodiscard]] const JsonBracket& inner() const { return open_.back(); }
    [[nodiscard]] bool in_object() const { return !empty() && inner().bracket == '{'; }
    [[nodiscard]] bool is_nested() const { return open_.size() > 1; }
    // Whether the one around the inner one is a list's.
    [[nodiscard]] bool in_list() const {
        return is_nested() && open_[open_.size() - 2].bracket == '[';
    }
    // What closes all of them.
    [[nodiscard]] std::string all_closing() const;
    // The first that was closed by one that its line is not indented like: that may be another's.
    [[nodiscard]] const std::optional<JsonBracket>& suspect() const { return suspect_; }

    // `the "{" of line 3`
    [[nodiscard]] std::string shown(const JsonBracket& open) const;
    // Of the line.
    [[nodiscard]] std::size_t indentation(std::size_t offset) const;

  private:
    [[nodiscard]] bool is_indented_alike(std::size_t opened, std::size_t closed) const;

    std::string_view text_;
    std::vector<JsonBracket> open_;
    std::optional<JsonBracket> suspect_;
};

}  // namespace postern
