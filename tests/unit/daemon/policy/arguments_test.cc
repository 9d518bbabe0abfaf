#include "daemon/policy/arguments.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/daemon/policy/file/support.h"

namespace postern::policy {
namespace {

// An action whose "exec" has these further elements and these arguments.
Action action_with(const std::string& elements, const std::string& arguments,
                   const std::string& more = {}) {
    const std::string text = R"({"summary": "s", "allow": [], "exec": ["/usr/bin/true")" +
                             (elements.empty() ? "" : ", " + elements) + R"(], "arguments": {)" +
                             arguments + "}" + (more.empty() ? "" : ", " + more) + "}";
    auto action = parse_action("a", "/a.json", text, own_options());
    if (!action) {
        ADD_FAILURE() << action.error().message;
        return {};
    }
    return std::move(action).value();
}

std::vector<std::string> argv_of(const Action& action, const Arguments& arguments) {
    const auto command = bind_arguments(action, arguments);
    if (!command) return {command.error().message};
    return {command->argv.begin() + 1, command->argv.end()};
}

std::string error_of(const Action& action, const Arguments& arguments) {
    const auto command = bind_arguments(action, arguments);
    if (command) return "accepted";
    EXPECT_EQ(command.error().message.find(command.error().argument + ": "), 0U);
    return command.error().message;
}

using Texts = std::vector<std::string>;

TEST(Arguments, FillTheirElements) {
    const Action action = action_with(
        R"("{word}", "--size={size}", "{on}", "{{literal}}", "a {word}:{size} b", "")",
        R"("word": {"type": "string"}, "size": {"type": "integer"}, "on": {"type": "boolean"})");
    const auto command = bind_arguments(
        action, {{"on", true}, {"size", std::int64_t{12}}, {"word", std::string("w x")}});
    ASSERT_TRUE(command);
    EXPECT_EQ(command->argv,
              (Texts{"/usr/bin/true", "w x", "--size=12", "true", "{literal}", "a w x:12 b", ""}));
    EXPECT_FALSE(command->stdin_text);
    const std::vector<std::pair<std::string, std::string>> shown = {
        {"word", "w x"}, {"size", "12"}, {"on", "true"}};
    EXPECT_EQ(command->shown, shown);
}

// Every value is one literal piece of one element: nothing in it is expanded, split or replaced
// again.
TEST(Arguments, ValuesAreLiteral) {
    const Action action =
        action_with(R"("{v}", "x{v}y")",
                    R"("v": {"type": "string"}, "other": {"type": "string", "default": "o"})",
                    R"("stdin": "{other}")");
    for (const std::string value :
         {"${PATH}", "$PATH",  "%H",  "%n", "%%", "$(id)",   "`id`",
          "a;b",     "a b  c", "a\\", "\\", "'",  "\"",      "{other}",
          "{v}",     "{{",     "}",   "*",  "~",  "a|b&c>d", "\u00e9\U0001F600"}) {
        EXPECT_EQ(argv_of(action, {{"v", value}}), (Texts{value, "x" + value + "y"}));
    }
}

TEST(Arguments, ListsFillAsManyElementsAsTheyHave) {
    const Action action =
        action_with(R"("--", "{files}", "{ports}", "end")",
                    R"("files": {"type": "list", "items": "string", "minItems": 0, "maxItems": 3},
           "ports": {"type": "list", "items": "integer", "required": false, "maximum": 9})");
    const auto files = [](std::vector<Scalar> list) {
        return NamedValue{"files", std::move(list)};
    };
    EXPECT_EQ(argv_of(action, {files({std::string("a b"), std::string("c")})}),
              (Texts{"--", "a b", "c", "end"}));
    EXPECT_EQ(argv_of(action, {files({})}), (Texts{"--", "end"}));
    EXPECT_EQ(argv_of(action, {files({}),
                               {"ports", std::vector<Scalar>{std::int64_t{1}, std::int64_t{9}}}}),
              (Texts{"--", "1", "9", "end"}));
    const auto command =
        bind_arguments(action, {files({std::string("a\"b"), std::string("c, d\\")})});
    ASSERT_TRUE(command);
    EXPECT_EQ(command->shown.at(0).second, R"(["a\"b", "c, d\\"])");
    EXPECT_EQ(command->lists, std::vector<std::string>{command->shown.at(0).first});

