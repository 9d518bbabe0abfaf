#include "daemon/policy/file/document.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/limits.h"
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

std::optional<Error> Document::first_error() const {
    const auto first = std::ranges::min_element(
        errors_, [](const auto& a, const auto& b) { return a.first < b.first; });
    if (first == errors_.end()) return std::nullopt;
    return Error{first->second, may_pass_};
}

std::optional<std::vector<std::pair<std::string, Node>>> Document::members(const Node& node) {
    if (!node.value->is_object()) {
        report(node, "must be an object, not " + kind_of(*node.value) + "; write it as {...}");
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
        report(node, "must be a list, not " + kind_of(*node.value) + "; write it as [...]");
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
        report(node,
               "must be a string, not " + kind_of(*node.value) + "; write it in double quotes");
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
        report(node, "must be an integer, not " + kind_of(*node.value) +
                         "; write a whole number without quotes");
        return std::nullopt;
    }
    return node.value->get<std::int64_t>();
}

std::optional<bool> Document::boolean(const Node& node) {
    if (!node.value->is_boolean()) {
        report(node, "must be a boolean, not " + kind_of(*node.value) + "; write true or false");
        return std::nullopt;
    }
    return node.value->get<bool>();
}

bool Document::check_keys(const Node& node, std::span<const Key> keys) {
    const auto found = members(node);
    if (!found) return false;
    for (const auto& [name, value] : *found) {
        const auto known =
            std::ranges::find_if(keys, [&, &key = name](const Key& k) { return k.name == key; });
        if (known == keys.end()) {
            report_key(value, "unknown key; remove it, or use one of " + join(keys));
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
