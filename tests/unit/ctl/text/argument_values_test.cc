#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "ctl/text/argument_values.h"

namespace postern::ctl {
namespace {

using nlohmann::json;

ActionDescription action() {
    ActionDescription described;
    described.name = "a";
    const auto add = [&described](const char* name, ArgumentType type,
                                  ArgumentType items = ArgumentType::string) {
        ArgumentSpec spec;
        spec.name = name;
        spec.type = type;
        spec.items = items;
        described.arguments.push_back(spec);
    };
    add("text", ArgumentType::string);
    add("count", ArgumentType::integer);
    add("flag", ArgumentType::boolean);
    add("texts", ArgumentType::list);
    add("counts", ArgumentType::list, ArgumentType::integer);
    add("flags", ArgumentType::list, ArgumentType::boolean);
    return described;
}

json typed(std::vector<std::string> words, const ActionDescription* described) {
    const auto arguments = split_arguments(words);
    EXPECT_TRUE(arguments.has_value());
    auto values = typed_arguments(*arguments, described);
    EXPECT_TRUE(values.has_value());
    return *values;
}

json typed(const std::string& word) {
    const auto described = action();
    return typed(std::vector{word}, &described);
}

TEST(CtlArguments, AreSplitAtTheFirstSign) {
    const auto arguments = split_arguments(std::vector<std::string>{"a=b=c", "d="});
    ASSERT_TRUE(arguments.has_value());
    ASSERT_EQ(arguments->size(), 2U);
    EXPECT_EQ((*arguments)[0].name, "a");
    EXPECT_EQ((*arguments)[0].value, "b=c");
    EXPECT_EQ((*arguments)[1].name, "d");
    EXPECT_EQ((*arguments)[1].value, "");
}

TEST(CtlArguments, ThatAreNotNameAndValueAreNamed) {
    for (const std::string word : {"a", "=b", "", "="}) {
        const auto arguments = split_arguments(std::vector<std::string>{"x=1", word});
        ASSERT_FALSE(arguments.has_value()) << word;
        EXPECT_EQ(arguments.error().message, "\"" + word + "\": write an argument as NAME=VALUE");
    }
}

TEST(CtlArguments, AValueWithoutANameIsOfTheOneThatItCouldBe) {
    ActionDescription one;
    const auto add = [&one](const char* name, ArgumentType type, ArgumentType items) {
        ArgumentSpec spec;
        spec.name = name;
        spec.type = type;
        spec.items = items;
        one.arguments.push_back(spec);
    };
    const auto meant = [&one](const std::string& word, std::vector<std::string> beside = {}) {
        beside.push_back(word);
        return meant_by(word, beside, one);
    };
    EXPECT_EQ(meant("x"), "");
    add("service", ArgumentType::string, ArgumentType::string);
    EXPECT_EQ(meant("x y"), "service=x y");
    EXPECT_EQ(meant("x", {"service=a"}), "");
    one.arguments[0].values = {"nginx"};
    EXPECT_EQ(meant("x"), "");
    EXPECT_EQ(meant("nginx"), "service=nginx");
    add("on", ArgumentType::boolean, ArgumentType::string);
    add("ports", ArgumentType::list, ArgumentType::integer);
    EXPECT_EQ(meant("true"), "on=true");
    EXPECT_EQ(meant("80", {"ports=81"}), "ports=80");
    add("count", ArgumentType::integer, ArgumentType::string);
    EXPECT_EQ(meant("80"), "");
    EXPECT_EQ(meant("80", {"count=1"}), "ports=80");
}

TEST(CtlArguments, IntegersAreWhatIsWrittenAsOne) {
    EXPECT_EQ(typed("count=0"), json({{"count", 0}}));
    EXPECT_EQ(typed("count=-7"), json({{"count", -7}}));
    EXPECT_EQ(typed("count=9007199254740992"), json({{"count", 9007199254740992}}));
    EXPECT_EQ(typed("count=-9007199254740992"), json({{"count", -9007199254740992}}));
}

TEST(CtlArguments, OtherNumbersStayTextSoThatTheDaemonSaysWhatIsWrong) {
    for (const std::string text :
         {"", "007", "+7", "-0", " 7", "7 ", "0x7", "1e3", "1.0", "seven", "9007199254740993",
          "-9007199254740993", "99999999999999999999"}) {
        EXPECT_EQ(typed("count=" + text), json({{"count", text}}));
    }
}

TEST(CtlArguments, BooleansAreTrueAndFalse) {
    EXPECT_EQ(typed("flag=true"), json({{"flag", true}}));
    EXPECT_EQ(typed("flag=false"), json({{"flag", false}}));
    for (const std::string text : {"True", "yes", "1", ""}) {
        EXPECT_EQ(typed("flag=" + text), json({{"flag", text}}));
    }
}

TEST(CtlArguments, TextStaysText) {
    EXPECT_EQ(typed("text=7"), json({{"text", "7"}}));
    EXPECT_EQ(typed("text=true"), json({{"text", "true"}}));
    EXPECT_EQ(typed("unknown=7"), json({{"unknown", "7"}}));
}

TEST(CtlArguments, AListIsOneEvenOfOneElement) {
    EXPECT_EQ(typed("texts=a"), json({{"texts", {"a"}}}));
    const auto described = action();
    EXPECT_EQ(typed({"counts=1", "texts=a", "counts=x", "flags=true", "counts=-3"}, &described),
              json({{"counts", {1, "x", -3}}, {"texts", {"a"}}, {"flags", {true}}}));
}

TEST(CtlArguments, ANameThatStandsTwiceMakesAList) {
    const auto described = action();
    EXPECT_EQ(typed({"count=1", "count=2", "count=3"}, &described), json({{"count", {1, 2, 3}}}));
    EXPECT_EQ(typed({"a=1", "a=2"}, nullptr), json({{"a", {"1", "2"}}}));
}

TEST(CtlArguments, WhatIsNotUtf8IsRefusedAndNotReplaced) {
    const std::vector<NamedText> value = {{"a", "x\xff"}};
    EXPECT_EQ(typed_arguments(value, nullptr).error().message, "a: the value is not valid UTF-8");
    const std::vector<NamedText> name = {{"\xff", "x"}};
    EXPECT_EQ(typed_arguments(name, nullptr).error().message, "\"\\xff\": not valid UTF-8");
}

}  // namespace
}  // namespace postern::ctl