    const std::string x = "x";
    EXPECT_EQ(error_of(action, {files({x, x, x, x})}),
              "files: has 4 elements, at most 3 are allowed");
    EXPECT_EQ(error_of(action, {files({x, std::string("-x")})}),
              "files: element 2: \"-x\" begins with \"-\", which this argument does not allow");
    EXPECT_EQ(error_of(action, {files({x, true})}),
              "files: element 2: true is not a string; write it in double quotes");
    EXPECT_EQ(error_of(action, {files({Unsupported{}})}),
              "files: element 1: the value is not a string; give one");
    EXPECT_EQ(
        error_of(action, {{"files", x}}),
        "files: \"x\" is not a list; give a list of at most 3 elements, each element a string");
    EXPECT_EQ(error_of(action, {files({}), {"ports", std::vector<Scalar>{}}}),
              "ports: must not be empty; give a list, each element an integer from 0 to 9");
    EXPECT_EQ(error_of(action, {files({}), {"ports", std::vector<Scalar>{std::int64_t{10}}}}),
              "ports: element 1: 10 is more than 9; give one from 0 to 9");
}

// Whatever stands in the file: a message is one line for each argument.
TEST(Arguments, RulesAreShownPrintable) {
    const Action action =
        action_with(R"("{p}")",
                    R"("v": {"type": "string", "multiline": true, "enum": ["a\nb", "c"]},
           "p": {"type": "string", "pattern": "[\n\u202e]", "maxLength": 1})",
                    R"("stdin": "{v}")");
    EXPECT_EQ(error_of(action, {{"v", std::string("x")}, {"p", std::string("y")}}),
              "v: \"x\" is not one of a\\u000ab, c\n"
              "p: \"y\" does not match [\\u000a\\u202e]");
    EXPECT_EQ(error_of(action, {{"v", std::string("c")}, {"p", std::string("yy")}}),
              "p: \"yy\" is 2 bytes long, at most 1 is allowed");
}

TEST(Arguments, DefaultsAndWhatIsLeftOut) {
    const Action action = action_with(
        R"("{a}", "--b={b}", "{a}-{b}", "{c}")",
        R"("a": {"type": "string", "default": "x"}, "b": {"type": "integer", "required": false},
           "c": {"type": "list", "items": "string", "default": ["p", "q"]})");
    const auto command = bind_arguments(action, {});
    ASSERT_TRUE(command);
    EXPECT_EQ(command->argv, (Texts{"/usr/bin/true", "x", "p", "q"}));
    const std::vector<std::pair<std::string, std::string>> shown = {{"a", "x"},
                                                                    {"c", R"(["p", "q"])"}};
    EXPECT_EQ(command->shown, shown);
    EXPECT_EQ(argv_of(action, {{"b", std::int64_t{2}}, {"a", std::string("y")}}),
              (Texts{"y", "--b=2", "y-2", "p", "q"}));
}

