// Which mounts wait for nobody.
#include "host/local_mounts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

TEST(LocalMounts, ALineOfMountinfo) {
    const auto line = [](const std::string& type) {
        return "36 35 98:0 /a\\040-\\040x /mnt2 rw,noatime master:1 - " + type + " /dev/root rw";
    };
    EXPECT_EQ(local_mount_in(line("ext4")), 36U);
    EXPECT_EQ(local_mount_in(line("tmpfs")), 36U);
    for (const char* type : {"fuse", "fuse.sshfs", "fuseblk", "virtiofs", "nfs4", "cifs", "9p",
                             "ceph", "autofs", "ext", "ext44", ""}) {
        EXPECT_EQ(local_mount_in(line(type)), std::nullopt) << type;
    }
    for (const char* bad :
         {"", "x", "36", "36 35 98:0 / / rw - ", "x 35 98:0 / / rw - ext4 a rw"}) {
        EXPECT_EQ(local_mount_in(bad), std::nullopt) << bad;
    }
}

std::uint64_t mount_of(const std::string& path) {
    struct statx status{};
    EXPECT_EQ(::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &status), 0);
    return status.stx_mnt_id;
}

TEST(LocalMounts, OfThisMachine) {
    auto mounts = LocalMounts::open();
    ASSERT_TRUE(mounts) << mounts.error().message;
    const TemporaryDirectory folder(0700, "/dev/shm");
    EXPECT_FALSE(mounts->has(mount_of(folder.path()))) << "nobody has looked";
    mounts->look();
    EXPECT_TRUE(mounts->has(mount_of(folder.path())));
    EXPECT_FALSE(mounts->has(mount_of("/proc")));
    EXPECT_FALSE(mounts->has(0));
}

}  // namespace
}  // namespace postern
