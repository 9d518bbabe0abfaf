#include "ctl/completion/typed_line.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "ctl/verbs/all_options.h"
#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

const Option* option_row(std::string_view word) {
    static const auto rows = [] {
        std::vector<Option> all(common_options.begin(), common_options.end());
        std::ranges::copy(own_options(), std::back_inserter(all));
        return all;
    }();
    const bool is_long = word.starts_with("--");
    const auto name = is_long ? word.substr(2, word.find('=') - 2) : std::string_view{};
    const auto found = std::ranges::find_if(rows, [&](const Option& row) {
        return is_long ? row.name == name : row.letter != 0 && row.letter == word[1];
    });
    return found == rows.end() ? nullptr : &*found;
}

class LineReader {
  public:
    TypedLine read(std::span<const std::string> words) {
        for (const auto& word : words.first(words.size() - 1)) take(word);
        at_cursor(words.back());
        return std::move(line_);
    }

  private:
    [[nodiscard]] bool is_option(std::string_view word) const {
        return !line_.options_ended && word.size() > 1 && word.starts_with('-');
    }

    void give(const Option& option, std::string value) {
        line_.invocation.options.push_back({option.name, std::move(value)});
    }

    void take(const std::string& word) {
        if (wants_value_ != nullptr) {
            give(*wants_value_, word);
            wants_value_ = nullptr;
        } else if (word == "--" && !line_.options_ended) {
            line_.options_ended = true;
            line_.lost = line_.verb == nullptr;
        } else if (is_option(word)) {
            take_option(word);
        } else if (line_.verb == nullptr) {
            take_verb(word);
        } else {
            line_.invocation.words.push_back(word);
        }
    }

    void take_option(const std::string& word) {
        const auto* const option = option_row(word);
        if (option == nullptr) return;
        const auto sign = word.find('=');
        if (option->value.empty()) {
            give(*option, {});
        } else if (sign == std::string::npos) {
            wants_value_ = option;
        } else {
            give(*option, word.substr(sign + 1));
        }
    }

    void take_verb(const std::string& word) {
        const auto found = std::ranges::find(verbs(), word, &Verb::name);
        if (found != verbs().end()) line_.verb = *found;
        line_.lost = line_.lost || line_.verb == nullptr;
    }

    void at_cursor(const std::string& word) {
        line_.word = word;
        line_.option = wants_value_;
        const auto sign = word.find('=');
        if (wants_value_ != nullptr || !is_option(word) || sign == std::string::npos) return;
        line_.option = option_row(word);
        line_.value_from = sign + 1;
        // Of what is no option there is no value.
        line_.lost = line_.lost || line_.option == nullptr;
    }

    TypedLine line_;
    const Option* wants_value_ = nullptr;
};

}  // namespace

TypedLine read_typed_line(std::span<const std::string> words) {
    return LineReader().read(words);
}

}  // namespace postern::ctl