TEST(Arguments, UnknownMissingAndDoubled) {
    const Action action =
        action_with(R"("{service}", "{n}")",
                    R"("service": {"type": "string", "enum": ["nginx", "php-fpm"]},
           "n": {"type": "integer", "minimum": 1, "maximum": 10})");
    const NamedValue service{"service", std::string("nginx")};
    EXPECT_EQ(error_of(action, {}),
              "service: is required; give one of nginx, php-fpm\n"
              "n: is required; give an integer from 1 to 10");
    EXPECT_EQ(error_of(action, {service}), "n: is required; give an integer from 1 to 10");
    const std::vector<std::pair<std::string, std::string>> expected = {
        {R"("type": "integer", "minimum": 3)", "an integer of at least 3"},
        {R"("type": "integer", "maximum": 3)", "an integer from 0 to 3"},
        {R"("type": "integer")", "an integer of at least 0"},
        {R"("type": "integer", "allowLeadingDash": true)", "an integer"},
        {R"("type": "integer", "allowLeadingDash": true, "maximum": 3)", "an integer up to 3"},
        {R"("type": "string", "minLength": 2)", "a string of at least 2 bytes"},
        {R"("type": "string", "minLength": 2, "maxLength": 2)", "a string of 2 bytes"},
        {R"("type": "string", "minLength": 1, "maxLength": 9, "pattern": "a+")",
         "a string of at most 9 bytes that matches a+"},
        {R"("type": "list", "items": "boolean", "minItems": 2, "maxItems": 5)",
         "a list of 2 to 5 elements, each element true or false"},
        {R"("type": "string", "pattern": "[a-z]+")", "a string that matches [a-z]+"},
        {R"("type": "boolean")", "true or false"},
        {R"("type": "list", "items": "string")", "a list, each element a string"},
    };
    for (const auto& [spec, what] : expected) {
        EXPECT_EQ(error_of(action_with(R"("{v}")", R"("v": {)" + spec + "}"), {}),
                  "v: is required; give " + what);
    }
    const NamedValue n{"n", std::int64_t{1}};
    EXPECT_EQ(error_of(action, {service, n, {"m", true}}),
              "m: there is no such argument; did you mean n?");
    EXPECT_EQ(error_of(action, {service, n, service}), "service: is given twice");
    EXPECT_EQ(error_of(action, {service, n, {"a\x1b\xff", true}}),
              "a\\u001b\\xff: there is no such argument; this action takes service, n");
    EXPECT_EQ(error_of(action_with("", ""), {service}),
              "service: there is no such argument; this action takes no arguments");
}

struct ArgumentRow {
    const char* spec;
    Value value;
    const char* error;  // after "v: ", or "accepted"
};

void expect_rows(const std::vector<ArgumentRow>& rows) {
    for (const ArgumentRow& row : rows) {
        const Action action = action_with(R"("{v}")", R"("v": )" + std::string(row.spec));
        std::string error = error_of(action, {{"v", row.value}});
        if (error.starts_with("v: ")) error.erase(0, 3);
        EXPECT_EQ(error, row.error) << row.spec;
    }
}

TEST(Arguments, Strings) {
    const std::string long_text(4097, 'x');
    expect_rows({
        {R"({"type": "string", "enum": ["nginx", "php-fpm"]})", std::string("sshd"),
         "\"sshd\" is not one of nginx, php-fpm"},
        {R"({"type": "string", "enum": ["nginx", "php-fpm"]})", std::string("Nginx"),
         "\"Nginx\" is not one of nginx, php-fpm"},
        {R"({"type": "string", "enum": ["nginx"]})", std::string("nginx"), "accepted"},
        {R"({"type": "string", "pattern": "[a-z]+"})", std::string("abc"), "accepted"},
        {R"({"type": "string", "pattern": "[a-z]+"})", std::string("abc1"),
         "\"abc1\" does not match [a-z]+"},
        {R"({"type": "string", "pattern": "a|ab"})", std::string("ab"), "accepted"},
        {R"({"type": "string", "pattern": "a|b"})", std::string("ax"), "\"ax\" does not match a|b"},
        {R"({"type": "string", "minLength": 3})", std::string("ab"),
         "\"ab\" is 2 bytes long, at least 3 are needed"},
        {R"({"type": "string", "minLength": 3})", std::string("abc"), "accepted"},
        {R"({"type": "string", "maxLength": 3})", std::string("a\u20ac"),
         "\"a\u20ac\" is 4 bytes long, at most 3 are allowed"},
        {R"({"type": "string"})", std::string(4096, 'x'), "accepted"},
        {R"({"type": "string"})", std::int64_t{5}, "5 is not a string; write it in double quotes"},
        {R"({"type": "string", "enum": ["a", "b"]})", std::int64_t{5},
         "5 is not a string; give one of a, b"},
        {R"({"type": "string", "maxLength": 3})", true,
         "true is not a string; give one of at most 3 bytes"},
        {R"({"type": "string"})", Unsupported{Unusable::object},
         "an object is not a string; give one"},
        {R"({"type": "string", "required": false})", Unsupported{Unusable::null},
         "null is not a string; give one, or leave it out"},
        {R"({"type": "string"})", std::vector<Scalar>{},
         "takes one value, not a list of 0; give one"},
        {R"({"type": "string", "enum": ["a", "b"]})",
         std::vector<Scalar>{std::string("a"), std::string("b")},
         "takes one value, not a list of 2; give one of a, b"},
    });
    const Action action = action_with(R"("{v}")", R"("v": {"type": "string"})");
    EXPECT_EQ(
        error_of(action, {{"v", long_text}}),
        "v: \"" + std::string(100, 'x') + "...\" is 4097 bytes long, at most 4096 are allowed");
}

