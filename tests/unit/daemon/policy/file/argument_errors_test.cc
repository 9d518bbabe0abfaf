// Every mistake in an action file's "arguments": the exact message, with line and column.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/daemon/policy/file/support.h"

namespace postern::policy {
namespace {

// The specification stands on line 2 from column 1 on.
std::string with_argument(const std::string& spec) {
    return R"({"summary": "s", "exec": ["/usr/bin/true", "{v}"], "allow": [], "arguments": {"v":)"
           "\n" +
           spec + "}}";
}
TEST(ArgumentErrors, EverySpecification) {
    const std::string p = "/f.json:2:1: arguments.v: ";
    expect_errors({
        {with_argument("5"), p + "must be an object, not an integer; write {\"type\": \"string\"}"},
        {with_argument("{}"),
         p + "\"type\" is required; add \"type\": \"string\" (or integer, boolean, list)"},
        {with_argument(R"({"type": "path"})"),
         "/f.json:2:10: arguments.v.type: \"path\" is not a type; write \"string\" with a "
         "\"pattern\""},
        {with_argument(R"({"type": "list"})"),
         p + "\"items\" is required; add \"items\": \"string\" (or integer, boolean), the "
             "type of its elements"},
        {with_argument(R"({"type": "list", "items": "list"})"),
         "/f.json:2:27: arguments.v.items: a list can't contain lists; use string, integer or "
         "boolean"},
        {with_argument(R"({"type": "string", "minimum": 1})"),
         "/f.json:2:20: arguments.v.minimum: does not apply to a string; remove it"},
        {with_argument(R"({"type": "integer", "pattern": "x"})"),
         "/f.json:2:21: arguments.v.pattern: does not apply to an integer; remove it"},
        {with_argument(R"({"type": "integer", "multiline": true})"),
         "/f.json:2:21: arguments.v.multiline: does not apply to an integer; remove it"},
        {with_argument(R"({"type": "list", "items": "string", "multiline": true})"),
         "/f.json:2:37: arguments.v.multiline: does not apply to a list of strings; remove it"},
        {with_argument(R"({"type": "boolean", "allowLeadingDash": true})"),
         "/f.json:2:21: arguments.v.allowLeadingDash: does not apply to a boolean; remove it"},
        {with_argument(R"({"type": "list", "items": "integer", "enum": ["a"]})"),
         "/f.json:2:38: arguments.v.enum: does not apply to a list of integers; remove it"},
        {with_argument(R"({"type": "string", "optional": true})"),
         "/f.json:2:20: arguments.v.optional: unknown key; write \"required\": false"},
        {with_argument(R"({"type": "string", "summary": "a\u001b"})"),
         "/f.json:2:31: arguments.v.summary: contains U+001B; remove it"},
        {with_argument(R"({"type": "string", "pattern": "[a"})"),
         "/f.json:2:31: arguments.v.pattern: \"[a\" is not a valid RE2 regular "
         "expression (missing ]: [a); correct it"},
        {with_argument(R"-({"type": "string", "pattern": "(?=a)"})-"),
         "/f.json:2:31: arguments.v.pattern: \"(?=a)\" is not a valid RE2 regular "
         "expression (invalid perl operator: (?=); correct it"},
        {with_argument(R"({"type": "string", "enum": []})"),
         "/f.json:2:28: arguments.v.enum: is empty, so no value is valid; list at least one"},
        {with_argument(R"({"type": "string", "enum": ["a", "a"]})"),
         "/f.json:2:34: arguments.v.enum[1]: \"a\" is listed twice; remove one"},
        {with_argument(R"({"type": "string", "enum": ["a", 5]})"),
         "/f.json:2:34: arguments.v.enum[1]: must be a string, not an integer; write \"5\""},
        {with_argument(R"({"type": "string", "enum": ["a", "B"], "pattern": "[a-z]"})"),
         "/f.json:2:34: arguments.v.enum[1]: \"B\" does not match [a-z]; correct the value or the "
         "rule"},
        {with_argument(R"({"type": "string", "enum": ["-x"]})"),
         "/f.json:2:29: arguments.v.enum[0]: \"-x\" begins with \"-\", which this argument does "
         "not "
         "allow; correct the value or the rule"},
        {with_argument(R"({"type": "list", "items": "string", "enum": [""]})"),
         "/f.json:2:46: arguments.v.enum[0]: must not be empty; correct the value or the rule"},
        {with_argument(R"({"type": "string", "minLength": -1})"),
         "/f.json:2:33: arguments.v.minLength: -1 is out of range; use a number from 0 to 4096"},
        {with_argument(R"({"type": "string", "maxLength": 4097})"),
         "/f.json:2:33: arguments.v.maxLength: 4097 is out of range; use a number from 0 to 4096"},
        {with_argument(R"({"type": "string", "maxLength": 4.5})"),
         "/f.json:2:33: arguments.v.maxLength: must be an integer, not a number with a fraction; "
         "write a whole number"},
        {with_argument(R"({"type": "string", "maxLength": 0})"),
         "/f.json:2:33: arguments.v.maxLength: 0 allows no value, because a value must not be "
         "empty; use at least 1, or add \"minLength\": 0"},
        {with_argument(R"({"type": "string", "minLength": 3, "maxLength": 2})"),
         "/f.json:2:49: arguments.v.maxLength: 2 is less than \"minLength\" (3); correct one of "
         "them"},
        {with_argument(R"({"type": "list", "items": "string", "maxItems": 257})"),
         "/f.json:2:49: arguments.v.maxItems: 257 is out of range; use a number from 0 to 256"},
        {with_argument(R"({"type": "list", "items": "string", "minItems": 3, "maxItems": 2})"),
         "/f.json:2:64: arguments.v.maxItems: 2 is less than \"minItems\" (3); correct one of "
         "them"},
        {with_argument(R"({"type": "list", "items": "string", "maxItems": 0})"),
         "/f.json:2:49: arguments.v.maxItems: 0 allows no value, because a list must not be "
         "empty; "
         "use at least 1, or add \"minItems\": 0"},
        {with_argument(R"({"type": "integer", "minimum": 3, "maximum": 2})"),
         "/f.json:2:46: arguments.v.maximum: 2 is less than \"minimum\" (3); correct one of them"},
        {with_argument(R"({"type": "integer", "minimum": "3"})"),
         "/f.json:2:32: arguments.v.minimum: must be an integer, not a string; write 3 without "
         "quotes"},
        {with_argument(R"({"type": "integer", "maximum": -1})"),
         "/f.json:2:32: arguments.v.maximum: -1 allows no value, because a negative number "
         "needs "
         "a \"minimum\"; add one"},
        {with_argument(R"({"type": "string", "required": "no"})"),
         "/f.json:2:32: arguments.v.required: must be a boolean, not a string; write false without "
         "quotes"},
        {with_argument(R"({"type": "string", "required": true, "default": "x"})"),
         "/f.json:2:32: arguments.v.required: an argument with a default is never required; remove "
         "\"required\" or \"default\""},
        {with_argument(R"({"type": "string", "required": false, "default": "x"})"), "accepted"},
        {with_argument(R"({"type": "string", "default": 5})"),
         "/f.json:2:31: arguments.v.default: 5 is not a string; correct the default or the rule"},
        {with_argument(R"({"type": "string", "default": ""})"),
         "/f.json:2:31: arguments.v.default: must not be empty; correct the default or the rule"},
        {with_argument(R"({"type": "string", "enum": ["a"], "default": "b"})"),
         "/f.json:2:46: arguments.v.default: \"b\" is not one of a; correct the default or the "
         "rule"},
        {with_argument(R"({"type": "integer", "minimum": 1, "default": 0})"),
         "/f.json:2:46: arguments.v.default: 0 is less than 1; correct the default or the rule"},
        {with_argument(R"({"type": "list", "items": "string", "default": ["a", 1]})"),
         "/f.json:2:48: arguments.v.default: element 2: 1 is not a string; correct the default or "
         "the rule"},
        {with_argument(R"({"type": "string", "default": {"a": 1}})"),
         "/f.json:2:31: arguments.v.default: an object is not a string; correct the default or the "
         "rule"},
    });
    EXPECT_EQ(error_of(R"({"summary": "s", "allow": [], "arguments": {"v":
{"type": "list", "items": "string", "secret": true}}, "exec": ["/usr/bin/true", "{v}"]})"),
              "/f.json:2:37: arguments.v.secret: does not apply to a list of strings; remove it");
    EXPECT_EQ(error_of(R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [], "arguments":
{"a=b": {"type": "string"}}})"),
              "/f.json:2:2: arguments.a=b: is not a valid name for an argument; use "
              "letters, digits, \"_\" and \"-\", starting with a letter, at most 64 characters");
    EXPECT_EQ(error_of(R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [],
"stdin": "{v}", "arguments": {"v": {"type": "string", "secret": true, "default": "x"}}})"),
              "/f.json:2:82: arguments.v.default: a secret can't have a default, because every "
              "caller can read defaults; remove it");
}

}  // namespace
}  // namespace postern::policy
