#include "base/size.h"

#include <gtest/gtest.h>

#include <string>

namespace postern {
namespace {

TEST(Size, Read) {
    struct Row {
        const char* text;
        std::uint64_t bytes;
    };
    const Row rows[] = {
        {"0", 0},
        {"1000", 1000},
        {"64K", 65'536},
        {"32KiB", 32'768},
        {"32 KiB", 32'768},
        {"64MiB", 67'108'864},
        {"1G", 1'073'741'824},
        {"2TiB", 2'199'023'255'552},
        {"18446744073709551615", 18'446'744'073'709'551'615ULL},
        {"16777215T", 18'446'742'974'197'923'840ULL},
    };
    for (const Row& row : rows) {
        const auto size = parse_size(row.text);
        ASSERT_TRUE(size) << row.text;
        EXPECT_EQ(*size, row.bytes) << row.text;
    }
}

TEST(Size, RefusedWithTheReason) {
    for (const char* text : {"", "K", "-1", "+1", "1.5M", "1KB", "1kB", "1k", "1 K ", " 1K", "1  K",
                             "1B", "1 ", "0x10"}) {
        const auto size = parse_size(text);
        ASSERT_FALSE(size) << text;
        EXPECT_EQ(size.error().message, '"' + std::string(text) +
                                            "\" is not a size; write for example 64MiB, 32K or a "
                                            "number of bytes");
    }
    for (const char* text : {"18446744073709551616", "16777216T", "18014398509481984K"}) {
        const auto size = parse_size(text);
        ASSERT_FALSE(size) << text;
        EXPECT_EQ(size.error().message, '"' + std::string(text) + "\" is too large a size");
    }
}

TEST(Size, Shown) {
    EXPECT_EQ(show_size(0), "0 bytes");
    EXPECT_EQ(show_size(1), "1 byte");
    EXPECT_EQ(show_size(1000), "1000 bytes");
    EXPECT_EQ(show_size(65'536), "64 KiB");
    EXPECT_EQ(show_size(64ULL << 20U), "64 MiB");
}

}  // namespace
}  // namespace postern