// Empty or absent values of what is required are refused, unless the file declares otherwise.
TEST(Arguments, EmptyValues) {
    expect_rows({
        {R"({"type": "string"})", std::string(), "must not be empty; give one"},
        {R"({"type": "string", "required": false})", std::string(), "must not be empty; give one"},
        {R"({"type": "string", "minLength": 0})", std::string(), "accepted"},
        {R"({"type": "string", "enum": ["a"]})", std::string(), "must not be empty; give one of a"},
        {R"({"type": "list", "items": "string"})", std::vector<Scalar>{},
         "must not be empty; give a list, each element a string"},
        {R"({"type": "list", "items": "string", "minItems": 2})",
         std::vector<Scalar>{std::string("a")}, "has 1 element, at least 2 are needed"},
        {R"({"type": "list", "items": "string", "minItems": 0})", std::vector<Scalar>{},
         "accepted"},
        {R"({"type": "list", "items": "string"})", std::vector<Scalar>{std::string()},
         "element 1: must not be empty; give one"},
    });
}

// A value that begins with a dash could be an option of the program.
TEST(Arguments, LeadingDash) {
    expect_rows({
        {R"({"type": "string"})", std::string("-rf"),
         "\"-rf\" begins with \"-\", which this argument does not allow"},
        {R"({"type": "string"})", std::string("-"),
         "\"-\" begins with \"-\", which this argument does not allow"},
        {R"({"type": "string"})", std::string("a-b"), "accepted"},
        {R"({"type": "string", "pattern": ".*"})", std::string("--help"),
         "\"--help\" begins with \"-\", which this argument does not allow"},
        {R"({"type": "string", "allowLeadingDash": true})", std::string("-rf"), "accepted"},
        {R"({"type": "integer"})", std::int64_t{-1},
         "-1 begins with \"-\", which this argument does not allow; give one of at least 0"},
        {R"({"type": "integer", "maximum": 5})", std::int64_t{-1},
         "-1 begins with \"-\", which this argument does not allow; give one from 0 to 5"},
        {R"({"type": "integer", "minimum": -5})", std::int64_t{-5}, "accepted"},
        {R"({"type": "integer", "allowLeadingDash": true})", std::int64_t{-5}, "accepted"},
    });
}

// NUL, control characters, line separators, direction marks and invalid UTF-8 are refused whatever
// the file allows.
TEST(Arguments, ForbiddenCharacters) {
    const char* const any = R"({"type": "string", "pattern": "(?s).*", "minLength": 0})";
    expect_rows({
        {any, std::string("a\0b", 3),
         "\"a\\u0000b\" contains U+0000, which no argument may contain"},
        {any, std::string("a\nb"), "\"a\\u000ab\" contains U+000A, which no argument may contain"},
        {any, std::string("\x1b[0m"),
         "\"\\u001b[0m\" contains U+001B, which no argument may contain"},
        {any, std::string("\u0085"), "\"\\u0085\" contains U+0085, which no argument may contain"},
        {any, std::string("\u2028"), "\"\\u2028\" contains U+2028, which no argument may contain"},
        {any, std::string("a\u202eb"),
         "\"a\\u202eb\" contains U+202E, which no argument may contain"},
        {any, std::string("\u2066"), "\"\\u2066\" contains U+2066, which no argument may contain"},
        {any, std::string("a\xff"),
         "\"a\\xff\" contains invalid UTF-8, which no argument may contain"},
        {any, std::string("\xed\xa0\x80"),
         "\"\\xed\\xa0\\x80\" contains invalid UTF-8, which no argument may contain"},
    });
}

