#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "ctl/text/action.h"
#include "ctl/text/action_text.h"

#include <chrono>

namespace postern::ctl {
namespace {

using nlohmann::json;

json argument(const char* name, const char* type, const json& more = json::object()) {
    json spec = {{"name", name}, {"type", type}, {"required", true}, {"secret", false}};
    spec.update(more);
    return spec;
}

json action(const json& arguments) {
    return {{"name", "a.b"},
            {"summary", "S"},
            {"arguments", arguments},
            {"timeoutSeconds", 30},
            {"onDisconnect", "keep"}};
}

std::string example(const json& arguments) {
    const auto decoded = decode_action(action(arguments));
    EXPECT_TRUE(decoded.has_value());
    return decoded.has_value() ? example_command(*decoded).value_or("none") : "";
}

TEST(CtlAction, IsDecodedWhole) {
    const auto decoded = decode_action({{"name", "n"},
                                        {"summary", "s"},
                                        {"description", "d"},
                                        {"timeoutSeconds", 7},
                                        {"onDisconnect", "kill"},
                                        {"arguments",
                                         {argument("list", "list",
                                                   {{"items", "integer"},
                                                    {"default", {1, "x", true, 1.5}},
                                                    {"minItems", 1},
                                                    {"maxItems", 4},
                                                    {"minimum", -1},
                                                    {"maximum", 9},
                                                    {"required", false}}),
                                          argument("text", "string",
                                                   {{"values", {"a", "b"}},
                                                    {"pattern", "p"},
                                                    {"minLength", 0},
                                                    {"maxLength", 3},
                                                    {"secret", true},
                                                    {"summary", "t"}})}}});
    ASSERT_TRUE(decoded.has_value());
    ArgumentSpec list;
    list.name = "list";
    list.type = ArgumentType::list;
    list.items = ArgumentType::integer;
    list.required = false;
    list.fallback = std::vector<Scalar>{std::int64_t{1}, std::string("x"), true, Unsupported{}};
    list.min_items = 1;
    list.max_items = 4;
    list.minimum = -1;
    list.maximum = 9;
    ArgumentSpec text;
    text.name = "text";
    text.summary = "t";
    text.secret = true;
    text.values = {"a", "b"};
    text.pattern = "p";
    text.min_length = 0;
    text.max_length = 3;
    ActionDescription expected;
    expected.name = "n";
    expected.summary = "s";
    expected.description = "d";
    expected.timeout = std::chrono::seconds(7);
    expected.kill_on_disconnect = true;
    expected.arguments = {list, text};
    EXPECT_EQ(*decoded, expected);
}

TEST(CtlAction, OfADaemonThatSaysNonsenseIsRefusedAndNeverThrows) {
    for (const auto& broken :
         {json(nullptr), json(1), json::array(), json::object(), json({{"name", 1}}),
          action(json::array({1})), action(json::array({json::object()})),
          action(json::array({argument("x", "path")})),
          action(json::array({json({{"name", "x"}, {"type", 3}})}))}) {
        EXPECT_FALSE(decode_action(broken).has_value()) << broken;
    }
    const auto odd = decode_action({{"name", "n"}, {"timeoutSeconds", -5}, {"arguments", "none"}});
    ASSERT_TRUE(odd.has_value());
    EXPECT_EQ(odd->timeout.count(), 0);
    EXPECT_TRUE(odd->arguments.empty());
    EXPECT_TRUE(decode_action({{"name", "n"}, {"timeoutSeconds", INT64_MAX}}).has_value());
}

TEST(CtlAction, ExampleGivesWhatMustBeGiven) {
    EXPECT_EQ(example(json::array()), "posternctl run a.b");
    EXPECT_EQ(example(json::array({argument("left_out", "string", {{"required", false}})})),
              "posternctl run a.b");
    EXPECT_EQ(example({argument("name", "string"), argument("n", "integer"),
                       argument("low", "integer", {{"minimum", 5}}),
                       argument("high", "integer", {{"minimum", -9}, {"maximum", -3}}),
                       argument("zero", "integer", {{"maximum", 0}}), argument("yes", "boolean"),
                       argument("one", "string", {{"values", {"x y", "z"}}})}),
              "posternctl run a.b name=NAME n=1 low=5 high=-9 zero=0 yes=true 'one=x y'");
    EXPECT_EQ(
        example(json::array({argument("l", "list", {{"items", "integer"}, {"minItems", 2}})})),
        "posternctl run a.b l=1 l=1");
    EXPECT_EQ(example(json::array({argument("l", "list", {{"minItems", 4}})})),
              "posternctl run a.b l=L l=L l=L l=L");
    EXPECT_EQ(example({argument("id", "string", {{"minLength", 3}, {"maxLength", 3}}),
                       argument("name", "string", {{"maxLength", 2}})}),
              "posternctl run a.b id=IDI name=NA");
    // What nobody wants to see written out, what no value of is known, and what has none at all.
    EXPECT_EQ(example(json::array({argument("l", "list", {{"minItems", 4000}})})), "none");
    EXPECT_EQ(example(json::array({argument("s", "string", {{"minLength", 4000}})})), "none");
    EXPECT_EQ(example(json::array({argument("s", "string", {{"pattern", "x"}})})), "none");
    EXPECT_EQ(example(json::array({argument("n", "integer", {{"maximum", -3}})})), "none");
    EXPECT_EQ(example(json::array({argument("l", "list", {{"minItems", 0}, {"maxItems", 0}})})),
              "none");
    EXPECT_EQ(example(json::array({argument("l", "list", {{"minItems", 0}})})),
              "posternctl run a.b l=L");
    // What would be shown as something else.
    EXPECT_EQ(example(json::array({argument("s", "string", {{"values", {"a\nb", "c d"}}})})),
              "posternctl run a.b 's=c d'");
    EXPECT_EQ(example(json::array({argument("s", "string", {{"values", {"a\nb"}}})})), "none");
}

TEST(CtlAction, EachLineOfTheDescriptionIsIndented) {
    const auto shown = [](std::string description) {
        json with_text = action(json::array());
        with_text["description"] = std::move(description);
        const auto text = describe_action(*decode_action(with_text));
        const auto begin = text.find('\n') + 1;
        return text.substr(begin, text.find("\nArguments:") - begin);
    };
    EXPECT_EQ(shown(""), "");
    EXPECT_EQ(shown("one"), "\n  one\n");
    EXPECT_EQ(shown("one\n"), "\n  one\n");
    EXPECT_EQ(shown("one\n\ntwo\n\n"), "\n  one\n\n  two\n\n");
    EXPECT_EQ(shown("\none"), "\n\n  one\n");
}

TEST(CtlAction, TextIsPrintableWhateverTheDaemonSends) {
    auto spec = argument(
        "x\x1b", "string",
        {{"values", {"v\x1b"}}, {"summary", "s\x1b"}, {"pattern", "p\x1b"}, {"default", "d\x1b"}});
    json hostile = action({spec, argument("y\x1b", "string")});
    hostile["name"] = "n\x1b";
    hostile["summary"] = "s\x1b";
    hostile["description"] = "d\x1b\rz";
    const auto decoded = decode_action(hostile);
    ASSERT_TRUE(decoded.has_value());
    const auto text = describe_action(*decoded);
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("\x1b")));
    EXPECT_THAT(text, testing::Not(testing::HasSubstr("\r")));
}

}  // namespace
}  // namespace postern::ctl
