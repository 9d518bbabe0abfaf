#include "daemon/policy/file/loader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "daemon/policy/change.h"
#include "daemon/policy/file/installed.h"
#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

class Loader : public testing::Test {
  protected:
    Loader() {
        vendor_ = root_.make_folder("vendor");
        local_ = root_.make_folder("local");
    }

    Snapshot load_both() {
        LoadOptions options = own_options();
        options.folders = {vendor_, local_};
        auto snapshot = load(options);
        if (!snapshot) {
            ADD_FAILURE() << snapshot.error().message;
            return {};
        }
        return std::move(snapshot).value();
    }
    // "a=vendor b=local" where the summaries say so.
    static std::string in_force(const Snapshot& snapshot) {
        std::string text;
        for (const auto& [name, action] : snapshot.actions) {
            text += (text.empty() ? "" : " ") + name + '=' + action.description.summary;
        }
        return text;
    }
    // Actions of the bad files, and their messages with the temporary folder as T.
    std::string bad(const Snapshot& snapshot) {
        std::string text;
        for (const BadFile& file : snapshot.bad) {
            text += (text.empty() ? "" : "\n") + file.action + "> " + file.message;
        }
        for (std::size_t at = 0; (at = text.find(root_.path())) != std::string::npos;) {
            text.replace(at, root_.path().size(), "T");
        }
        return text;
    }
    static std::string text(const std::string& summary) {
        return "{\"summary\": \"" + summary + "\", \"exec\": [\"/usr/bin/true\"], \"allow\": []}";
    }

    TemporaryDirectory root_;
    std::string vendor_;
    std::string local_;
};

TEST_F(Loader, LaterFoldersWin) {
    root_.write("vendor/a.json", text("vendor"));
    root_.write("vendor/b.json", text("vendor"));
    root_.write("local/b.json", text("local"));
    root_.write("local/c.json", text("local"));
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "a=vendor b=local c=local");
    EXPECT_EQ(bad(snapshot), "");
    EXPECT_EQ(snapshot.actions.at("b").file, local_ + "/b.json");
}

TEST_F(Loader, AMissingFolderIsEmptyAndTold) {
    EXPECT_TRUE(load_both().missing.empty());
    ASSERT_EQ(rmdir(local_.c_str()), 0);
    root_.write("vendor/a.json", text("vendor"));
    Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "a=vendor");
    ASSERT_EQ(snapshot.missing.size(), 1U);
    EXPECT_EQ(snapshot.missing[0].path, local_);
    EXPECT_EQ(snapshot.missing[0].message, local_ + ": no action is loaded from here, because " +
                                               local_ +
                                               " does not exist; create it or correct the path");
    ASSERT_EQ(unlink((vendor_ + "/a.json").c_str()), 0);
    ASSERT_EQ(rmdir(vendor_.c_str()), 0);
    snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "");
    EXPECT_EQ(snapshot.missing.size(), 2U);
}

// Packages that have no actions make no directory for them.
TEST_F(Loader, OfPackagesADirectoryMayBeMissingWithoutAWord) {
    LoadOptions options = own_options();
    options.folders = {"/usr/lib/postern/actions.d", local_};
    if (access(options.folders[0].c_str(), F_OK) == 0) GTEST_SKIP() << "there is one here";
    const auto snapshot = load(options);
    ASSERT_TRUE(snapshot);
    ASSERT_EQ(snapshot->missing.size(), 1U);
    EXPECT_EQ(snapshot->missing[0].path, options.folders[0]);
    EXPECT_EQ(snapshot->missing[0].message, "");
}

TEST_F(Loader, EmptyFilesAndLinksToNullMask) {
    root_.write("vendor/a.json", text("vendor"));
    root_.write("vendor/b.json", text("vendor"));
    root_.write("vendor/c.json", text("vendor"));
    root_.write("local/a.json", "");
    ASSERT_EQ(symlink("/dev/null", (local_ + "/b.json").c_str()), 0);
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "c=vendor");
    EXPECT_EQ(bad(snapshot), "");
}

