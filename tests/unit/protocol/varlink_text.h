// Reads the text of a Varlink interface, as far as the tests need it: to hold replies and the
// method table against what the text says.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern::test {

struct VarlinkField {
    std::string name;
    bool optional = false;  // ?
    bool array = false;     // []
    std::string type;       // bool, int, float, string, object, or the name of a type
};
using VarlinkFields = std::vector<VarlinkField>;

struct VarlinkMethod {
    VarlinkFields in;
    VarlinkFields out;
};

struct VarlinkText {
    std::string name;
    std::map<std::string, VarlinkFields> types;
    std::map<std::string, VarlinkMethod> methods;
    std::map<std::string, VarlinkFields> errors;

    // What in `object` does not fit the fields, e.g. "result.exitCode: not an int"; empty: it fits.
    [[nodiscard]] std::string misfit(const nlohmann::json& object,
                                     const VarlinkFields& fields) const;
};

// Nothing: it is not in the grammar that the strictest known client reads.
std::optional<VarlinkText> parse_varlink(std::string_view text);

}  // namespace postern::test
