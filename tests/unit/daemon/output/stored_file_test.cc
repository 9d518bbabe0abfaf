#include "daemon/output/stored_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/unique_fd.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

class StoredFile : public testing::Test {
  protected:
    std::string read(std::uint64_t from, std::size_t length) const {
        std::string text(length, '?');
        const ssize_t count = ::pread(file_.get(), text.data(), length, static_cast<off_t>(from));
        text.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
        return text;
    }
    void append(const std::string& text) const {
        ASSERT_EQ(::pwrite(file_.get(), text.data(), text.size(),
                           static_cast<off_t>(size_of(file_.get()))),
                  static_cast<ssize_t>(text.size()));
    }
    const TemporaryDirectory folder_;
    const UniqueFd file_{::open((folder_ / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
};

TEST_F(StoredFile, AnEmptyOneHasNothing) {
    EXPECT_EQ(size_of(file_.get()), 0U);
    EXPECT_EQ(stored_from(file_.get()), 0U);
    EXPECT_EQ(free_front(file_.get(), 0), 0);
}

TEST_F(StoredFile, WholeBlocksAtTheFrontAreFreedAndTheRestStaysWhereItIs) {
    append(std::string(3 * least_block_bytes + 100, 'x'));
    EXPECT_EQ(free_front(file_.get(), least_block_bytes - 1), 0);
    EXPECT_EQ(stored_from(file_.get()), 0U);
    EXPECT_EQ(free_front(file_.get(), 2 * least_block_bytes + 4095), 0);
    EXPECT_EQ(stored_from(file_.get()), 2 * least_block_bytes);
    EXPECT_EQ(size_of(file_.get()), 3 * least_block_bytes + 100);
    EXPECT_EQ(read(2 * least_block_bytes, 2 * least_block_bytes),
              std::string(least_block_bytes + 100, 'x'));
    EXPECT_EQ(free_front(file_.get(), 4 * least_block_bytes), 0);
    EXPECT_EQ(size_of(file_.get()), 3 * least_block_bytes + 100);
    EXPECT_EQ(stored_from(file_.get()), 3 * least_block_bytes + 100);
}

TEST_F(StoredFile, BlocksAreAsLargeAsTheFileSystemSays) {
    EXPECT_EQ(block_bytes_of(file_.get()), least_block_bytes) << "of this file system";
    EXPECT_EQ(block_bytes_for(0), 4096U);
    EXPECT_EQ(block_bytes_for(512), 4096U);
    EXPECT_EQ(block_bytes_for(65'536), 65'536U);
    EXPECT_EQ(block_bytes_for(100'000), 131'072U);
    EXPECT_EQ(block_bytes_for(~std::uint64_t{0}), most_block_bytes);
    EXPECT_EQ(block_bytes_of(-1), least_block_bytes);
}

TEST_F(StoredFile, WhatCanNotBeFreedSaysWhy) {
    const UniqueFd reader(::open((folder_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(free_front(reader.get(), least_block_bytes), EBADF);
    EXPECT_EQ(free_front(-1, least_block_bytes), EBADF);
}

}  // namespace
}  // namespace postern::output