// A bad file takes its own action off, also where an earlier folder has a good one, and no other.
TEST_F(Loader, ABadFileTakesOnlyItsOwnActionOff) {
    root_.write("vendor/a.json", text("vendor"));
    root_.write("vendor/b.json", text("vendor"));
    root_.write("local/b.json", "{\n  \"sumary\": 1}");
    root_.write("local/c.json", text("local"));
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "a=vendor c=local");
    ASSERT_EQ(snapshot.bad.size(), 1U);
    EXPECT_EQ(snapshot.bad[0].action, "b");
    EXPECT_EQ(snapshot.bad[0].file, local_ + "/b.json");
    EXPECT_EQ(snapshot.bad[0].message.find(
                  local_ + "/b.json:2:3: sumary: unknown key; did you mean \"summary\"?"),
              0U)
        << snapshot.bad[0].message;
}

TEST_F(Loader, ABadFileThatIsOverriddenDoesNotCount) {
    root_.write("vendor/a.json", "{");
    root_.write("local/a.json", text("local"));
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "a=local");
    EXPECT_EQ(bad(snapshot), "");
}

TEST_F(Loader, Names) {
    const std::string longest(64, 'x');
    for (const std::string name : {"web.restart", "9", "A_b-c.d", longest.c_str()}) {
        root_.write("local/" + name + ".json", text("s"));
    }
    for (const char* ignored :
         {"README", "a.json~", ".a.json.swp", ".json", ".a.json", "c.json.dpkg-old"}) {
        root_.write("local/" + std::string(ignored), "not even JSON");
    }
    Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "9=s A_b-c.d=s web.restart=s " + longest + "=s");
    EXPECT_EQ(bad(snapshot), "");

    const std::string too_long(65, 'x');
    const std::string bad_names[] = {"-a", "_a", "a b", "a\nb", "\u00e9", "a:b", too_long};
    for (const std::string& name : bad_names) root_.write("local/" + name + ".json", text("s"));
    snapshot = load_both();
    EXPECT_EQ(snapshot.actions.size(), 4U);
    EXPECT_EQ(snapshot.bad.size(), std::size(bad_names));
    for (const BadFile& file : snapshot.bad) {
        EXPECT_NE(file.message.find(
                      "is not a valid name for an action; use letters, digits, \".\", \"_\" and "
                      "\"-\", starting with a letter or digit, at most 64 characters"),
                  std::string::npos)
            << file.message;
        EXPECT_EQ(file.message.find('\n'), std::string::npos);
        EXPECT_EQ(file.file.find('\n'), std::string::npos);
    }
}

// Files that are writable, foreign or something else are off.
TEST_F(Loader, UnsafeFilesAreOff) {
    root_.write("local/good.json", text("s"));
    root_.write("local/writable.json", text("s"), 0664);
    root_.write("local/empty.json", "", 0666);
    ASSERT_EQ(mkfifo((local_ + "/fifo.json").c_str(), 0644), 0);
    root_.make_folder("local/folder.json");
    root_.write("local/long.json", text(std::string(65536, 'x')));
    const std::string me = std::to_string(geteuid());
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "good=s");
    const auto writable = [&me](const std::string& name) {
        return name + "> T/local/" + name +
               ".json: can be written by users other than its owner (owned by uid " + me +
               ", mode " + (name == "empty" ? "0666" : "0664") + "); run: chmod go-w T/local/" +
               name + ".json\n";
    };
    EXPECT_EQ(bad(snapshot),
              writable("empty") +
                  "fifo> T/local/fifo.json: is not a regular file; put a regular file there\n"
                  "folder> T/local/folder.json: is a directory; a regular file is needed\n"
                  "long> T/local/long.json: is longer than 65536 bytes; make it shorter\n" +
                  writable("writable").substr(0, writable("writable").size() - 1));
}

TEST_F(Loader, ForeignFilesAreOff) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
    root_.write("local/a.json", text("s"));
    ASSERT_EQ(chown((local_ + "/a.json").c_str(), 1234, 0), 0);
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "");
    EXPECT_EQ(
        bad(snapshot),
        "a> T/local/a.json: is not owned by root (owned by uid 1234, mode 0644); run: chown -h "
        "root T/local/a.json");
}

