#include "host/safe_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

using Kind = OpenError::Kind;

class SafeFile : public testing::Test {
  protected:
    // The error's text with the temporary folder's path as T, or "" where it was opened.
    std::string error_of(const Result<UniqueFd, OpenError>& result) {
        if (result) return "";
        last_kind_ = result.error().kind;
        std::string text = result.error().message;
        for (std::size_t at = 0; (at = text.find(folder_.path())) != std::string::npos;) {
            text.replace(at, folder_.path().size(), "T");
        }
        return text;
    }
    std::string read_error(const std::string& path) {
        return error_of(open_safe(path, owner_, Use::read));
    }
    std::string execute_error(const std::string& path) {
        return error_of(open_safe(path, owner_, Use::execute));
    }
    std::string folder_error(const std::string& path) {
        return error_of(open_safe_folder(path, owner_));
    }

    TemporaryDirectory folder_;
    uid_t owner_ = geteuid();
    std::string me_ = std::to_string(geteuid());
    std::string chown_to_ = geteuid() == 0 ? "root" : std::to_string(geteuid());
    std::string wanted_ = geteuid() == 0 ? "root" : "root or uid " + std::to_string(geteuid());
    Kind last_kind_ = Kind::failed;
};

// The same as SafeFile, for what only root can set up.
class SafeFileAsRoot : public SafeFile {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
    }
};

