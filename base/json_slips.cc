#include "base/json_slips.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "base/strict_json.h"
#include "base/utf8.h"

namespace postern {
namespace {

// How much of what was written is shown, and written anew in advice.
constexpr std::size_t shown_text = 60;

bool begins_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_line_end(char c) {
    return c == '\n' || c == '\r';
}
bool is_blank(char c) {
    return c == ' ' || c == '\t' || is_line_end(c);
}

// As a string of JSON; "..." where it is long.
std::string as_string(std::string_view text) {
    if (text.size() > shown_text) return "\"...\"";
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// What looks like a quotation mark and is none of JSON's: the whole character; empty: it is none.
std::string_view other_quote(std::string_view text) {
    constexpr std::array<std::string_view, 18> quotes = {
        "'", "`", "“", "”", "„", "‟", "«", "»", "‘", "’", "‚", "‛", "‹", "›", "″", "′", "＂", "´"};
    const auto found = std::ranges::find_if(
        quotes, [text](std::string_view quote) { return text.starts_with(quote); });
    return found == quotes.end() ? std::string_view() : *found;
}

// What looks like a blank and is none: its bytes and its name. Empty: it is none.
std::pair<std::string_view, std::string_view> other_blank(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> blanks = {
        {{"\xC2\xA0", "U+00A0"},
         {"\xE2\x80\x8B", "U+200B"},
         {"\xE2\x80\x83", "U+2003"},
         {"\xE2\x80\x82", "U+2002"},
         {"\xE2\x80\x89", "U+2009"},
         {"\xE2\x80\xAF", "U+202F"},
         {"\xE3\x80\x80", "U+3000"},
         {"\xEF\xBB\xBF", "U+FEFF"}}};
    const auto found = std::ranges::find_if(
        blanks, [text](const auto& blank) { return text.starts_with(blank.first); });
    return found == blanks.end() ? std::pair<std::string_view, std::string_view>() : *found;
}

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
bool is_number(std::string_view text) {
    const auto digits = [&text] {
        const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
        text.remove_prefix(end);
        return end;
    };
    if (text.starts_with('-')) text.remove_prefix(1);
    const bool zero = text.starts_with('0');
    const std::size_t whole = digits();
    if (whole == 0 || (zero && whole > 1)) return false;
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        if (digits() == 0) return false;
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
        if (digits() == 0) return false;
    }
    return text.empty();
}

// What to write instead of a word where a value is wanted.
std::string advice_for_word(std::string_view word) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 8> booleans = {
        {{"True", "true"},
         {"TRUE", "true"},
         {"False", "false"},
         {"FALSE", "false"},
         {"yes", "true"},
         {"no", "false"},
         {"on", "true"},
         {"off", "false"}}};
    constexpr std::array<std::string_view, 7> nothing = {"None", "NULL",      "Null", "nil",
                                                         "~",    "undefined", "void"};
    for (const auto& [other, ours] : booleans) {
        if (word == other) return std::string(word) + " is not JSON; write " + std::string(ours);
    }
    if (std::ranges::find(nothing, word) != nothing.end()) {
        return std::string(word) + " is not JSON; leave out what has no value";
    }
    const std::string_view digits =
        word.substr(word.find_first_not_of('0') == std::string::npos ? word.size() - 1
                                                                     : word.find_first_not_of('0'));
    if (word.starts_with('0') && is_number(digits)) {
        return std::string(word) + " begins with 0, which no number in JSON does; write " +
               std::string(digits) + ", or " + as_string(word) + " for a text";
    }
    std::string grouped(word);
    std::erase(grouped, '_');
    if (grouped.ends_with('.')) grouped.pop_back();
    if (is_number(grouped)) return std::string(word) + " is not a number in JSON; write " + grouped;
    if (word.starts_with('+') && is_number(word.substr(1))) {
        return "a number has no + in JSON; write " + std::string(word.substr(1));
    }
    if (word.starts_with('.') && is_number("0" + std::string(word))) {
        return "a number begins with a digit in JSON; write 0" + std::string(word);
    }
    return "texts are written in double quotes; write " + as_string(word);
}

class SlipFinder {
  public:
    SlipFinder(std::string_view text, std::size_t noticed) : text_(text), noticed_(noticed) {}

