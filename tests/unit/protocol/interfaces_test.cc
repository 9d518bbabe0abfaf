#include "protocol/interfaces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "protocol/call.h"
#include "tests/unit/json_keys.h"
#include "tests/unit/protocol/varlink_text.h"

namespace postern::protocol {
namespace {

using ::testing::ElementsAre;

TEST(Interfaces, AreFoundByNameAndStandInOrder) {
    std::vector<std::string> names;
    for (const auto& interface : interfaces()) names.emplace_back(interface.name);
    EXPECT_THAT(names, ElementsAre("org.postern.Actions", "org.postern.Admin", "org.postern.Jobs",
                                   "org.varlink.service"));
    ASSERT_NE(find_interface("org.postern.Actions"), nullptr);
    EXPECT_EQ(find_interface("org.postern.Action"), nullptr);
    EXPECT_EQ(find_interface(""), nullptr);
}

TEST(Interfaces, TextsNameThemselvesAndParse) {
    for (const auto& interface : interfaces()) {
        const auto text = test::parse_varlink(interface.text);
        ASSERT_TRUE(text) << interface.name;
        EXPECT_EQ(text->name, interface.name);
        EXPECT_TRUE(interface.text.ends_with(")\n")) << "the text is not cut";
    }
}

// What systemd's varlinkctl 257 refuses to read.
TEST(Interfaces, TextsUseNothingThatKnownClientsReject) {
    for (const auto& interface : interfaces()) {
        for (const char* wrong : {": any", "[][]", "[string]", "?[]?", ",\n)", ", )"}) {
            EXPECT_EQ(interface.text.find(wrong), std::string_view::npos)
                << interface.name << " has " << wrong;
        }
    }
}

TEST(Interfaces, TypesThatFieldsNameAreThere) {
    const std::set<std::string> simple = {"bool", "int", "string", "object"};
    for (const auto& interface : interfaces()) {
        const auto text = test::parse_varlink(interface.text);
        ASSERT_TRUE(text);
        const auto check = [&](const test::VarlinkFields& fields) {
            for (const auto& field : fields) {
                EXPECT_TRUE(simple.contains(field.type) || text->types.contains(field.type))
                    << field.name << ": " << field.type;
            }
        };
        for (const auto& [name, fields] : text->types) check(fields);
        for (const auto& [name, fields] : text->errors) check(fields);
        for (const auto& [name, method] : text->methods) {
            check(method.in);
            check(method.out);
        }
    }
}

TEST(Interfaces, FieldsAreInCamelCase) {
    for (const auto& interface : interfaces()) {
        const auto text = test::parse_varlink(interface.text);
        ASSERT_TRUE(text);
        const auto check = [](const test::VarlinkFields& fields) {
            for (const auto& field : fields) EXPECT_TRUE(is_camel_case(field.name)) << field.name;
        };
        for (const auto& [name, fields] : text->types) check(fields);
        for (const auto& [name, fields] : text->errors) check(fields);
        for (const auto& [name, method] : text->methods) {
            check(method.in);
            check(method.out);
        }
    }
}

TEST(Interfaces, ErrorsThatAreSentAreInTheTexts) {
    namespace e = errors;
    for (const std::string_view error :
         {e::interface_not_found, e::method_not_found, e::invalid_parameter, e::permission_denied,
          e::not_granted, e::invalid_argument, e::limit_reached, e::unavailable, e::start_failed,
          e::invalid_message}) {
        const auto dot = error.rfind('.');
        const auto* interface = find_interface(error.substr(0, dot));
        ASSERT_NE(interface, nullptr) << error;
        const auto text = test::parse_varlink(interface->text);
        EXPECT_TRUE(text->errors.contains(std::string(error.substr(dot + 1)))) << error;
    }
}

}  // namespace
}  // namespace postern::protocol