// A file that somebody else could put aside or in place is not believed, nor is one that it could
// mask.
TEST_F(Loader, AnUnsafeFolderTakesOffWhatItCouldMask) {
    root_.write("vendor/a.json", text("vendor"));
    root_.write("local/b.json", text("local"));
    ASSERT_EQ(chmod(local_.c_str(), 0777), 0);
    const std::string me = std::to_string(geteuid());
    Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "");
    EXPECT_EQ(bad(snapshot),
              "> T/local: is not safe, so no action from it is loaded: T/local can be written by "
              "users other than its owner (owned by uid " +
                  me +
                  ", mode 0777); run: chmod go-w T/local\n"
                  "a> T/vendor/a.json: is disabled, because T/local is not safe and could "
                  "mask it; correct that directory");

    // The other way round nothing can be masked.
    ASSERT_EQ(chmod(local_.c_str(), 0755), 0);
    ASSERT_EQ(chmod(vendor_.c_str(), 0777), 0);
    snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "b=local");
    ASSERT_EQ(snapshot.bad.size(), 1U);
    EXPECT_EQ(snapshot.bad[0].action, "");
    EXPECT_EQ(snapshot.bad[0].file, vendor_);
    EXPECT_EQ(snapshot.unsafe, std::vector<std::string>{vendor_});

    // Nor is what lies below a folder of which that holds.
    ASSERT_EQ(chmod(vendor_.c_str(), 0755), 0);
    ASSERT_EQ(chmod(root_.path().c_str(), 0777), 0);
    snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "");
    EXPECT_EQ(snapshot.bad.size(), 2U);
    ASSERT_EQ(chmod(root_.path().c_str(), 0700), 0);
}

