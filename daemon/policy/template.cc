#include "daemon/policy/template.h"

#include <cstddef>
#include <utility>

#include "base/utf8.h"

namespace postern::policy {
namespace {

bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

}  // namespace

bool is_argument_name(std::string_view name) {
    constexpr std::size_t most = 64;
    if (name.empty() || name.size() > most || !is_letter(name.front())) return false;
    for (const char c : name) {
        if (!is_letter(c) && !(c >= '0' && c <= '9') && c != '-') return false;
    }
    return true;
}

Result<Template> parse_template(std::string_view text) {
    Template pieces;
    std::string literal;
    const auto end_literal = [&] {
        if (!literal.empty()) pieces.push_back({false, std::exchange(literal, {})});
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c != '{' && c != '}') {
            literal += c;
            continue;
        }
        if (i + 1 < text.size() && text[i + 1] == c) {
            literal += c;
            ++i;
            continue;
        }
        if (c == '}') {
            return fail("a } without a {; write }} for a literal brace");
        }
        const std::size_t end = text.find('}', i);
        if (end == std::string_view::npos) {
            return fail("a { without a }; write {{ for a literal brace");
        }
        const std::string_view name = text.substr(i + 1, end - i - 1);
        if (!is_argument_name(name)) {
            return fail(in_quotes(text.substr(i, end - i + 1)) +
                        " is not a placeholder; write {NAME} with an argument's name, or {{ "
                        "for a literal brace");
        }
        end_literal();
        pieces.push_back({true, std::string(name)});
        i = end;
    }
    end_literal();
    return pieces;
}

}  // namespace postern::policy
