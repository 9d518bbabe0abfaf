#include "base/json_slips.h"

#include <algorithm>
#include <cstdint>

#include "base/json_brackets.h"
#include "base/json_slip_blanks.h"
#include "base/json_slip_format.h"
#include "base/json_slip_string.h"
#include "base/json_slip_words.h"
#include "base/utf8.h"

namespace postern {
namespace {

class SlipFinder {
  public:
    SlipFinder(std::string_view text, std::size_t noticed)
        : text_(text), noticed_(noticed), open_(text) {}

    std::optional<JsonSlip> find() {
        slip_ = find_other_format(text_);
        while (!slip_) {
            slip_ = skip_json_blanks(text_, at_);
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
    void found(std::size_t offset, std::string message) {
        slip_ = JsonSlip{std::move(message), std::min(offset, text_.size())};
    }
    [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }
    [[nodiscard]] char next() const { return text_[at_]; }
    [[nodiscard]] bool in_object() const { return open_.in_object(); }
    // To the end of the line.
    [[nodiscard]] std::string_view rest_of_line() const {
        return rest().substr(0, rest().find_first_of("\r\n"));
    }

    // ---- The whole ----

    void look_at_end() {
        if (open_.empty()) {
            if (wanted_ == Wanted::value) {
                found(0, text_.empty() ? "it is empty; write {...}"
                                       : "it contains only white space and comments; write {...}");
            }
            return;
        }
        if (const auto& suspect = open_.suspect()) {
            return found(suspect->at, std::string("this \"") + suspect->bracket +
                                          "\" is not closed; add \"" + suspect->closing() +
                                          "\" where it ends");
        }
        const std::string missing = open_.all_closing();
        const std::string what =
            "the file ends before " + open_.shown(open_.inner()) + " is closed; ";
        if (after_comma_)
            return found(comma_, what + "write \"" + missing + "\" instead of this comma");
        if (wanted_ == Wanted::colon || wanted_ == Wanted::value) {
            return found(last_end_, what + "is the file complete? It ends after the key " +
                                        json_string_of(last_text_));
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
              R"(a quotation mark inside a string is written \"; if this one ends the )"
              "string, something is missing after it");
    }
    void missing_colon() {
        if (last_end_ == at_ && next() != '"' && next() != '{' && next() != '[') {
            return inner_quote();
        }
        found(last_end_, "a colon is missing here; write " + json_string_of(last_text_) + ": ...");
    }
    void no_value() {
        found(last_start_, "the key " + json_string_of(last_text_) + " has no value; write " +
                               json_string_of(last_text_) +
                               ": ..., or [...] around it if it is an element of a list");
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
                                            "\" ends the whole object, but "
                                            "more text follows; remove this bracket or that text");
        }
        if (next() == '{') {
            return found(at_,
                         "a second object begins here; a file holds only one, "
                         "so move it to a file of its own");
        }
        if (!closed && next() == ':') {
            return found(last_start_,
                         "the file must be one object; write { before this and } at the end");
        }
        found(at_, "the file's value ended before this; remove it");
    }

    // ---- Tokens ----

