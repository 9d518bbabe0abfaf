#include "protocol/base64.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace postern::protocol {
namespace {

TEST(Base64, IsRfc4648BothWays) {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
        {std::string("\xff\xef\0", 3), "/+8A"}};
    for (const auto& [bytes, text] : rows) {
        EXPECT_EQ(encode_base64(bytes), text);
        EXPECT_EQ(decode_base64(text), bytes);
    }
}

TEST(Base64, IsRefusedWhereItIsNotTheOneForm) {
    for (const char* text : {"Z", "Zg", "Zg=", "Z===", "====", "Zg==Zg==", "Zh==", "Zm9=", "Zm9-",
                             "Zm 9", "Zm9v\n", "=Zm9"}) {
        EXPECT_EQ(decode_base64(text), std::nullopt) << text;
    }
}

}  // namespace
}  // namespace postern::protocol