// Its files are there still: they are off, and not removed.
TEST_F(Loader, WhatAnUnsafeFolderHeldIsOff) {
    root_.write("vendor/gone.json", text("s"));
    root_.write("local/a.json", text("s"));
    root_.write("local/b.json", text("s"));
    const Snapshot before = load_both();
    ASSERT_EQ(chmod(local_.c_str(), 0777), 0);
    ASSERT_EQ(unlink((vendor_ + "/gone.json").c_str()), 0);
    const Snapshot after = load_both();
    const Change change = change_between(before, after);
    EXPECT_EQ(change.off, (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(change.removed, std::vector<std::string>{"gone"});
    EXPECT_FALSE(change_between(after, after).any());
    ASSERT_EQ(chmod(local_.c_str(), 0755), 0);
    EXPECT_EQ(change_between(after, load_both()).added, (std::vector<std::string>{"a", "b"}));
}

TEST_F(Loader, EmptyFilesDisableTheirActions) {
    root_.write("vendor/a.json", text("vendor"));
    root_.write("local/a.json", "");
    root_.write("local/b.json", "");
    ASSERT_EQ(unlink((local_ + "/b.json").c_str()), 0);
    ASSERT_EQ(symlink("/dev/null", (local_ + "/b.json").c_str()), 0);
    const Snapshot snapshot = load_both();
    EXPECT_EQ(in_force(snapshot), "");
    EXPECT_EQ(bad(snapshot), "");
    EXPECT_EQ(snapshot.disabled,
              (std::vector<DisabledAction>{{"a", local_ + "/a.json"}, {"b", local_ + "/b.json"}}));
}

// Only the reader of the files knows whether the program itself is what is wrong.
TEST_F(Loader, AFileThatIsBadForItsProgramNamesIt) {
    const std::string program = root_ / "program";
    root_.write("local/a.json", R"({"summary": "s", "exec": [")" + program + R"("], "allow": []})");
    root_.write("local/b.json", "{");
    const Snapshot snapshot = load_both();
    ASSERT_EQ(snapshot.bad.size(), 2U);
    EXPECT_EQ(snapshot.bad[0].until, BadFile::Until::looked_up);
    EXPECT_EQ(snapshot.bad[0].program, program);
    EXPECT_EQ(snapshot.bad[1].until, BadFile::Until::changed);
    EXPECT_EQ(snapshot.bad[1].program, "");
}

// As the daemon judges what lies where it reads already; elsewhere the text alone counts.
TEST_F(Loader, WhatIsInstalledIsJudgedByItsOwnerAndMode) {
    const std::string file = root_.write("local/a.json", text("s"), 0666);
    EXPECT_TRUE(lies_in(file, local_));
    EXPECT_TRUE(lies_in(vendor_ + "/../local/a.json", local_ + "/"));
    EXPECT_FALSE(lies_in(file, vendor_));
    EXPECT_FALSE(lies_in(file, root_.path()));
    EXPECT_FALSE(lies_in(file, ""));
    const std::string me = "owned by uid " + std::to_string(geteuid()) + ", mode ";
    Status installed = check_installed(file, geteuid());
    ASSERT_FALSE(installed);
    EXPECT_EQ(installed.error().message, file + ": can be written by users other than its owner (" +
                                             me + "0666); run: chmod go-w " + file);
    ASSERT_EQ(chmod(file.c_str(), 0644), 0);
    EXPECT_TRUE(check_installed(file, geteuid()));
    ASSERT_EQ(chmod(local_.c_str(), 0777), 0);
    installed = check_installed(file, geteuid());
    ASSERT_FALSE(installed);
    EXPECT_EQ(installed.error().message, file + ": is not loaded, because " + local_ +
                                             " can be written by users other than its owner (" +
                                             me + "0777); run: chmod go-w " + local_);
    EXPECT_TRUE(check_installed(root_ / "nowhere.json", geteuid())) << "that is said elsewhere";
}

TEST_F(Loader, AFolderThatIsNoneIsAnError) {
    root_.write("file", "x");
    LoadOptions options = own_options();
    options.folders = {root_ / "file"};
    const auto snapshot = load(options);
    ASSERT_FALSE(snapshot);
    EXPECT_EQ(snapshot.error().message, (root_ / "file") + " can't be opened: Not a directory");
}

TEST_F(Loader, TooManyFilesAreAnError) {
    for (int i = 0; i < 1024; ++i) root_.write("local/a" + std::to_string(i) + ".json", "");
    LoadOptions options = own_options();
    options.folders = {local_};
    EXPECT_TRUE(load(options));
    root_.write("local/one-more.json", "");
    const auto snapshot = load(options);
    ASSERT_FALSE(snapshot);
    EXPECT_EQ(snapshot.error().message,
              "there are 1025 action files, more than the limit of 1024; remove some");
}

// After a reload exactly that is in force which a restart would put in force: loading keeps
// nothing.
TEST_F(Loader, LintIsAboutTheTextAndTheNameAlone) {
    const auto said = [&](const std::string& name) -> std::string {
        const auto action = lint(root_ / name, own_options());
        if (!action) return action.error().message.substr(root_.path().size());
        return *action ? (*action)->description.name : "masks";
    };
    root_.write("good.json", text("s"), 0666);  // load() would refuse it for its mode
    root_.write("mask.json", "");
    root_.write("bad.json", "{");
    root_.write("good.jsonc", text("s"));
    root_.write("a b.json", text("s"));
    root_.write("long.json", std::string(65537, ' '));
    root_.make_folder("folder.json");
    EXPECT_EQ(said("good.json"), "good");
    EXPECT_EQ(said("mask.json"), "masks");
    EXPECT_EQ(said("bad.json").find("/bad.json:1:2: the file ends before"), 0U) << said("bad.json");
    EXPECT_EQ(said("good.jsonc"),
              "/good.jsonc: the name does not end in .json, so it would be ignored; rename it");
    EXPECT_EQ(said("a b.json").find("/a b.json: \"a b\" is not a valid name for an action"), 0U);
    EXPECT_EQ(said("missing.json"), "/missing.json: can't be read: No such file or directory");
    EXPECT_EQ(said("folder.json"), "/folder.json: is not a regular file; name a file");
    EXPECT_EQ(said("long.json").find("/long.json: "), 0U);
}

TEST_F(Loader, LoadingAgainForgetsWhatWas) {
    root_.write("local/a.json", text("one"));
    EXPECT_EQ(in_force(load_both()), "a=one");
    root_.write("local/a.json", "{");
    EXPECT_EQ(in_force(load_both()), "");
    root_.write("local/a.json", text("two"));
    EXPECT_EQ(in_force(load_both()), "a=two");
    ASSERT_EQ(unlink((local_ + "/a.json").c_str()), 0);
    EXPECT_EQ(in_force(load_both()), "");
}

}  // namespace
}  // namespace postern::policy