    std::optional<JsonSlip> find() {
        look_at_beginning();
        while (!slip_) {
            skip_blanks();
            if (slip_ || (at_ > noticed_ && at_ < text_.size())) break;
            if (at_ >= text_.size()) {
                look_at_end();
                break;
            }
            read_token();
        }
        if (!slip_) look_at_bytes();
        if (slip_) slip_->message = printable(slip_->message);
        return std::move(slip_);
    }

  private:
    enum class Wanted : std::uint8_t {
        value,
        value_or_end,  // behind "["
        key,
        key_or_end,  // behind "{"
        colon,
        comma_or_end,
        nothing,  // the whole has been read
    };
    struct Open {
        char bracket;
        std::size_t at;
    };

    void found(std::size_t offset, std::string message) {
        slip_ = JsonSlip{std::move(message), std::min(offset, text_.size())};
    }
    [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }
    [[nodiscard]] char next() const { return text_[at_]; }
    [[nodiscard]] bool in_object() const { return !open_.empty() && open_.back().bracket == '{'; }
    [[nodiscard]] bool at_line_start() const { return at_ == 0 || text_[at_ - 1] == '\n'; }
    [[nodiscard]] std::string line_of(std::size_t offset) const {
        return "line " + std::to_string(line_column(text_, offset).line);
    }
    // To the end of the line.
    [[nodiscard]] std::string_view rest_of_line() const {
        return rest().substr(0, rest().find_first_of("\r\n"));
    }
    static char closing(char bracket) { return bracket == '{' ? '}' : ']'; }

    // ---- The whole ----

