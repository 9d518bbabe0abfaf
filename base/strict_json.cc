#include "base/strict_json.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <iterator>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace postern {
namespace {

using nlohmann::json;

// Feeds the parser and counts what it has taken: nlohmann (3.11) gives no positions for values.
class CountingIterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountingIterator(const char* at, std::size_t* consumed) : at_(at), consumed_(consumed) {}
    reference operator*() const { return *at_; }
    CountingIterator& operator++() {
        ++at_;
        ++*consumed_;
        return *this;
    }
    CountingIterator operator++(int) {
        CountingIterator before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const CountingIterator& a, const CountingIterator& b) {
        return a.at_ == b.at_;
    }

  private:
    const char* at_;
    std::size_t* consumed_;
};

bool is_number_character(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

// "[json.exception...] parse error at line 1, column 2: syntax error while parsing value - WHAT;
// last read: '...'; expected X" -> "WHAT". Our own messages say where by themselves, and a message
// must not repeat what was read; what stands behind it can't be told from it, since the text that
// was read may hold "; expected " as well.
std::string short_reason(std::string_view what) {
    const std::size_t dash = what.find(" - ");
    if (dash == std::string_view::npos) return "a syntax error";
    what.remove_prefix(dash + 3);
    return std::string(what.substr(0, what.find("; last read: ")));
}

// Builds the value and stops at the first thing that is not allowed. The functions are called by
// nlohmann::json::sax_parse, which prescribes their names and parameters; false ends the parsing.
class Builder {
  public:
    using string_t = json::string_t;
    using binary_t = json::binary_t;

    Builder(std::string_view text, const JsonLimits& limits, bool locate)
        : text_(text), limits_(limits), locate_(locate) {}

    std::size_t* consumed() { return &consumed_; }
    // After a failed parse.
    JsonError take_error() { return std::move(error_); }
    LocatedJson take() { return std::move(result_); }

    bool null() { return add(nullptr, consumed_ - 4) != nullptr; }
    bool boolean(bool value) { return add(value, consumed_ - (value ? 4 : 5)) != nullptr; }
    bool number_integer(std::int64_t value) {
        if (value < -limits::json_integer) return integer_too_large(std::to_string(value));
        return add(value, number_start()) != nullptr;
    }
    bool number_unsigned(std::uint64_t value) {
        if (value > static_cast<std::uint64_t>(limits::json_integer)) {
            return integer_too_large(std::to_string(value));
        }
        return add(value, number_start()) != nullptr;
    }
    bool number_float(double value, const string_t& digits) {
        // An integer that fits into no 64 bits comes as a float too.
        if (digits.find_first_of(".eE") == std::string::npos) return integer_too_large(digits);
        if (!std::isfinite(value)) return number_out_of_range(digits);
        return add(value, number_start()) != nullptr;
    }
    bool string(string_t& value) {
        const std::size_t start = string_start();
        if (value.size() > limits_.string_bytes && value.size() > most_bytes_here()) {
            return stop(start, where() + "a string of " + std::to_string(value.size()) +
                                   " bytes is longer than the limit of " +
                                   std::to_string(most_bytes_here()));
        }
        return add(std::move(value), start) != nullptr;
    }
    bool binary(binary_t&) { return stop(consumed_, "not JSON: binary data"); }
    bool start_object(std::size_t) { return open(json::object()); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(string_t& name) {
        Level& level = levels_.back();
        const std::size_t start = string_start();
        if (name.size() > limits_.string_bytes) {
            return stop(start, where() + "a key of " + std::to_string(name.size()) +
                                   " bytes is longer than the limit of " +
                                   std::to_string(limits_.string_bytes));
        }
        if (level.container->contains(name)) {
            return stop(start, where() + "the key " + in_quotes(name) + " appears twice");
        }
        level.key = name;
        if (locate_) result_.key_offsets.emplace(pointer(), start);
        return true;
    }
    // `exception` is how nlohmann reports; nothing is thrown.
    bool parse_error(std::size_t position, const std::string&, const json::exception& exception) {
        // 406: a number that no double holds (1e999); such a number has just been read.
        constexpr int out_of_range = 406;
        if (exception.id == out_of_range) {
            const std::size_t start = number_start();
            std::size_t end = start;
            while (end < text_.size() && is_number_character(text_[end])) ++end;
            return number_out_of_range(text_.substr(start, end - start));
        }
        const std::size_t offset = position == 0 ? 0 : position - 1;
        if (values_ > 0 && levels_.empty()) {
            return stop(offset, "not JSON: more text follows the end of the value");
        }
        // Of this one nlohmann's own words differ between 3.11.2 and 3.11.3.
        if (text_.empty()) return stop(0, "not JSON: it is empty");
        return stop(offset, "not JSON: " + short_reason(exception.what()));
    }

  private:
    struct Level {
        json* container;
        std::string key;  // of an object: the member that is being read
    };

    bool stop(std::size_t offset, std::string message) {
        error_ = {std::move(message), std::min(offset, text_.size())};
        return false;
    }
    bool integer_too_large(std::string_view digits) {
        return stop(number_start(),
                    where() + quoted_number(digits) +
                        " is beyond 2^53; give one from -9007199254740992 to 9007199254740992");
    }
    bool number_out_of_range(std::string_view digits) {
        return stop(number_start(), where() + quoted_number(digits) + " is out of range");
    }
    static std::string quoted_number(std::string_view digits) {
        constexpr std::size_t shown = 40;
        if (digits.size() <= shown) return std::string(digits);
        return std::string(digits.substr(0, shown)) + "...";
    }

    // Where the token that was just read begins. Of a number the parser has read one character
    // more, unless the text ends there.
    std::size_t number_start() const {
        std::size_t start = consumed_;
        if (start > 0 && !is_number_character(text_[start - 1])) --start;
        while (start > 0 && is_number_character(text_[start - 1])) --start;
        return start;
    }
    // A quote inside a string has an odd number of backslashes before it, the opening one has none.
    std::size_t string_start() const {
        std::size_t start = consumed_ - 1;
        while (start > 0) {
            --start;
            if (text_[start] != '"') continue;
            std::size_t backslashes = 0;
            while (backslashes < start && text_[start - 1 - backslashes] == '\\') ++backslashes;
            if (backslashes % 2 == 0) break;
        }
        return start;
    }

    // The index of the element that is being read. A container inside is an element already.
    std::string index_in(const Level& level) const {
        const std::size_t size = level.container->size();
        return std::to_string(&level == &levels_.back() ? size : size - 1);
    }

    // Of the string that is being read.
    std::size_t most_bytes_here() const {
        const auto stands_here = [this](const LongString& place) {
            return std::ranges::equal(levels_, place.path, [](const Level& level, auto step) {
                return level.container->is_object() && (step == "*" || level.key == step);
            });
        };
        const auto found = std::ranges::find_if(limits_.long_strings, stands_here);
        return found == limits_.long_strings.end() ? limits_.string_bytes : found->bytes;
    }

    // The value that is being read, for messages: "parameters.list[2]: ". Empty for the whole.
    std::string where() const {
        std::string path;
        for (const Level& level : levels_) {
            if (level.container->is_array()) {
                path += '[' + index_in(level) + ']';
            } else if (!level.key.empty()) {
                if (!path.empty()) path += '.';
                path += printable(std::string_view(level.key).substr(0, max_key_in_path));
            }
        }
        return path.empty() ? path : path + ": ";
    }
    static constexpr std::size_t max_key_in_path = 64;

    std::string pointer() const {
        std::string path;
        for (const Level& level : levels_) {
            path += pointer_step(level.container->is_array() ? index_in(level) : level.key);
        }
        return path;
    }

    // Where the value now is; null: a limit is reached.
    json* add(json value, std::size_t start) {
        if (++values_ > limits_.values) {
            stop(start, where() + "more than " + std::to_string(limits_.values) + " values");
            return nullptr;
        }
        if (!levels_.empty() && levels_.back().container->size() >= limits_.members) {
            stop(start, where() + "more than " + std::to_string(limits_.members) +
                            (levels_.back().container->is_array() ? " elements" : " members"));
            return nullptr;
        }
        if (locate_) result_.offsets.emplace(pointer(), start);
        if (levels_.empty()) {
            result_.value = std::move(value);
            return &result_.value;
        }
        Level& level = levels_.back();
        if (level.container->is_array()) return &level.container->emplace_back(std::move(value));
        json& added = level.container->emplace(level.key, std::move(value)).first.value();
        if (!added.is_structured()) level.key.clear();
        return &added;
    }

    bool open(json container) {
        const std::size_t start = consumed_ - 1;
        if (levels_.size() >= limits_.depth) {
            return stop(start, where() + "nested deeper than " + std::to_string(limits_.depth));
        }
        json* const added = add(std::move(container), start);
        if (added == nullptr) return false;
        levels_.push_back({added, {}});
        return true;
    }
    bool close() {
        levels_.pop_back();
        if (!levels_.empty()) levels_.back().key.clear();
        return true;
    }

    std::string_view text_;
    const JsonLimits& limits_;
    bool locate_;
    std::size_t consumed_ = 0;
    std::size_t values_ = 0;
    // Pointers stay valid: a container gets no new element while one inside it is open.
    std::vector<Level> levels_;
    LocatedJson result_;
    JsonError error_;
};

std::size_t first_invalid_utf8(std::string_view text) {
    // Bisecting would meet cut characters; a prefix that ends in a whole line never does.
    std::size_t start = 0;
    while (start < text.size()) {
        std::size_t end = text.find('\n', start);
        end = end == std::string_view::npos ? text.size() : end + 1;
        if (!valid_utf8(text.substr(start, end - start))) break;
        start = end;
    }
    for (std::size_t length = 1; start + length <= text.size(); ++length) {
        const std::string_view part = text.substr(start, length);
        if (!valid_utf8(part.substr(0, length - incomplete_utf8_tail(part)))) {
            return start + length - 1;
        }
    }
    return text.size();
}

// What the parser would let pass: it takes NUL for the end and skips a byte order mark, and it does
// not look into comments.
std::optional<JsonError> refuse_outright(std::string_view text, const JsonLimits& limits) {
    if (text.size() > limits.bytes) {
        return JsonError{"longer than " + std::to_string(limits.bytes) + " bytes", limits.bytes};
    }
    if (text.starts_with("\xEF\xBB\xBF")) {
        return JsonError{"not JSON: a byte order mark (U+FEFF) at the beginning", 0};
    }
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        return JsonError{"not JSON: a NUL byte", nul};
    }
    if (!valid_utf8(text)) return JsonError{"not JSON: invalid UTF-8", first_invalid_utf8(text)};
    return std::nullopt;
}

Result<LocatedJson, JsonError> parse(std::string_view text, const JsonLimits& limits, bool locate) {
    if (std::optional<JsonError> refused = refuse_outright(text, limits)) {
        return Unexpected(*std::move(refused));
    }
    Builder builder(text, limits, locate);
    try {
        const char* const first = text.data();
        const CountingIterator begin(first, builder.consumed());
        const CountingIterator end(first + text.size(), builder.consumed());
        if (json::sax_parse(begin, end, &builder, json::input_format_t::json, true,
                            limits.comments)) {
            return builder.take();
        }
    } catch (const std::exception& exception) {
        // Nothing above throws but the allocator.
        return Unexpected(JsonError{std::string("can't be read: ") + exception.what(), 0});
    }
    return Unexpected(builder.take_error());
}

}  // namespace

Result<nlohmann::json, JsonError> parse_strict_json(std::string_view text,
                                                    const JsonLimits& limits) {
    POSTERN_TRY(auto parsed, parse(text, limits, false));
    return std::move(parsed.value);
}

Result<LocatedJson, JsonError> parse_located_json(std::string_view text, const JsonLimits& limits) {
    return parse(text, limits, true);
}

std::string pointer_step(std::string_view key) {
    std::string step = "/";
    for (const char c : key) {
        if (c == '~') {
            step += "~0";
        } else if (c == '/') {
            step += "~1";
        } else {
            step += c;
        }
    }
    return step;
}

LineColumn line_column(std::string_view text, std::size_t offset) {
    LineColumn at;
    for (const char c : text.substr(0, std::min(offset, text.size()))) {
        if (c == '\n') {
            ++at.line;
            at.column = 1;
        } else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80) {
            ++at.column;  // not a continuation byte
        }
    }
    return at;
}

}  // namespace postern
