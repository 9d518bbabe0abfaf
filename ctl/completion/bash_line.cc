#include "ctl/completion/bash_line.h"

#include <algorithm>
#include <utility>

namespace postern::ctl {
namespace {

bool contains(std::string_view set, char c) {
    return set.find(c) != std::string_view::npos;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

class BashReader {
  public:
    BashReader(std::string_view line, std::string_view breaks) : rest_(line), breaks_(breaks) {}

    BashLine read() {
        while (!rest_.empty()) {
            if (line_.quote == '\'') {
                in_single_quotes(take());
            } else if (line_.quote == '"') {
                in_double_quotes(take());
            } else {
                unquoted(take());
            }
        }
        if (line_.quote != 0) line_.kept = quoted_from_;
        return std::move(line_);
    }

  private:
    char take() {
        const char c = rest_.front();
        rest_.remove_prefix(1);
        return c;
    }

    void add(char c) {
        line_.word += c;
        begun_ = true;
    }

    // After a backslash. A newline after one is no part of the line, and the backslash alone at the
    // cursor stands for nothing yet.
    void escaped() {
        begun_ = true;
        if (rest_.empty()) return;
        const char c = take();
        if (c != '\n') add(c);
    }

    void in_single_quotes(char c) {
        if (c == '\'') {
            line_.quote = 0;
        } else {
            add(c);
        }
    }

    void in_double_quotes(char c) {
        if (c == '"') {
            line_.quote = 0;
        } else if (c == '\\' && (rest_.empty() || contains("$`\"\\\n", rest_.front()))) {
            escaped();
        } else {
            line_.expands = line_.expands || contains("$`", c);
            add(c);
        }
    }

    void unquoted(char c) {
        if (c == '\\') {
            escaped();
        } else if (c == '\'' || c == '"') {
            begun_ = true;
            line_.quote = c;
            quoted_from_ = line_.word.size();
        } else if (contains(" \t\n", c)) {
            if (begun_) end_word();
        } else if (contains("<>", c)) {
            // "2>": the digits are no word.
            if (begun_ && !std::ranges::all_of(line_.word, is_digit)) end_word();
            begin_word();
            line_.redirects = true;
        } else if (contains("|&;()", c)) {
            if (begun_) end_word();
        } else {
            line_.expands = line_.expands || contains("$`", c);
            add(c);
            if (contains(breaks_, c)) line_.kept = line_.word.size();
        }
    }

    void end_word() {
        if (!line_.redirects) line_.words.push_back(std::move(line_.word));
        begin_word();
    }

    void begin_word() {
        line_.word.clear();
        line_.kept = 0;
        line_.redirects = false;
        line_.expands = false;
        begun_ = false;
    }

    std::string_view rest_;
    std::string_view breaks_;
    BashLine line_;
    bool begun_ = false;  // the word is there, though it may be empty: ''
    std::size_t quoted_from_ = 0;
};

}  // namespace

BashLine read_bash_line(std::string_view line, std::string_view breaks) {
    return BashReader(line, breaks).read();
}

std::optional<std::string> bash_text(std::string_view word, const BashLine& line) {
    constexpr std::string_view letters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    constexpr std::string_view plain = "_-+=:,./@%";
    std::string text;
    for (const char c : word.substr(line.kept)) {
        if (line.quote == '\'') {
            text += c == '\'' ? std::string("'\\''") : std::string(1, c);
            continue;
        }
        // The history is expanded in double quotes, and a backslash before it would stay.
        if (line.quote == '"' && c == '!') return std::nullopt;
        const bool is_ascii = static_cast<unsigned char>(c) < 0x80U;
        const bool is_special = line.quote == '"'
                                    ? contains("$`\"\\", c)
                                    : is_ascii && !contains(letters, c) && !contains(plain, c);
        if (is_special) text += '\\';
        text += c;
    }
    return text;
}

}  // namespace postern::ctl
