#include "tests/unit/protocol/varlink_text.h"

#include <algorithm>
#include <cctype>

namespace postern::test {
namespace {

using nlohmann::json;

std::vector<std::string> tokens_of(std::string_view text) {
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < text.size();) {
        const char c = text[i];
        if (c == '#') {
            i = std::min(text.find('\n', i), text.size());
        } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
            ++i;
        } else if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
            std::size_t end = i;
            while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) != 0 ||
                                         text[end] == '.' || text[end] == '_')) {
                ++end;
            }
            tokens.emplace_back(text.substr(i, end - i));
            i = end;
        } else if (text.substr(i, 2) == "->" || text.substr(i, 2) == "[]") {
            tokens.emplace_back(text.substr(i, 2));
            i += 2;
        } else {
            tokens.emplace_back(1, c);
            ++i;
        }
    }
    return tokens;
}

class Parser {
  public:
    explicit Parser(std::string_view text) : tokens_(tokens_of(text)) {}

    std::optional<VarlinkText> parse() {
        VarlinkText parsed;
        expect("interface");
        parsed.name = word();
        while (good_ && at_ < tokens_.size()) {
            const std::string what = word();
            const std::string name = word();
            if (what == "method") {
                auto& method = parsed.methods[name];
                method.in = fields();
                expect("->");
                method.out = fields();
            } else if (what == "error") {
                parsed.errors[name] = fields();
            } else if (what == "type") {
                parsed.types[name] = fields();
                if (parsed.types[name].empty()) good_ = false;
            } else {
                good_ = false;
            }
        }
        if (!good_) return std::nullopt;
        return parsed;
    }

  private:
    std::string word() {
        if (at_ >= tokens_.size()) {
            good_ = false;
            return {};
        }
        return tokens_[at_++];
    }
    bool take(std::string_view token) {
        if (at_ >= tokens_.size() || tokens_[at_] != token) return false;
        ++at_;
        return true;
    }
    void expect(std::string_view token) { good_ = take(token) && good_; }
    VarlinkFields fields() {
        VarlinkFields result;
        expect("(");
        if (take(")")) return result;
        do {
            VarlinkField field;
            field.name = word();
            expect(":");
            field.optional = take("?");
            field.array = take("[]");
            field.type = word();
            result.push_back(field);
        } while (good_ && take(","));
        expect(")");
        return result;
    }

    std::vector<std::string> tokens_;
    std::size_t at_ = 0;
    bool good_ = true;
};

std::string misfit_of(const VarlinkText& text, const json& value, const std::string& type,
                      const std::string& path) {
    if (type == "string") return value.is_string() ? "" : path + ": not a string";
    if (type == "int") return value.is_number_integer() ? "" : path + ": not an int";
    if (type == "bool") return value.is_boolean() ? "" : path + ": not a bool";
    if (type == "object") return "";
    const auto it = text.types.find(type);
    if (it == text.types.end()) return path + ": type " + type + " is not there";
    if (!value.is_object()) return path + ": not a " + type;
    const std::string inner = text.misfit(value, it->second);
    return inner.empty() ? "" : path + "." + inner;
}

}  // namespace

std::string VarlinkText::misfit(const json& object, const VarlinkFields& fields) const {
    for (const auto& [key, value] : object.items()) {
        if (std::ranges::find(fields, key, &VarlinkField::name) == fields.end()) {
            return key + ": not in the text";
        }
    }
    for (const auto& field : fields) {
        const auto it = object.find(field.name);
        if (it == object.end()) {
            if (!field.optional) return field.name + ": missing";
            continue;
        }
        if (field.array && !it->is_array()) return field.name + ": not an array";
        if (!field.array) {
            if (auto wrong = misfit_of(*this, *it, field.type, field.name); !wrong.empty()) {
                return wrong;
            }
            continue;
        }
        for (const auto& item : *it) {
            if (auto wrong = misfit_of(*this, item, field.type, field.name + "[]");
                !wrong.empty()) {
                return wrong;
            }
        }
    }
    return {};
}

std::optional<VarlinkText> parse_varlink(std::string_view text) {
    return Parser(text).parse();
}

}  // namespace postern::test