TEST(Arguments, IntegersAndBooleans) {
    expect_rows({
        {R"({"type": "integer", "minimum": 1})", std::int64_t{0},
         "0 is less than 1; give one of at least 1"},
        {R"({"type": "integer", "maximum": 9})", std::int64_t{10},
         "10 is more than 9; give one from 0 to 9"},
        {R"({"type": "integer", "minimum": 1, "maximum": 1})", std::int64_t{1}, "accepted"},
        {R"({"type": "integer"})", true, "true is not an integer; give one of at least 0"},
        {R"({"type": "integer", "allowLeadingDash": true})", true,
         "true is not an integer; give one, such as 7"},
        {R"({"type": "integer", "required": false})", Unsupported{Unusable::null},
         "null is not an integer; give one of at least 0, or leave it out"},
        {R"({"type": "integer"})", Unsupported{Unusable::null},
         "null is not an integer; give one of at least 0"},
        {R"({"type": "integer", "maximum": 9})", Unsupported{Unusable::fraction},
         "a number with a fraction or an exponent is not an integer; give one from 0 to 9, "
         "in digits only"},
        {R"({"type": "integer"})", Unsupported{Unusable::object},
         "an object is not an integer; give one of at least 0"},
        {R"({"type": "boolean"})", false, "accepted"},
        {R"({"type": "boolean"})", std::string("yes"),
         "\"yes\" is not a boolean; give true or false"},
        {R"({"type": "boolean"})", std::string("TRUE"),
         "\"TRUE\" is not a boolean; give true or false"},
        {R"({"type": "boolean"})", std::string("true"),
         "\"true\" is a string, not a boolean; write it without quotes"},
        {R"({"type": "boolean"})", std::int64_t{1}, "1 is not a boolean; give true or false"},
        {R"({"type": "boolean"})", Unsupported{Unusable::fraction},
         "a number with a fraction or an exponent is not a boolean; give true or false"},
        {R"({"type": "list", "items": "integer"})",
         std::vector<Scalar>{std::string("a"), std::int64_t{1}, Unsupported{Unusable::list}},
         "element 1: \"a\" is not an integer; give one of at least 0; element 3 is wrong too"},
    });
}

TEST(Arguments, LongEnumsAreCutInMessages) {
    std::string values;
    for (int i = 0; i < 25; ++i) values += (i > 0 ? ", \"v" : "\"v") + std::to_string(i) + '"';
    const Action action =
        action_with(R"("{v}")", R"("v": {"type": "string", "enum": [)" + values + "]}");
    const std::string error = error_of(action, {{"v", std::string("x")}});
    EXPECT_TRUE(error.ends_with("v18, v19 and 5 more")) << error;
}

// Text where an integer is wanted, as posternctl sends what it can't make one. What the message
// says to write is taken.
TEST(Arguments, IntegersWrittenInOtherWays) {
    const char* const size = R"({"type": "integer", "minimum": 1, "maximum": 500})";
    const char* const any = R"({"type": "integer", "allowLeadingDash": true})";
    expect_rows({
        {size, std::string("abc"), "\"abc\" is not an integer; give one from 1 to 500"},
        {size, std::string(), "\"\" is not an integer; give one from 1 to 500"},
        {size, std::string("5.5"), "\"5.5\" is not an integer; give one from 1 to 500"},
        {size, std::string("\u0663"), "\"\u0663\" is not an integer; give one from 1 to 500"},
        {size, std::string("1_000"), "\"1_000\" is not an integer; give one from 1 to 500"},
        {size, std::string("5 6"), "\"5 6\" is not an integer; give one from 1 to 500"},
        {size, std::string("inf"), "\"inf\" is not an integer; give one from 1 to 500"},
        {size, std::string("0x"), "\"0x\" is not an integer; give one from 1 to 500"},
        {size, std::string("--5"), "\"--5\" is not an integer; give one from 1 to 500"},
        {size, std::string("007"), "\"007\" is not an integer; write 7"},
        {size, std::string("+5"), "\"+5\" is not an integer; write 5"},
        {size, std::string(" 5"), "\" 5\" is not an integer; write 5"},
        {size, std::string("5.0"), "\"5.0\" is not an integer; write 5"},
        {size, std::string("0x10"), "\"0x10\" is not an integer; write 16"},
        {size, std::string("1e2"), "\"1e2\" is not an integer; write 100"},
        // What would be refused in its turn is not advised.
        {size, std::string("1e3"), "\"1e3\" is not an integer; give one from 1 to 500"},
        {size, std::string("-007"), "\"-007\" is not an integer; give one from 1 to 500"},
        {any, std::string("-007"), "\"-007\" is not an integer; write -7"},
        {any, std::string("-0"), "\"-0\" is a string, not an integer; write it without quotes"},
        {any, std::string("1e300"), "\"1e300\" is not an integer; give one, such as 7"},
        {size, std::string("5"), "\"5\" is a string, not an integer; write it without quotes"},
        {size, std::string("501"), "501 is more than 500; give one from 1 to 500"},
        {size, std::string("9007199254740993"),
         "\"9007199254740993\" is beyond 2^53; give one from 1 to 500"},
        {any, std::string("-9007199254740993"),
         "\"-9007199254740993\" is beyond 2^53; give one from -9007199254740992 to "
         "9007199254740992"},
        {R"({"type": "integer"})", std::string("123456789012345678901234567890"),
         "\"123456789012345678901234567890\" is beyond 2^53; give one from 0 to "
         "9007199254740992"},
    });
}

