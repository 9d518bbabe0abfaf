#include "daemon/policy/file/document.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/json_slips.h"
#include "base/limits.h"
#include "base/nearest_word.h"
#include "base/strict_json.h"
#include "base/utf8.h"

namespace postern::policy {
namespace {

using nlohmann::json;

JsonLimits file_limits() {
    JsonLimits limits;
    limits.bytes = limits::action_file_bytes;
    // A script of the administrator's may stand in the file: only the file's size bounds it.
    limits.string_bytes = limits::action_file_bytes;
    limits.comments = true;
    return limits;
}

std::string join(std::span<const Key> keys) {
    std::string text;
    for (const Key& key : keys) {
        if (!key.refusal.empty()) continue;
        if (!text.empty()) text += ", ";
        text += key.name;
    }
    return text;
}

// As keys are compared that were written in the manner of another tool: TimeoutSec, timeout_sec.
std::string plain(std::string_view key) {
    std::string text;
    for (const char c : key) {
        if (c == '_' || c == '-' || c == ' ') continue;
        text += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return text;
}

std::string advice_for_key(std::string_view name, std::span<const Key> keys,
                           std::span<const OtherWord> others) {
    const std::string typed = plain(name);
    const auto other = std::ranges::find(others, typed, &OtherWord::word);
    if (other != others.end()) return std::string(other->advice);
    std::vector<std::string> plain_keys;
    std::vector<std::string_view> words;
    std::vector<std::string_view> names;
    for (const Key& key : keys) {
        if (!key.refusal.empty()) continue;
        plain_keys.push_back(plain(key.name));
        names.push_back(key.name);
    }
    words.assign(plain_keys.begin(), plain_keys.end());
    const std::string_view nearest = nearest_word(typed, words);
    const auto meant = std::ranges::find(words, nearest);
    if (!nearest.empty() && meant != words.end()) {
        return "did you mean " +
               in_quotes(names.at(static_cast<std::size_t>(meant - words.begin()))) + '?';
    }
    std::vector<std::string_view> other_words;
    for (const OtherWord& word : others) other_words.push_back(word.word);
    const std::string_view near = nearest_word(typed, other_words);
    const auto misspelt = std::ranges::find(others, near, &OtherWord::word);
    if (!near.empty() && misspelt != others.end()) return std::string(misspelt->advice);
    return "remove it, or use one of " + join(keys);
}

// A number, true or a short text, as it is written in a file; empty: it is long.
std::string short_value(const json& value) {
    constexpr std::size_t most = 80;
    const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
    return text.size() <= most ? text : "";
}

Node child(const Node& parent, const std::string& key, const json& value) {
    return {&value, parent.pointer + pointer_step(key),
            parent.path.empty() ? printable(key) : parent.path + '.' + printable(key)};
}

}  // namespace

struct Document::Content {
    std::string text;
    LocatedJson json;
};

Document::Document(std::string file)
    : file_(std::move(file)), content_(std::make_unique<Content>()) {}
Document::Document(Document&& other) noexcept = default;
Document& Document::operator=(Document&& other) noexcept = default;
Document::~Document() = default;

Result<Document> Document::parse(std::string_view file, std::string_view text) {
    Document document{std::string(file)};
    document.content_->text = text;
    Result<LocatedJson, JsonError> parsed = parse_located_json(text, file_limits());
    if (!parsed) {
        if (const auto slip = find_json_slip(text, parsed.error().offset)) {
            return fail(document.place(slip->offset) + ": " + slip->message);
        }
        return fail(document.place(parsed.error().offset) + ": " + parsed.error().message +
                    "; correct the file here");
    }
    document.content_->json = std::move(parsed).value();
    return document;
}

Node Document::root() const {
    return {&content_->json.value, "", ""};
}

std::size_t Document::line(const Node& node) const {
    return line_column(content_->text, content_->json.offsets.at(node.pointer)).line;
}

void Document::report(const Node& node, const std::string& what) {
    add(errors_, content_->json.offsets.at(node.pointer), node.path, what);
}

void Document::report_key(const Node& node, const std::string& what) {
    add(errors_, content_->json.key_offsets.at(node.pointer), node.path, what);
}

void Document::report_unknown(const Node& node, const std::string& what) {
    report(node, what);
    may_pass_ = true;
}

void Document::report_required(const Node& node, std::string_view key, std::string_view example) {
    add(required_, content_->json.offsets.at(node.pointer), node.path,
        in_quotes(key) + " is required; add " + std::string(example));
}

void Document::warn(const Node& node, const std::string& what) {
    add(warnings_, content_->json.offsets.at(node.pointer), node.path, what);
}

std::vector<std::string> Document::warnings() const {
    Remarks sorted = warnings_;
    std::ranges::sort(sorted);
    const auto twice = std::ranges::unique(sorted);
    sorted.erase(twice.begin(), twice.end());
    std::vector<std::string> texts;
    for (auto& [offset, text] : sorted) texts.push_back(std::move(text));
    return texts;
}

void Document::add(Remarks& remarks, std::size_t offset, const std::string& path,
                   const std::string& what) const {
    // Here and nowhere else, so that no report can forget it: text of the file stands in `what`.
    remarks.emplace_back(
        offset, place(offset) + ": " + printable((path.empty() ? "" : path + ": ") + what));
}

std::string Document::place(std::size_t offset) const {
    const LineColumn at = line_column(content_->text, offset);
    return file_ + ':' + std::to_string(at.line) + ':' + std::to_string(at.column);
}

std::optional<Error> Document::first_of(const Remarks& remarks) {
    const auto first = std::ranges::min_element(
        remarks, [](const auto& a, const auto& b) { return a.first < b.first; });
    if (first == remarks.end()) return std::nullopt;
    return Error{first->second};
}

std::optional<Error> Document::first_error() const {
    auto error = first_of(errors_);
    if (!error) return first_of(required_);
    error->may_pass = may_pass_;
    return error;
}

std::optional<std::vector<std::pair<std::string, Node>>> Document::members(const Node& node) {
    if (!node.value->is_object()) {
        report(node, "must be an object, not " + kind_of(*node.value) + "; write {...}");
        return std::nullopt;
    }
    std::vector<std::pair<std::string, Node>> found;
    for (const auto& [key, value] : node.value->items()) {
        found.emplace_back(key, child(node, key, value));
    }
    const auto& offsets = content_->json.key_offsets;
    std::ranges::sort(found, [&](const auto& a, const auto& b) {
        return offsets.at(a.second.pointer) < offsets.at(b.second.pointer);
    });
    return found;
}

std::optional<std::vector<Node>> Document::elements(const Node& node) {
    if (!node.value->is_array()) {
        const std::string value = node.value->empty() ? "" : short_value(*node.value);
        report(node, "must be a list, not " + kind_of(*node.value) + "; write [" +
                         (value.empty() ? "..." : value) + ']');
        return std::nullopt;
    }
    std::vector<Node> found;
    for (const json& value : *node.value) {
        const std::string index = std::to_string(found.size());
        found.push_back({&value, node.pointer + '/' + index, node.path + '[' + index + ']'});
    }
    return found;
}

std::optional<std::string> Document::text(const Node& node) {
    if (!node.value->is_string()) {
        const json& value = *node.value;
        const bool scalar = value.is_number() || value.is_boolean();
        const bool alone = value.is_array() && value.size() == 1 && value[0].is_string();
        report(node, "must be a string, not " + kind_of(*node.value) + "; write " +
                         (scalar  ? '"' + short_value(*node.value) + '"'
                          : alone ? as_json(value[0].get<std::string>())
                                  : std::string("a string in double quotes")));
        return std::nullopt;
    }
    const auto& text = node.value->get_ref<const std::string&>();
    if (text.find('\0') != std::string::npos) {
        report(node, "contains a NUL character (U+0000); remove it");
        return std::nullopt;
    }
    return text;
}

std::optional<std::int64_t> Document::integer(const Node& node) {
    if (!node.value->is_number_integer()) {
        // A number in quotes, or with a fraction of nothing.
        std::string number =
            node.value->is_string() ? node.value->get<std::string>() : short_value(*node.value);
        if (node.value->is_number_float() && number.ends_with(".0"))
            number.resize(number.size() - 2);
        const json read = json::parse(number, nullptr, false);
        report(node, "must be an integer, not " + kind_of(*node.value) + "; write " +
                         (read.is_number_integer() ? short_value(read) : "a whole number") +
                         (node.value->is_string() ? " without quotes" : ""));
        return std::nullopt;
    }
    return node.value->get<std::int64_t>();
}

std::optional<bool> Document::boolean(const Node& node) {
    if (!node.value->is_boolean()) {
        const std::string word = plain(node.value->is_string() ? node.value->get<std::string>()
                                                               : short_value(*node.value));
        const bool yes = word == "true" || word == "yes" || word == "on" || word == "1";
        const bool no = word == "false" || word == "no" || word == "off" || word == "0";
        report(node, "must be a boolean, not " + kind_of(*node.value) + "; write " +
                         (yes  ? "true"
                          : no ? "false"
                               : "true or false") +
                         (node.value->is_string() ? " without quotes" : ""));
        return std::nullopt;
    }
    return node.value->get<bool>();
}

bool Document::check_keys(const Node& node, std::span<const Key> keys,
                          std::span<const OtherWord> others) {
    const auto found = members(node);
    if (!found) return false;
    for (const auto& [name, value] : *found) {
        const auto known =
            std::ranges::find_if(keys, [&, &key = name](const Key& k) { return k.name == key; });
        if (known == keys.end()) {
            report_key(value, "unknown key; " + advice_for_key(name, keys, others));
        } else if (!known->refusal.empty()) {
            report_key(value, std::string(known->refusal));
        }
    }
    return true;
}

std::optional<Node> Document::member(const Node& node, std::string_view key) const {
    const auto found = node.value->find(key);
    if (found == node.value->end()) return std::nullopt;
    return child(node, std::string(key), *found);
}

std::optional<Node> Document::required_member(const Node& node, std::string_view key,
                                              std::string_view example) {
    auto found = member(node, key);
    if (!found) report_required(node, key, example);
    return found;
}

std::string as_json(std::string_view text) {
    constexpr std::size_t most = 200;
    if (text.size() > most) return in_quotes(text, most);
    return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string kind_of(const json& value) {
    switch (value.type()) {
        case json::value_t::null:
            return "null";
        case json::value_t::object:
            return "an object";
        case json::value_t::array:
            return "a list";
        case json::value_t::string:
            return "a string";
        case json::value_t::boolean:
            return "a boolean";
        case json::value_t::number_integer:
        case json::value_t::number_unsigned:
            return "an integer";
        case json::value_t::number_float:
            return "a number with a fraction";
        case json::value_t::binary:
        case json::value_t::discarded:
            break;
    }
    return "no value";
}

}  // namespace postern::policy