TEST_F(SafeFile, ASafeFileIsRead) {
    const std::string path = folder_.write("a", "text", 0644);
    auto file = open_safe(path, owner_, Use::read);
    ASSERT_TRUE(file);
    EXPECT_EQ(read_unchanged(file->get(), 4).value(), "text");
    EXPECT_EQ(fcntl(file->get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(file->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(read_error(folder_.path() + "//./a"), "");
    folder_.write("private", "x", 0600);
    EXPECT_EQ(read_error(folder_ / "private"), "");
}

TEST_F(SafeFile, MissingAndNotAbsolute) {
    EXPECT_EQ(read_error(folder_ / "a"), "T/a does not exist; create it or correct the path");
    EXPECT_EQ(last_kind_, Kind::missing);
    EXPECT_EQ(read_error(folder_ / "a/b"), "T/a does not exist; create it or correct the path");
    EXPECT_EQ(read_error(folder_ / "a\x1b[2J"),
              "T/a\\u001b[2J does not exist; create it or correct the path");
    EXPECT_EQ(read_error("etc/passwd"), "etc/passwd is not an absolute path; start it with /");
    EXPECT_EQ(read_error(""), " is not an absolute path; start it with /");
    folder_.write("a", "x");
    EXPECT_EQ(read_error(folder_ / "a/b"), "T/a can't be opened: Not a directory");
    EXPECT_EQ(last_kind_, Kind::failed);
    EXPECT_EQ(folder_error(folder_ / "a"), "T/a can't be opened: Not a directory");
    EXPECT_EQ(read_error(std::string("/etc\0/passwd", 12)),
              "the path contains a NUL byte; remove it");
}

// Files that others than the owner can write to are off.
TEST_F(SafeFile, WritableByOthers) {
    for (const mode_t mode : {0664U, 0646U, 0666U, 0777U, 0620U, 0602U}) {
        const std::string path = folder_.write("a", "x", mode);
        char text[8];
        std::snprintf(text, sizeof(text), "0%03o", mode);
        const std::string error =
            "T/a can be written by users other than its owner (owned by uid " + me_ + ", mode " +
            text + "); run: chmod go-w T/a";
        EXPECT_EQ(read_error(path), error);
        EXPECT_EQ(execute_error(path), error);
        EXPECT_EQ(last_kind_, Kind::unsafe);
    }
}

// Distributions ship such, and what counts is of the file, by whatever name.
TEST_F(SafeFile, HardLinks) {
    folder_.write("a", "x", 0755);
    folder_.make_folder("open", 0777);
    ASSERT_EQ(link((folder_ / "a").c_str(), (folder_ / "open/b").c_str()), 0);
    EXPECT_EQ(read_error(folder_ / "a"), "");
    EXPECT_EQ(execute_error(folder_ / "a"), "");
    EXPECT_NE(read_error(folder_ / "open/b"), "");  // others may put another one there
    ASSERT_EQ(chmod((folder_ / "open/b").c_str(), 0775), 0);
    EXPECT_NE(read_error(folder_ / "a"), "");
}

TEST_F(SafeFile, SymbolicLinks) {
    folder_.write("real", "x", 0755);
    folder_.make_folder("folder");
    folder_.write("folder/file", "x", 0755);
    ASSERT_EQ(symlink("real", (folder_ / "link").c_str()), 0);
    ASSERT_EQ(symlink((folder_ / "folder").c_str(), (folder_ / "way").c_str()), 0);
    ASSERT_EQ(symlink("../link", (folder_ / "folder/up").c_str()), 0);
    ASSERT_EQ(symlink("loop", (folder_ / "loop").c_str()), 0);
    ASSERT_EQ(symlink("nowhere", (folder_ / "dangling").c_str()), 0);

    ASSERT_EQ(symlink("/dev/null", (folder_ / "null").c_str()), 0);

    EXPECT_EQ(read_error(folder_ / "link"), "");
    EXPECT_EQ(execute_error(folder_ / "link"), "");
    EXPECT_EQ(read_error(folder_ / "way/file"), "");
    EXPECT_EQ(execute_error(folder_ / "way/up"), "");
    EXPECT_EQ(execute_error(folder_ / "loop"),
              "T/loop can't be opened: Too many levels of symbolic links");
    EXPECT_EQ(execute_error(folder_ / "dangling"),
              "T/nowhere does not exist; create it or correct the path");
    EXPECT_EQ(folder_error(folder_ / "way"), "");
    EXPECT_EQ(execute_error("/bin/sh"), "");
    // A link is there, also where what it leads to is not: who may do without a file may not do
    // without this one.
    EXPECT_EQ(read_error(folder_ / "dangling"),
              "T/dangling is a symbolic link, and T/nowhere does not exist; create it, or run: rm "
              "T/dangling");
    EXPECT_EQ(last_kind_, Kind::failed);
    EXPECT_EQ(read_error(folder_ / "loop"),
              "T/loop is a symbolic link, and T/loop can't be opened: Too many levels of symbolic "
              "links; correct the link, or run: rm T/loop");
    EXPECT_EQ(read_error(folder_ / "null"), "T/null leads to /dev/null; put a regular file there");
}

TEST_F(SafeFile, AFileByItsNameInAFolder) {
    folder_.write("file", "text");
    folder_.make_folder("folder");
    ASSERT_EQ(symlink("file", (folder_ / "link").c_str()), 0);
    ASSERT_EQ(symlink("/dev/null", (folder_ / "null").c_str()), 0);
    ASSERT_EQ(symlink("null", (folder_ / "to-null").c_str()), 0);
    ASSERT_EQ(symlink("none", (folder_ / "dangling").c_str()), 0);
    const UniqueFd folder = open_safe_folder(folder_.path(), owner_).value();
    const auto open = [&](const std::string& name) {
        return open_safe_in(folder.get(), name, folder_ / name, owner_);
    };
    for (const char* name : {"file", "link"}) {
        EXPECT_EQ(read_unchanged(open(name)->get(), 4).value(), "text");
    }
    for (const char* name : {"null", "to-null"}) EXPECT_FALSE(open(name).value());
    EXPECT_EQ(open("none").error().kind, Kind::missing);
    EXPECT_EQ(open("dangling").error().kind, Kind::failed);
    EXPECT_EQ(open("folder").error().problem, "is a directory; a regular file is needed");
}

// Following a link checks everything on the way that it really takes.
TEST_F(SafeFile, ALinkDoesNotLeadAroundTheChecks) {
    folder_.make_folder("open", 0777);
    folder_.write("open/program", "x", 0755);
    ASSERT_EQ(symlink("open/program", (folder_ / "link").c_str()), 0);
    ASSERT_EQ(symlink("open/../real", (folder_ / "dots").c_str()), 0);
    folder_.write("real", "x", 0755);
    const std::string error = "T/open can be written by users other than its owner (owned by uid " +
                              me_ + ", mode 0777); run: chmod go-w T/open";
    EXPECT_EQ(execute_error(folder_ / "link"), error);
    EXPECT_EQ(execute_error(folder_ / "dots"), error);
}

// Every folder on the way must be safe; above the last one a sticky folder of root's (/tmp) is.
TEST_F(SafeFile, ParentFolders) {
    folder_.make_folder("a");
    folder_.make_folder("a/b");
    folder_.write("a/b/file", "x");
    EXPECT_EQ(read_error(folder_ / "a/b/file"), "");
    EXPECT_EQ(folder_error(folder_ / "a/b"), "");
    struct Row {
        const char* folder;
        mode_t mode;
    };
    for (const Row& row : {Row{"a", 0777}, Row{"a", 0775}, Row{"a/b", 0757}, Row{"a/b", 0770}}) {
        ASSERT_EQ(chmod((folder_ / row.folder).c_str(), row.mode), 0);
        char text[8];
        std::snprintf(text, sizeof(text), "0%03o", row.mode);
        const std::string error = "T/" + std::string(row.folder) +
                                  " can be written by users other than its owner (owned by uid " +
                                  me_ + ", mode " + text + "); run: chmod go-w T/" + row.folder;
        EXPECT_EQ(read_error(folder_ / "a/b/file"), error);
        EXPECT_EQ(execute_error(folder_ / "a/b/file"), error);
        EXPECT_EQ(folder_error(folder_ / "a/b"), error);
        EXPECT_EQ(last_kind_, Kind::unsafe);
        ASSERT_EQ(chmod((folder_ / row.folder).c_str(), 0755), 0);
    }
}

TEST_F(SafeFileAsRoot, StickyIsEnoughAboveAndNotDirectly) {
    folder_.make_folder("sticky", 01777);
    folder_.make_folder("sticky/mine");
    folder_.write("sticky/mine/file", "x");
    folder_.write("sticky/file", "x");
    EXPECT_EQ(read_error(folder_ / "sticky/mine/file"), "");
    EXPECT_EQ(folder_error(folder_ / "sticky/mine"), "");
    const std::string error =
        "T/sticky can be written by users other than its owner (owned by uid 0, mode 01777); use "
        "a directory that nobody else can write to";
    EXPECT_EQ(read_error(folder_ / "sticky/file"), error);
    EXPECT_EQ(folder_error(folder_ / "sticky"), error);
    ASSERT_EQ(chown((folder_ / "sticky").c_str(), 1234, 0), 0);
    EXPECT_EQ(read_error(folder_ / "sticky/mine/file"),
              "T/sticky is not owned by root (owned by uid 1234, mode 01777); run: chown -h root "
              "T/sticky");
}

// Files, folders, programs and links of other users are off.
TEST_F(SafeFileAsRoot, ForeignOwners) {
    folder_.make_folder("a");
    folder_.write("a/file", "x", 0755);
    const auto error = [](const std::string& path, const std::string& mode) {
        return path + " is not owned by root (owned by uid 1234, mode " + mode +
               "); run: chown -h root " + path;
    };
    ASSERT_EQ(chown((folder_ / "a/file").c_str(), 1234, 0), 0);
    EXPECT_EQ(read_error(folder_ / "a/file"), error("T/a/file", "0755"));
    EXPECT_EQ(execute_error(folder_ / "a/file"), error("T/a/file", "0755"));
    EXPECT_EQ(error_of(open_safe(folder_ / "a/file", 1234, Use::read)), "");  // its own guard
    EXPECT_EQ(
        error_of(open_safe(folder_ / "a/file", 1235, Use::read)),
        "T/a/file is not owned by root or uid 1235 (owned by uid 1234, mode 0755); run: chown "
        "-h 1235 T/a/file");
    ASSERT_EQ(chown((folder_ / "a/file").c_str(), 0, 0), 0);
    ASSERT_EQ(chown((folder_ / "a").c_str(), 1234, 0), 0);
    EXPECT_EQ(read_error(folder_ / "a/file"), error("T/a", "0755"));
    EXPECT_EQ(folder_error(folder_ / "a"), error("T/a", "0755"));
    ASSERT_EQ(chown((folder_ / "a").c_str(), 0, 0), 0);
    ASSERT_EQ(symlink("a/file", (folder_ / "link").c_str()), 0);
    ASSERT_EQ(lchown((folder_ / "link").c_str(), 1234, 0), 0);
    EXPECT_EQ(execute_error(folder_ / "link"), error("T/link", "0777"));
}

// What is no regular file is not even opened: a FIFO blocks nobody.
// Where a socket is made: what is in a sticky folder can't be taken away by others.
TEST_F(SafeFile, APlaceMayBeStickyAndNobodyElses) {
    const auto place_error = [this](const std::string& path) {
        const auto checked = check_safe_place(path, owner_);
        return checked ? "" : error_of(Unexpected(checked.error()));
    };
    EXPECT_EQ(place_error("/tmp"), "");
    EXPECT_EQ(place_error(folder_.path()), "");
    for (const mode_t mode : {0775U, 0757U}) {
        const std::string path = folder_.make_folder(std::to_string(mode), mode);
        EXPECT_NE(place_error(path).find("can be written by users other than its owner"),
                  std::string::npos);
        EXPECT_NE(place_error(path + "/none").find("can be written by users other than its owner"),
                  std::string::npos);
        ASSERT_EQ(chmod(path.c_str(), mode | S_ISVTX), 0);
        EXPECT_EQ(place_error(path), "");
    }
    EXPECT_EQ(place_error(folder_.write("file", "x")), "T/file can't be opened: Not a directory");
    EXPECT_EQ(place_error(folder_ / "none"),
              "T/none does not exist; create it or correct the path");
    if (geteuid() != 0) return;
    for (const mode_t mode : {0755U, 01777U}) {
        const std::string path = folder_.make_folder("foreign" + std::to_string(mode), mode);
        ASSERT_EQ(chown(path.c_str(), 1234, 0), 0);
        ASSERT_EQ(chmod(path.c_str(), mode), 0);
        EXPECT_NE(place_error(path).find("is not owned by root (owned by uid 1234"),
                  std::string::npos);
    }
}

TEST_F(SafeFile, SpecialFiles) {
    ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0644), 0);
    EXPECT_EQ(read_error(folder_ / "fifo"),
              "T/fifo is not a regular file; put a regular file there");
    EXPECT_EQ(last_kind_, Kind::unsafe);
    folder_.make_folder("folder");
    EXPECT_EQ(read_error(folder_ / "folder"), "T/folder is a directory; a regular file is needed");
    EXPECT_EQ(read_error("/"), "/ is a directory; a regular file is needed");
    EXPECT_EQ(execute_error("/dev/null"),
              "/dev/null is not a regular file; put a regular file there");
}

TEST_F(SafeFile, AProgramIsExecutableAndNotOpenedForReading) {
    folder_.write("program", "x", 0755);
    auto program = open_safe(folder_ / "program", owner_, Use::execute);
    ASSERT_TRUE(program);
    EXPECT_EQ(fcntl(program->get(), F_GETFL) & O_PATH, O_PATH);
    folder_.write("text", "x", 0644);
    EXPECT_EQ(execute_error(folder_ / "text"), "T/text is not executable (owned by uid " + me_ +
                                                   ", mode 0644); run: chmod +x T/text");
}

TEST_F(SafeFile, ReadingIsBoundedAndTotal) {
    const std::string path = folder_.write("a", std::string(40000, 'x'));
    const auto file = [&] { return open_safe(path, owner_, Use::read).value(); };
    EXPECT_EQ(read_unchanged(file().get(), 40000).value().size(), 40000U);
    EXPECT_EQ(read_unchanged(file().get(), 39999).error().message,
              "is longer than 39999 bytes; make it shorter");
}

// What was opened is read: a file that is replaced meanwhile is old or new, never both.
TEST_F(SafeFile, AReplacedFileIsOldOrNew) {
    const std::string path = folder_.write("a", "old");
    const UniqueFd file = open_safe(path, owner_, Use::read).value();
    folder_.write("b", "newer");
    ASSERT_EQ(rename((folder_ / "b").c_str(), path.c_str()), 0);
    EXPECT_EQ(read_unchanged(file.get(), 100).value(), "old");
    EXPECT_EQ(read_unchanged(open_safe(path, owner_, Use::read)->get(), 100).value(), "newer");
}

// What is read must be as long as the file says before and after; of a file in /proc it is not.
TEST_F(SafeFile, AFileThatChangesWhileItIsReadIsNotBelieved) {
    const UniqueFd file(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(file);
    EXPECT_EQ(read_unchanged(file.get(), 100000).error().message,
              "changed while it was being read; reload once it is completely written");
    EXPECT_EQ(read_unchanged(-1, 100).error().message, "can't be read: Bad file descriptor");
}

}  // namespace
}  // namespace postern::policy