// All that is wrong in one message, in an order that does not depend on the caller: what the action
// does not have, then its arguments as its file has them.
TEST(Arguments, AllThatAreWrongAreSaid) {
    const Action action =
        action_with(R"("{service}", "{size}", "{on}")",
                    R"("service": {"type": "string", "enum": ["nginx", "php-fpm"]},
           "size": {"type": "integer", "minimum": 1, "maximum": 500},
           "on": {"type": "boolean"})");
    const NamedValue size{"size", std::string("abc")};
    const NamedValue on{"on", std::string("yes")};
    const NamedValue odd{"servce", std::string("nginx")};
    const std::string expected =
        "servce: there is no such argument; did you mean service?\n"
        "service: is required; give one of nginx, php-fpm\n"
        "size: \"abc\" is not an integer; give one from 1 to 500\n"
        "on: \"yes\" is not a boolean; give true or false";
    EXPECT_EQ(error_of(action, {odd, on, size}), expected);
    EXPECT_EQ(error_of(action, {size, odd, on}), expected);
}

TEST(Arguments, WhatIsSaidHasABound) {
    std::string declared;
    std::string elements;
    Arguments arguments;
    for (int i = 0; i < 200; ++i) {
        const std::string name = "argument" + std::to_string(i);
        elements += (i > 0 ? ", \"{" : "\"{") + name + "}\"";
        declared += (i > 0 ? ", \"" : "\"") + name + R"(": {"type": "integer", "default": 1})";
        arguments.push_back({name, std::string(4096, '\x7f')});
    }
    const std::string error = error_of(action_with(elements, declared), arguments);
    EXPECT_LT(error.size(), 6000U);
    EXPECT_TRUE(error.starts_with("argument0: ")) << error;
    EXPECT_TRUE(error.ends_with(" more arguments are wrong")) << error;
}

// A secret reaches the job's standard input and nothing else: no command line, no record, no error.
TEST(Arguments, SecretsStayHidden) {
    const Action action = action_with(R"("{user}")",
                                      R"("user": {"type": "string"},
           "password": {"type": "string", "secret": true, "pattern": "[a-z]+", "minLength": 4, "maxLength": 8},
           "pin": {"type": "integer", "secret": true, "maximum": 9, "required": false})",
                                      R"("stdin": "{user}:{password}\n{pin}")");
    const NamedValue user{"user", std::string("u")};
    const auto command = bind_arguments(action, {user, {"password", std::string("hunter")}});
    ASSERT_TRUE(command);
    EXPECT_EQ(command->argv, (Texts{"/usr/bin/true", "u"}));
    EXPECT_EQ(command->stdin_text, "u:hunter\n");
    const std::vector<std::pair<std::string, std::string>> shown = {{"user", "u"},
                                                                    {"password", "(secret)"}};
    EXPECT_EQ(command->shown, shown);

    const auto with = [&](Value password) {
        return error_of(action, {user, {"password", std::move(password)}});
    };
    EXPECT_EQ(with(std::string("HUNTER2")), "password: the value does not match [a-z]+");
    EXPECT_EQ(with(std::string("abc")),
              "password: the value is 3 bytes long, at least 4 are needed");
    EXPECT_EQ(with(std::string("abcdefghi")),
              "password: the value is 9 bytes long, at most 8 are allowed");
    EXPECT_EQ(with(std::string("-abc")),
              "password: the value begins with \"-\", which this argument does not allow");
    EXPECT_EQ(with(std::string("ab\ncd")),
              "password: the value contains U+000A, which no argument may contain");
    EXPECT_EQ(
        error_of(action, {user, {"password", std::string("hunter")}, {"pin", std::int64_t{1234}}}),
        "pin: the value is more than 9; give one from 0 to 9");
    const auto with_pin = [&](const char* pin) {
        return error_of(action,
                        {user, {"password", std::string("hunter")}, {"pin", std::string(pin)}});
    };
    EXPECT_EQ(with_pin("007"), "pin: the value is not an integer; give one from 0 to 9");
    EXPECT_EQ(with_pin("7"), "pin: the value is a string, not an integer; write it without quotes");
    EXPECT_EQ(with_pin("9007199254740993"), "pin: the value is beyond 2^53; give one from 0 to 9");
}

