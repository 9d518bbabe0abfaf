// One action file's text as JSON whose every part knows its place, and what was found wrong with
// it.
//
// Readers report and go on; whoever reads the whole asks for the first error at the end. So the
// code that reads stays a list of what may stand in the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace postern::policy {

// A value in the file. It belongs to its Document.
struct Node {
    const nlohmann::json* value = nullptr;
    std::string pointer;  // RFC 6901
    std::string path;     // the same for people: arguments.service.enum[0]
};

// A key that may stand in an object, and why it is refused if it may not.
struct Key {
    std::string_view name;
    std::string_view refusal;  // empty: it may stand
};

// A key that other tools have, and what to write here instead; the end of a sentence.
struct OtherWord {
    std::string_view word;  // small letters, without "_" and "-"
    std::string_view advice;
};

class Document {
  public:
    // The error is FILE:LINE:COLUMN: what; what to do.
    static Result<Document> parse(std::string_view file, std::string_view text);
    Document(const Document&) = delete;
    Document& operator=(const Document&) = delete;
    Document(Document&& other) noexcept;
    Document& operator=(Document&& other) noexcept;
    ~Document();

    [[nodiscard]] Node root() const;
    [[nodiscard]] const std::string& file() const { return file_; }
    [[nodiscard]] std::size_t line(const Node& node) const;

    // `what` says what is wrong and what to do; the place is the value's, or its key's.
    void report(const Node& node, const std::string& what);
    void report_key(const Node& node, const std::string& what);
    // A user or group that is not there, or can't be looked up now, or a program that is not there
    // or not safe: later it may be otherwise, though the file is the same.
    void report_unknown(const Node& node, const std::string& what);
    // `node`, an object, lacks a key that is required; `example` is what to add. It counts only
    // where nothing else is wrong: the key may be there, misspelt.
    void report_required(const Node& node, std::string_view key, std::string_view example);
    // What does not make the file bad, and the administrator should know.
    void warn(const Node& node, const std::string& what);
    // In the order of the file, each once, however often its value was read.
    [[nodiscard]] std::vector<std::string> warnings() const;
    // The error that is first in the file; what is missing comes last.
    [[nodiscard]] std::optional<Error> first_error() const;

    // ---- Reading. What is not of the wanted kind is reported and absent. ----

    // Members in the order of the file.
    std::optional<std::vector<std::pair<std::string, Node>>> members(const Node& node);
    std::optional<std::vector<Node>> elements(const Node& node);
    // Without NUL, which no program can be given.
    std::optional<std::string> text(const Node& node);
    std::optional<std::int64_t> integer(const Node& node);
    std::optional<bool> boolean(const Node& node);

    // Reports that `node` is no object, and every key of it that is not among `keys`, with the key
    // that was probably meant. (Tables of keys are constants without a destructor: files may still
    // be read by the guard's loading thread when the process exits.)
    bool check_keys(const Node& node, std::span<const Key> keys,
                    std::span<const OtherWord> others = {});
    // Not reported where it is absent. Precondition: an object.
    [[nodiscard]] std::optional<Node> member(const Node& node, std::string_view key) const;
    // The same, and reported as by report_required().
    std::optional<Node> required_member(const Node& node, std::string_view key,
                                        std::string_view example);

  private:
    struct Content;
    explicit Document(std::string file);
    [[nodiscard]] std::string place(std::size_t offset) const;  // FILE:LINE:COLUMN
    // By offset.
    using Remarks = std::vector<std::pair<std::size_t, std::string>>;
    static std::optional<Error> first_of(const Remarks& remarks);
    void add(Remarks& remarks, std::size_t offset, const std::string& path,
             const std::string& what) const;

    std::string file_;
    std::unique_ptr<Content> content_;
    Remarks errors_;    // the first one counts
    Remarks required_;  // what is missing: the first one, where there is no other error
    Remarks warnings_;
    bool may_pass_ = false;
};

// What a JSON value is, with its article: "a string", "an integer".
std::string kind_of(const nlohmann::json& value);

// The text as a value of JSON, for advice: "a" with its quotation marks. Long ones are cut.
std::string as_json(std::string_view text);

}  // namespace postern::policy