    void read_string() {
        if (rest().starts_with(R"(""")")) {
            return found(at_,
                         "JSON has no \"\"\"; write the string in one pair of double quotes, "
                         "with \\n for each new line");
        }
        if (!may_begin()) return;
        const std::size_t start = at_;
        slip_ = skip_json_string(text_, at_);
        if (slip_) return;
        last_start_ = start;
        last_text_ = text_.substr(start + 1, at_ - start - 2);
        last_end_ = at_;
        last_was_string_ = true;
        after_comma_ = false;
        if (wanted_ == Wanted::key || wanted_ == Wanted::key_or_end) {
            wanted_ = Wanted::colon;
        } else {
            value_ended();
        }
    }
    // 'text', “text”
    void read_other_quote(std::string_view quote) {
        std::string message = std::string(quote) + " is not a quotation mark in JSON; write ";
        if (wanted_ == Wanted::comma_or_end && last_was_string_ && last_end_ == at_) {
            return inner_quote();
        }
        const auto quoted = other_quoted_text(rest_of_line(), quote);
        found(at_, message + (quoted ? json_string_of(*quoted) : std::string("\"")));
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
            return found(at_, "strings can't be joined; write one string");
        }
        if (rest().starts_with("{%") || rest().starts_with("...")) return cannot_be_here();
        if (!may_begin()) return;
        const std::size_t end =
            std::min(text_.find_first_of(" \t\r\n,:{}[]\"'=;#", at_), text_.size());
        const std::string_view word = text_.substr(at_, end - at_);
        if (wanted_ == Wanted::key || wanted_ == Wanted::key_or_end) {
            if (word.empty()) return cannot_be_here();
            return found(at_, "keys are written in double quotes; write " + json_string_of(word));
        }
        if (word.empty()) return cannot_be_here();
        if (word == "true" || word == "false" || word == "null" || is_json_number(word)) {
            last_start_ = at_;
            last_text_ = word;
            at_ = last_end_ = end;
            last_was_string_ = after_comma_ = false;
            return value_ended();
        }
        if (open_.empty()) return found(at_, "this is not JSON; write {\"KEY\": ..., ...}");
        if (end < text_.size() && text_[end] == '"' && word.size() <= 2) {
            return found(at_,
                         "a string begins with its quotation mark; remove " + std::string(word));
        }
        found(at_, advice_for_word(unquoted_text(rest_of_line(), word)));
    }

    void cannot_be_here() {
        const std::size_t length = static_cast<unsigned char>(next()) < 0x80 ? 1 : 4;
        found(at_, in_quotes(rest().substr(0, length), 1) + " can't be here; write " +
                       (wanted_ == Wanted::key || wanted_ == Wanted::key_or_end
                            ? "a key in double quotes"
                            : "a string in double quotes, a number, true, false, [...] or {...}"));
    }

    void open_bracket() {
        if ((wanted_ == Wanted::key || wanted_ == Wanted::key_or_end)) {
            if (rest().starts_with("{{") || (at_ > 0 && text_[at_ - 1] == '{')) {
                return found(at_, "this looks like a template; fill it in first");
            }
            if (next() == '{' && after_comma_ && open_.in_list()) {
                return found(comma_, open_.shown(open_.inner()) + " is not closed; add \"}\" here");
            }
            return found(at_,
                         "a key in double quotes is expected here; if this is one more element "
                         "of a list, write [...] around them");
        }
        if (!may_begin()) return;
        if (rest().starts_with("{%")) {
            return found(at_, "this looks like a template; fill it in first");
        }
        open_.open(next(), at_);
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
        if (open_.inner().closing() != c) return unclosed_before(c);
        open_.close(at_);
        last_was_string_ = false;
        last_end_ = ++at_;
        value_ended();
    }

    // A bracket meets one of the other kind.
    void unclosed_before(char c) {
        const std::string of = open_.shown(open_.inner());
        const char missing = open_.inner().closing();
        if (text_.substr(last_end_, at_ - last_end_).find('\n') != std::string_view::npos) {
            return found(last_end_, of + " is not closed; add \"" + missing + "\" here");
        }
        found(at_, of + " is not closed; write \"" + missing + "\" before this \"" + c +
                       "\", or instead of it");
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
            const JsonBracket& list = open_.inner();
            if (comma_ > list.at && open_.is_nested() &&
                open_.indentation(last_start_) <= open_.indentation(list.at)) {
                return found(comma_, open_.shown(list) + " is not closed before the key " +
                                         json_string_of(last_text_) + "; add \"]\" here");
            }
            return found(last_start_,
                         "a list has no keys; write {" + json_string_of(last_text_) + ": ...}");
        }
        if (wanted_ == Wanted::value && in_object()) {
            return found(at_, "a second colon; remove it");
        }
        if (wanted_ == Wanted::comma_or_end) {
            return found(colon_ + 1, "a \"{\" is missing here, before the key " +
                                         json_string_of(last_text_) + "; add it");
        }
        found(at_, "a key is missing before this colon; write \"KEY\":");
    }

    void value_ended() { wanted_ = open_.empty() ? Wanted::nothing : Wanted::comma_or_end; }

    std::string_view text_;
    std::size_t noticed_;
    std::size_t at_ = 0;
    Wanted wanted_ = Wanted::value;
    JsonBrackets open_;
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
