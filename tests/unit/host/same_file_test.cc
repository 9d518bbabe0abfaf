#include "host/same_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/unique_fd.h"
#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

TEST(SameFile, IsTheOneThatTheNameItselfLeadsTo) {
    const TemporaryDirectory folder;
    folder.write("a", "x");
    const UniqueFd file(open((folder / "a").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_TRUE(lies_at(file.get(), folder / "a"));
    EXPECT_FALSE(lies_at(file.get(), folder / "b"));
    std::filesystem::create_symlink("a", std::filesystem::path(folder / "b"));
    EXPECT_FALSE(lies_at(file.get(), folder / "b")) << "a link is another file";
    std::filesystem::rename(folder / "a", folder / "c");
    EXPECT_TRUE(lies_at(file.get(), folder / "c"));
    folder.write("a", "x");
    EXPECT_FALSE(lies_at(file.get(), folder / "a")) << "a new one of the same name";
    EXPECT_FALSE(lies_at(-1, folder / "a"));
    const auto number = number_of(file.get());
    ASSERT_TRUE(number);
    EXPECT_TRUE(lies_at(*number, folder / "c"));
    EXPECT_FALSE(lies_at(*number, folder / "a"));
    EXPECT_FALSE(lies_at(*number, folder / "none"));
    EXPECT_FALSE(number_of(-1));
}

}  // namespace
}  // namespace postern