    // Other languages than JSON.
    void look_at_beginning() {
        if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF")) {
            return found(0, "the file is UTF-16; save it as UTF-8");
        }
        if (text_.starts_with("\xEF\xBB\xBF")) {
            return found(0, "a byte order mark (U+FEFF); save the file as UTF-8 without one");
        }
        if (text_.starts_with("#!")) return found(0, "this is a script, not JSON; write {...}");
        // The first line that is neither blank nor a comment.
        std::size_t start = 0;
        while (start < text_.size() && (is_blank(text_[start]) || text_[start] == '#')) {
            start = text_[start] == '#' ? text_.find('\n', start) : start + 1;
        }
        if (start >= text_.size()) return;
        std::string_view line = text_.substr(start);
        line = line.substr(0, line.find_first_of("\r\n"));
        const std::size_t word = std::min(
            line.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
                                   "-."),
            line.size());
        const std::string_view behind =
            line.substr(std::min(line.find_first_not_of(" \t", word), line.size()));
        const std::string key = word == 0 ? "\"KEY\"" : as_string(line.substr(0, word));
        if (line.starts_with("---") || line.starts_with("- ") ||
            (begins_word(line.front()) && behind.starts_with(':'))) {
            const bool list = word == 0 || !begins_word(line.front());
            return found(start, "this looks like YAML; write JSON: {" + (list ? "\"KEY\"" : key) +
                                    ": ..., ...}");
        }
        const bool section = line.size() > 1 && line.front() == '[' && begins_word(line[1]) &&
                             line.find_first_of(",\"{") == std::string_view::npos &&
                             line.find(']') != std::string_view::npos;
        if (section || (begins_word(line.front()) && behind.starts_with('='))) {
            return found(start, "this looks like TOML or an INI file; write JSON: {" +
                                    (section ? "\"KEY\"" : key) + ": ..., ...}");
        }
        if (line.starts_with('<') && !line.starts_with("<<<<")) {
            return found(start, "this looks like XML; write JSON: {\"KEY\": ..., ...}");
        }
    }

    void look_at_end() {
        if (open_.empty()) {
            if (wanted_ == Wanted::value) {
                found(0, text_.empty() ? "it is empty; write {...}"
                                       : "there is nothing but blanks and comments; write {...}");
            }
            return;
        }
        if (suspect_) {
            const char bracket = suspect_->bracket;
            return found(suspect_->at, std::string("this \"") + bracket +
                                           "\" is not closed; add \"" + closing(bracket) +
                                           "\" where it ends");
        }
        std::string missing;
        for (auto open = open_.rbegin(); open != open_.rend(); ++open) {
            missing += closing(open->bracket);
        }
        const Open& inner = open_.back();
        const std::string what = std::string("the file ends before the \"") + inner.bracket +
                                 "\" of " + line_of(inner.at) + " is closed; ";
        if (after_comma_)
            return found(comma_, what + "write \"" + missing + "\" instead of this comma");
        if (wanted_ == Wanted::colon || wanted_ == Wanted::value) {
            return found(last_end_,
                         what + "is it all there? It ends behind the key " + as_string(last_text_));
        }
        found(last_end_, what + "add \"" + missing + "\" here");
    }

    // What the strict reader refuses before it parses.
    void look_at_bytes() {
        if (noticed_ < text_.size() && text_[noticed_] == '\0') {
            return found(noticed_, "a NUL byte; remove it");
        }
        if (!valid_utf8(text_)) {
            found(noticed_, "this is not UTF-8; save the file as UTF-8");
        }
    }

    // ---- Between tokens ----

    void skip_blanks() {
        while (at_ < text_.size() && !slip_) {
            if (is_blank(next())) {
                ++at_;
            } else if (rest().starts_with("//")) {
                at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
            } else if (rest().starts_with("/*")) {
                const std::size_t end = text_.find("*/", at_ + 2);
                if (end == std::string_view::npos) {
                    return found(at_, "this comment has no end; write */ where it ends");
                }
                at_ = end + 2;
            } else if (next() == '#') {
                return found(at_, "comments begin with //, not with #; write //");
            } else if (const auto [bytes, name] = other_blank(rest()); !bytes.empty()) {
                return found(at_, std::string(name) +
                                      " is not a blank, but looks like one; write a plain blank");
            } else if (at_line_start() && is_conflict_mark()) {
                return found(at_, "a merge conflict is not resolved here; resolve it");
            } else {
                return;
            }
        }
    }
    [[nodiscard]] bool is_conflict_mark() const {
        return rest().starts_with("<<<<<<<") || rest().starts_with("=======") ||
               rest().starts_with(">>>>>>>") || rest().starts_with("|||||||");
    }

    void read_token() {
        switch (next()) {
            case '"':
                return read_string();
            case '{':
            case '[':
                return open_bracket();
            case '}':
            case ']':
                return close_bracket();
            case ',':
                return read_comma();
            case ':':
                return read_colon();
            case '\0':
                return found(at_, "a NUL byte; remove it");
            default:
                break;
        }
        if (const std::string_view quote = other_quote(rest()); !quote.empty()) {
            return read_other_quote(quote);
        }
        read_word();
    }

    // Whether a value or a key may begin here; else a slip was found.
    bool may_begin() {
        switch (wanted_) {
            case Wanted::colon:
                missing_colon();
                return false;
            case Wanted::comma_or_end:
                missing_comma();
                return false;
            case Wanted::nothing:
                after_the_end();
                return false;
            default:
                return true;
        }
    }

    void missing_comma() {
        // "echo "hi"": a string that ended where a letter follows.
        if (last_was_string_ && last_end_ == at_ && next() != '"') return inner_quote();
        const std::string_view between = text_.substr(last_end_, at_ - last_end_);
        const bool here = between.find('\n') == std::string_view::npos;
        found(last_end_, std::string("a comma is missing ") +
                             (here ? "here" : "at the end of this line") + "; add \",\"");
    }
    void inner_quote() {
        found(last_end_ - 1,
              R"(a quotation mark inside a text is written \"; if this one ends the text, )"
              "something is missing behind it");
    }
    void missing_colon() {
        if (last_end_ == at_ && next() != '"' && next() != '{' && next() != '[') {
            return inner_quote();
        }
        found(last_end_, "a colon is missing here; write " + as_string(last_text_) + ": ...");
    }
    void no_value() {
        found(last_start_, "the key " + as_string(last_text_) + " has no value; write " +
                               as_string(last_text_) +
                               ": ..., or [...] around it if it is one of a list");
    }

    // Something follows the end of the value.
    void after_the_end() {
        const char end = text_[last_end_ - 1];
        const bool closed = end == '}' || end == ']';
        if (next() == '}' || next() == ']') {
            return found(at_, std::string("one \"") + next() + "\" too many; remove it");
        }
        if (closed && (next() == ',' || next() == '"')) {
            return found(last_end_ - 1, std::string("this \"") + end +
                                            "\" ends the whole object, and more follows; "
                                            "remove it, or what follows");
        }
        if (next() == '{') {
            return found(at_,
                         "a second object begins here; one file holds one, so move it to a "
                         "file of its own");
        }
        if (!closed && next() == ':') {
            return found(last_start_,
                         "the whole is an object; write { before this and } at the end");
        }
        found(at_, "the file's value ended before this; remove it");
    }

    // ---- Tokens ----

    void read_string() {
        if (rest().starts_with("\"\"\"")) {
            return found(at_,
                         "JSON has no \"\"\"; write the text in one pair of double quotes, "
                         "with \\n for each new line");
        }
        if (!may_begin()) return;
        const std::size_t start = at_;
        std::size_t end = start + 1;
        for (; end < text_.size() && text_[end] != '"'; ++end) {
            const char c = text_[end];
            if (is_line_end(c)) break;
            if (c == '\t') return found(end, "a tab inside a text is written \\t; write that");
            if (c == '\\') {
                if (!is_escape(end)) return bad_escape(end);
                ++end;
            }
        }
        if (end >= text_.size() || text_[end] != '"') {
            return found(start,
                         "this text has no closing quotation mark on its line; add it (a new "
                         "line inside a text is written \\n)");
        }
        last_start_ = start;
        last_text_ = text_.substr(start + 1, end - start - 1);
        at_ = last_end_ = end + 1;
        last_was_string_ = true;
        after_comma_ = false;
        if (wanted_ == Wanted::key || wanted_ == Wanted::key_or_end) {
            wanted_ = Wanted::colon;
        } else {
            value_ended();
        }
    }
    [[nodiscard]] bool is_escape(std::size_t backslash) const {
        if (backslash + 1 >= text_.size()) return false;
        if (text_[backslash + 1] != 'u') {
            return std::string_view("\"\\/bfnrt").find(text_[backslash + 1]) !=
                   std::string_view::npos;
        }
        const std::string_view digits = text_.substr(backslash + 2, 4);
        return digits.size() == 4 &&
               digits.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    }
    void bad_escape(std::size_t backslash) {
        const char c = backslash + 1 < text_.size() ? text_[backslash + 1] : '\n';
        if (c == 'u') return found(backslash, "\\u wants four hexadecimal digits; write \\u0041");
        if (c == '\'') return found(backslash, "JSON has no \\'; write ' without a backslash");
        if (is_line_end(c)) {
            return found(backslash,
                         "a text can't continue on the next line; write \\n, or put all "
                         "in one line");
        }
        found(backslash, std::string("a backslash inside a text is written \\\\; write \\\\") +
                             (static_cast<unsigned char>(c) < 0x80 ? std::string(1, c) : ""));
    }

    // 'text', “text”
    void read_other_quote(std::string_view quote) {
        const std::size_t start = at_ + quote.size();
        const std::string_view line = rest_of_line();
        std::size_t end = quote.size();
        while (end < line.size() && other_quote(line.substr(end)).empty() && line[end] != '"')
            ++end;
        std::string message = std::string(quote) + " is not a quotation mark in JSON; write ";
        if (wanted_ == Wanted::comma_or_end && last_was_string_ && last_end_ == at_) {
            return inner_quote();
        }
        if (end >= line.size()) return found(at_, message + "\"");
        found(at_, message + as_string(text_.substr(start, end - quote.size())));
    }

    void read_word() {
        const char c = next();
        if (c == '=' && wanted_ == Wanted::colon) {
            return found(at_, "a key and its value are separated by \":\"; write that instead");
        }
        if (c == ';' && wanted_ != Wanted::value) {
            return found(at_, open_.empty()
                                  ? "a semicolon is not needed here; remove it"
                                  : "values are separated by commas; write \",\" instead of "
                                    "\";\"");
        }
        if ((c == '+' || c == '.' || c == '\\') && wanted_ == Wanted::comma_or_end &&
            last_was_string_) {
            return found(at_, "texts can't be joined; write one text");
        }
        if (rest().starts_with("{%") || rest().starts_with("...")) return cannot_be_here();
        if (!may_begin()) return;
        const std::size_t end =
            std::min(text_.find_first_of(" \t\r\n,:{}[]\"'=;#", at_), text_.size());
        const std::string_view word = text_.substr(at_, end - at_);
        if (wanted_ == Wanted::key || wanted_ == Wanted::key_or_end) {
            if (word.empty()) return cannot_be_here();
            return found(at_, "keys are written in double quotes; write " + as_string(word));
        }
        if (word.empty()) return cannot_be_here();
        if (word == "true" || word == "false" || word == "null" || is_number(word)) {
            last_start_ = at_;
            last_text_ = word;
            at_ = last_end_ = end;
            last_was_string_ = after_comma_ = false;
            return value_ended();
        }
        if (open_.empty()) return found(at_, "this is not JSON; write {\"KEY\": ..., ...}");
        if (end < text_.size() && text_[end] == '"' && word.size() <= 2) {
            return found(at_, "a text begins with its quotation mark; remove " + std::string(word));
        }
        found(at_, advice_for_word(unquoted_text(word)));
    }

    // All that somebody meant who wrote no quotation marks: to the end of the value.
    [[nodiscard]] std::string_view unquoted_text(std::string_view word) const {
        if (!begins_word(word.front())) return word;
        std::string_view whole = rest_of_line();
        whole = whole.substr(0, whole.find_first_of(",]}\"'#"));
        whole = whole.substr(0, whole.find("//"));
        while (!whole.empty() && is_blank(whole.back())) whole.remove_suffix(1);
        return whole.size() > word.size() && whole.find(':') == std::string_view::npos ? whole
                                                                                       : word;
    }

    void cannot_be_here() {
        const std::size_t length = static_cast<unsigned char>(next()) < 0x80 ? 1 : 4;
        found(at_, in_quotes(rest().substr(0, length), 1) + " can't be here; write " +
                       (wanted_ == Wanted::key || wanted_ == Wanted::key_or_end
                            ? "a key in double quotes"
                            : "a text in double quotes, a number, true, false, [...] or {...}"));
    }

    void open_bracket() {
        if ((wanted_ == Wanted::key || wanted_ == Wanted::key_or_end)) {
            if (rest().starts_with("{{") || (at_ > 0 && text_[at_ - 1] == '{')) {
                return found(at_, "this looks like a template; fill it in first");
            }
            if (next() == '{' && after_comma_ && open_.size() > 1 &&
                open_[open_.size() - 2].bracket == '[') {
                return found(comma_, "the \"{\" of " + line_of(open_.back().at) +
                                         " is not closed; add \"}\" here");
            }
            return found(at_,
                         "a key in double quotes is wanted here; if this is one more element "
                         "of a list, write [...] around them");
        }
        if (!may_begin()) return;
        if (rest().starts_with("{%")) {
            return found(at_, "this looks like a template; fill it in first");
        }
        open_.push_back({next(), at_});
        wanted_ = next() == '{' ? Wanted::key_or_end : Wanted::value_or_end;
        last_was_string_ = after_comma_ = false;
        last_end_ = ++at_;
    }

    void close_bracket() {
        const char c = next();
        if (wanted_ == Wanted::nothing || open_.empty()) {
            return found(at_, std::string("one \"") + c + "\" too many; remove it");
        }
        if (after_comma_) {
            return found(comma_, std::string("a comma before \"") + c + "\"; remove it");
        }
        if (wanted_ == Wanted::colon || (wanted_ == Wanted::value && in_object())) {
            return no_value();
        }
        const Open open = open_.back();
        if (closing(open.bracket) != c) {
            return unclosed_before(open, c);
        }
        if (!suspect_ && !is_indented_alike(open.at)) suspect_ = open;
        open_.pop_back();
        last_was_string_ = false;
        last_end_ = ++at_;
        value_ended();
    }

    // A bracket meets one of the other kind.
    void unclosed_before(const Open& open, char c) {
        const std::string of = std::string("the \"") + open.bracket + "\" of " + line_of(open.at);
        const char missing = closing(open.bracket);
        if (text_.substr(last_end_, at_ - last_end_).find('\n') != std::string_view::npos) {
            return found(last_end_, of + " is not closed; add \"" + missing + "\" here");
        }
        found(at_, of + " is not closed; write \"" + missing + "\" before this \"" + c +
                       "\", or instead of it");
    }

    // Of the line.
    [[nodiscard]] std::size_t indentation(std::size_t offset) const {
        const std::size_t start = text_.rfind('\n', offset) + 1;  // npos + 1 is 0
        return std::min(text_.find_first_not_of(" \t", start), text_.size()) - start;
    }
    // Whether a closing bracket that begins its line has the indentation of the line where its
    // opening one is: if not, it may be that of another.
    [[nodiscard]] bool is_indented_alike(std::size_t opened) const {
        const std::size_t start = text_.rfind('\n', at_) + 1;
        if (indentation(at_) != at_ - start || opened >= start) return true;
        return indentation(opened) == at_ - start;
    }

    void read_comma() {
        switch (wanted_) {
            case Wanted::comma_or_end:
                comma_ = at_++;
                last_was_string_ = false;
                after_comma_ = true;
                wanted_ = in_object() ? Wanted::key : Wanted::value;
                return;
            case Wanted::key_or_end:
            case Wanted::value_or_end:
                return found(at_, "a comma before the first element; remove it");
            case Wanted::nothing:
                return after_the_end();
            case Wanted::colon:
                return no_value();
            case Wanted::key:
            case Wanted::value:
                break;
        }
        if (after_comma_) return found(at_, "a second comma; remove it");
        if (in_object()) return no_value();
        cannot_be_here();
    }

    void read_colon() {
        if (wanted_ == Wanted::colon) {
            colon_ = at_++;
            wanted_ = Wanted::value;
            return;
        }
        if (wanted_ == Wanted::nothing) return after_the_end();
        if (wanted_ == Wanted::comma_or_end && !in_object()) {
            const Open& list = open_.back();
            if (comma_ > list.at && open_.size() > 1 &&
                indentation(last_start_) <= indentation(list.at)) {
                return found(comma_, "the \"[\" of " + line_of(list.at) +
                                         " is not closed before the key " + as_string(last_text_) +
                                         "; add \"]\" here");
            }
            return found(last_start_,
                         "a list has no keys; write {" + as_string(last_text_) + ": ...}");
        }
        if (wanted_ == Wanted::value && in_object()) {
            return found(at_, "a second colon; remove it");
        }
        if (wanted_ == Wanted::comma_or_end) {
            return found(colon_ + 1, "a \"{\" is missing here, before the key " +
                                         as_string(last_text_) + "; add it");
        }
        found(at_, "a key is missing before this colon; write \"KEY\":");
    }

    void value_ended() { wanted_ = open_.empty() ? Wanted::nothing : Wanted::comma_or_end; }

    std::string_view text_;
    std::size_t noticed_;
    std::size_t at_ = 0;
    Wanted wanted_ = Wanted::value;
    std::vector<Open> open_;
    std::optional<Open> suspect_;  // the first that something of another indentation closed
    // The last token that was not a comma or colon; the last comma; the last colon.
    std::size_t last_start_ = 0;
    std::size_t last_end_ = 0;
    std::string_view last_text_;
    bool last_was_string_ = false;
    bool after_comma_ = false;  // nothing but blanks since
    std::size_t comma_ = 0;
    std::size_t colon_ = 0;
    std::optional<JsonSlip> slip_;
};

}  // namespace

std::optional<JsonSlip> find_json_slip(std::string_view text, std::size_t noticed) {
    return SlipFinder(text, noticed).find();
}

}  // namespace postern