TEST(Arguments, AnEmptyStandardInputIsNotNone) {
    EXPECT_EQ(bind_arguments(action_with("", "", R"("stdin": "")"), {}).value().stdin_text, "");
    EXPECT_FALSE(bind_arguments(action_with("", ""), {}).value().stdin_text);
}

// Should a pattern ever be lost on the way, nothing passes.
TEST(Arguments, WithoutItsCompiledPatternNothingPasses) {
    Action action = action_with(R"("{v}")", R"("v": {"type": "string", "pattern": ".*"})");
    action.patterns.clear();
    EXPECT_EQ(error_of(action, {{"v", std::string("x")}}), "v: can't be checked");
}

// In "stdin" alone: newlines and tabs, and more bytes; nothing else that no argument may have.
TEST(Arguments, SeveralLines) {
    const Action action =
        action_with("", R"("text": {"type": "string", "multiline": true, "maxLength": 32768})",
                    R"("stdin": "{text}")");
    const std::string lines = "one\n\ttwo\n";
    const auto command = bind_arguments(action, {{"text", lines}});
    ASSERT_TRUE(command);
    EXPECT_EQ(command->stdin_text, lines);
    EXPECT_EQ(error_of(action, {{"text", std::string(32768, 'x')}}), "accepted");
    EXPECT_EQ(error_of(action, {{"text", std::string(32769, 'x')}}),
              "text: \"" + std::string(100, 'x') +
                  "...\" is 32769 bytes long, at most 32768 are allowed");
    for (const auto& [value, named] :
         {std::pair{"a\rb", "U+000D"}, {"a\x1b", "U+001B"}, {"a\u2028", "U+2028"}}) {
        EXPECT_NE(error_of(action, {{"text", std::string(value)}}).find(named), std::string::npos);
    }
    EXPECT_EQ(error_of(action, {{"text", std::string("-----BEGIN\n")}}),
              "text: \"-----BEGIN\\u000a\" begins with \"-\", which this argument does not allow");
}

TEST(Arguments, SeveralLinesAreNoCommandLine) {
    const std::string text =
        R"({"summary": "s", "allow": [], "exec": ["/usr/bin/true", "{t}"], "arguments": {"t": )"
        R"({"type": "string", "multiline": true}}})";
    const auto action = parse_action("a", "/a.json", text, own_options());
    ASSERT_FALSE(action);
    EXPECT_EQ(action.error().message,
              "/a.json:1:57: exec[1]: the argument \"t\" is multiline and can't be "
              "used on a command line; use it in \"stdin\"");
}

TEST(Arguments, Input) {
    const Action takes = action_with("", "", R"("input": "text")");
    EXPECT_EQ(bind_arguments(takes, {}, "given")->stdin_text, "given");
    EXPECT_EQ(bind_arguments(takes, {})->stdin_text, std::nullopt);
    const auto refused = bind_arguments(action_with("", ""), {}, "given");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().argument, "input");
    EXPECT_EQ(refused.error().message, "input: this action takes no standard input; leave it out");
}

}  // namespace
}  // namespace postern::policy
