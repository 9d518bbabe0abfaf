#include "base/json_brackets.h"

#include <algorithm>

#include "base/strict_json.h"

namespace postern {

void JsonBrackets::close(std::size_t at) {
    if (!suspect_ && !is_indented_alike(inner().at, at)) suspect_ = inner();
    open_.pop_back();
}

std::string JsonBrackets::all_closing() const {
    std::string all;
    for (const JsonBracket& open : open_) all.insert(all.begin(), open.closing());
    return all;
}

std::string JsonBrackets::shown(const JsonBracket& open) const {
    return std::string("the \"") + open.bracket + "\" of line " +
           std::to_string(line_column(text_, open.at).line);
}

std::size_t JsonBrackets::indentation(std::size_t offset) const {
    const std::size_t start = text_.rfind('\n', offset) + 1;  // npos + 1 is 0
    return std::min(text_.find_first_not_of(" \t", start), text_.size()) - start;
}

// Whether a closing bracket that begins its line has the indentation of the line where its opening
// one is.
bool JsonBrackets::is_indented_alike(std::size_t opened, std::size_t closed) const {
    const std::size_t start = text_.rfind('\n', closed) + 1;
    if (indentation(closed) != closed - start || opened >= start) return true;
    return indentation(opened) == closed - start;
}

}  // namespace postern
