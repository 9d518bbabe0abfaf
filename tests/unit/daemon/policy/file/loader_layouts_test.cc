// How tools lay out directories of action files: with links, with hard links, and with what they
// leave behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "daemon/policy/file/loader.h"
#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

class Layouts : public testing::Test {
  protected:
    Layouts() { actions_ = root_.make_folder("actions"); }

    Snapshot load_all() {
        LoadOptions options = own_options();
        options.folders = {root_ / "vendor", actions_};
        auto snapshot = load(options);
        if (!snapshot) {
            ADD_FAILURE() << snapshot.error().message;
            return {};
        }
        return std::move(snapshot).value();
    }
    // "a=one b=two" where the summaries say so.
    static std::string in_force(const Snapshot& snapshot) {
        std::string text;
        for (const auto& [name, action] : snapshot.actions) {
            text += (text.empty() ? "" : " ") + name + '=' + action.description.summary;
        }
        return text;
    }
    // With the temporary directory as T.
    [[nodiscard]] std::string shorten(std::string text) const {
        for (std::size_t at = 0; (at = text.find(root_.path())) != std::string::npos;) {
            text.replace(at, root_.path().size(), "T");
        }
        return text;
    }
    [[nodiscard]] std::string bad(const Snapshot& snapshot) const {
        std::string text;
        for (const BadFile& file : snapshot.bad) {
            text += (text.empty() ? "" : "\n") + file.action + "> " + file.message;
        }
        return shorten(text);
    }
    [[nodiscard]] std::string passed_over(const Snapshot& snapshot) const {
        std::string text;
        for (const PassedOver& file : snapshot.passed_over) {
            text += (text.empty() ? "" : "\n") + file.message;
        }
        return shorten(text);
    }
    // What is said of actions/a.json, which leads there.
    std::string said_of_link(const std::string& target) {
        point("actions/a.json", target);
        const Snapshot snapshot = load_all();
        EXPECT_EQ(snapshot.actions.size() + snapshot.bad.size(), 1U);
        return snapshot.bad.empty() ? in_force(snapshot) : bad(snapshot);
    }
    static std::string text(const std::string& summary) {
        return "{\"summary\": \"" + summary + "\", \"exec\": [\"/usr/bin/true\"], \"allow\": []}";
    }
    // A link, in place of what is there.
    void point(const std::string& name, const std::string& target) const {
        const std::string fresh = root_ / "fresh";
        ASSERT_EQ(symlink(target.c_str(), fresh.c_str()), 0);
        ASSERT_EQ(rename(fresh.c_str(), (root_ / name).c_str()), 0);
    }
    void link_hard(const std::string& file, const std::string& name) const {
        ASSERT_EQ(link((root_ / file).c_str(), (root_ / name).c_str()), 0);
    }

    TemporaryDirectory root_;
    std::string actions_;
    std::string me_ = std::to_string(geteuid());
};

// Kubernetes: the files are links through one link, which is replaced when the content changes.
TEST_F(Layouts, ConfigMap) {
    root_.make_folder("actions/..2026_01");
    root_.write("actions/..2026_01/a.json", text("one"));
    root_.write("actions/..2026_01/b.json", text("one"));
    point("actions/..data", "..2026_01");
    point("actions/a.json", "..data/a.json");
    point("actions/b.json", "..data/b.json");
    EXPECT_EQ(in_force(load_all()), "a=one b=one");

    root_.make_folder("actions/..2026_02");
    root_.write("actions/..2026_02/a.json", text("two"));
    point("actions/..data", "..2026_02");
    const Snapshot snapshot = load_all();
    EXPECT_EQ(in_force(snapshot), "a=two");
    EXPECT_EQ(bad(snapshot),
              "b> T/actions/b.json: is a symbolic link, and T/actions/..2026_02/b.json does not "
              "exist; create it, or run: rm T/actions/b.json");
    ASSERT_EQ(unlink((actions_ + "/b.json").c_str()), 0);
    EXPECT_EQ(bad(load_all()), "");
}

// While it is replaced, what is read is the old or the new, and nothing is bad.
TEST_F(Layouts, AConfigMapIsReplacedWhileItIsRead) {
    const auto fill = [&](const std::string& folder) {
        root_.make_folder("actions/" + folder);
        for (const char* name : {"a", "b", "c", "d"}) {
            root_.write("actions/" + folder + '/' + name + ".json", text("s"));
        }
    };
    fill("..0");
    point("actions/..data", "..0");
    for (const char* name : {"a", "b", "c", "d"}) {
        point("actions/" + std::string(name) + ".json", "..data/" + std::string(name) + ".json");
    }
    std::atomic<bool> done = false;
    std::thread replacing([&] {
        for (int i = 1; !done; ++i) {
            fill(".." + std::to_string(i));
            point("actions/..data", ".." + std::to_string(i));
            std::filesystem::remove_all(root_ / ("actions/.." + std::to_string(i - 1)));
        }
    });
    for (int i = 0; i < 100; ++i) {
        const Snapshot snapshot = load_all();
        EXPECT_EQ(in_force(snapshot), "a=s b=s c=s d=s");
        EXPECT_EQ(bad(snapshot), "");
    }
    done = true;
    replacing.join();
}

// stow(8) links files, or a whole directory, to where a package of them lies.
TEST_F(Layouts, Stow) {
    root_.make_folder("stow");
    root_.make_folder("stow/web");
    root_.write("stow/web/a.json", text("stowed"));
    root_.write("actions/b.json", text("plain"));
    point("actions/a.json", "../stow/web/a.json");
    Snapshot snapshot = load_all();
    EXPECT_EQ(in_force(snapshot), "a=stowed b=plain");
    EXPECT_EQ(bad(snapshot), "");
    EXPECT_EQ(snapshot.actions.at("a").file, actions_ + "/a.json");

    point("vendor", "stow/web");  // the directory itself
    ASSERT_EQ(unlink((actions_ + "/a.json").c_str()), 0);
    EXPECT_EQ(in_force(load_all()), "a=stowed b=plain");

    // A package may switch an action off, as a file may.
    point("stow/null", "/dev/null");
    point("actions/a.json", "../stow/null");
    snapshot = load_all();
    EXPECT_EQ(in_force(snapshot), "b=plain");
    EXPECT_EQ(bad(snapshot), "");
}

// ostree's files of /usr are hard links into its repository of objects.
TEST_F(Layouts, Ostree) {
    root_.make_folder("objects");
    root_.write("objects/8f3c.file", text("deployed"));
    root_.make_folder("deploy");
    link_hard("objects/8f3c.file", "deploy/a.json");
    link_hard("objects/8f3c.file", "deploy/b.json");
    point("vendor", "deploy");
    const Snapshot snapshot = load_all();
    EXPECT_EQ(in_force(snapshot), "a=deployed b=deployed");
    EXPECT_EQ(bad(snapshot), "");
}

TEST_F(Layouts, ALinkIsFollowedWhereNobodyElseCanChangeItsWay) {
    root_.make_folder("safe");
    root_.write("safe/a", text("s"));
    EXPECT_EQ(said_of_link("../safe/a"), "a=s");
    EXPECT_EQ(said_of_link(root_ / "safe/../safe/a"), "a=s");
    const std::string begin = "a> T/actions/a.json: is a symbolic link, and ";
    const auto mode = [&](const char* octal) {
        return " can be written by users other than its owner (owned by uid " + me_ + ", mode " +
               octal + "); run: chmod go-w ";
    };
    root_.write("safe/writable", text("s"), 0664);
    EXPECT_EQ(said_of_link("../safe/writable"),
              begin + "T/safe/writable" + mode("0664") + "T/safe/writable");
    root_.make_folder("open", 0777);
    root_.write("open/a", text("s"));
    EXPECT_EQ(said_of_link("../open/a"), begin + "T/open" + mode("0777") + "T/open");
    EXPECT_EQ(said_of_link("../open/../safe/a"), begin + "T/open" + mode("0777") + "T/open");
    point("open/way", "../safe");
    EXPECT_EQ(said_of_link("../open/way/a"), begin + "T/open" + mode("0777") + "T/open");
}

TEST_F(Layouts, ALinkToWhatIsNoFile) {
    const std::string begin = "a> T/actions/a.json: is a symbolic link, and ";
    ASSERT_EQ(mkfifo((root_ / "fifo").c_str(), 0644), 0);
    EXPECT_EQ(said_of_link("../fifo"),
              begin + "T/fifo is not a regular file; put a regular file there");
    EXPECT_EQ(said_of_link("/dev/zero"),
              begin + "/dev/zero is not a regular file; put a regular file there");
    root_.make_folder("folder");
    EXPECT_EQ(said_of_link("../folder"),
              begin + "T/folder is a directory; a regular file is needed");
    EXPECT_EQ(said_of_link("/"), begin + "/ is a directory; a regular file is needed");
    EXPECT_EQ(said_of_link("."), begin + "T/actions is a directory; a regular file is needed");
    EXPECT_EQ(said_of_link("../none"), begin +
                                           "T/none does not exist; create it, or run: "
                                           "rm T/actions/a.json");
    const std::string remove = "; correct the link, or run: rm T/actions/a.json";
    root_.write("file", text("s"));
    EXPECT_EQ(said_of_link("../file/x"),
              begin + "T/file can't be opened: Not a directory" + remove);
    EXPECT_EQ(said_of_link("../file/"), begin + "T/file can't be opened: Not a directory" + remove);
    EXPECT_EQ(said_of_link("a.json"), begin +
                                          "T/actions/a.json can't be opened: Too many levels of "
                                          "symbolic links" +
                                          remove);
}

// As many as the kernel follows.
TEST_F(Layouts, ALongRowOfLinks) {
    root_.write("0", text("s"));
    for (int i = 1; i <= 60; ++i) point(std::to_string(i), std::to_string(i - 1));
    struct stat status{};
    EXPECT_EQ(said_of_link("../39"), "a=s");
    EXPECT_EQ(stat((actions_ + "/a.json").c_str(), &status), 0);
    for (const char* target : {"../40", "../60"}) {
        EXPECT_NE(said_of_link(target).find("can't be opened: Too many levels of symbolic links"),
                  std::string::npos);
        EXPECT_EQ(stat((actions_ + "/a.json").c_str(), &status), -1);
    }
}

// The text of such a link is followed and judged, never what the kernel would take for it.
TEST_F(Layouts, LinksOfProc) {
    root_.make_folder("open", 0777);
    root_.write("open/a", text("s"));
    const int file = ::open((root_ / "open/a").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(file, 0);
    const std::string way = "/proc/self/fd/" + std::to_string(file);
    EXPECT_NE(said_of_link(way).find("T/open can be written by users other than its owner"),
              std::string::npos);
    ASSERT_EQ(unlink((root_ / "open/a").c_str()), 0);
    EXPECT_NE(said_of_link(way).find("is a symbolic link, and T/open "), std::string::npos);
    EXPECT_NE(said_of_link("/proc/self/root" + root_.path() + "/open/a").find("T/open can be "),
              std::string::npos);
    EXPECT_EQ(said_of_link("/proc/self/status"),
              "a> T/actions/a.json: changed while it was being read; reload once it is completely "
              "written");
    close(file);
}

TEST_F(Layouts, OthersLinksAndFilesAreOff) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root to give files away";
    const auto give = [&](const std::string& name) {
        ASSERT_EQ(lchown((root_ / name).c_str(), 1234, 0), 0);
    };
    const auto begun = [](const std::string& path, const char* mode) {
        return "a> T/actions/a.json: is a symbolic link, and " + path +
               " is not owned by root (owned by uid 1234, mode " + mode + "); run: chown -h root " +
               path;
    };
    root_.write("file", text("s"));
    give("file");
    EXPECT_EQ(said_of_link("../file"), begun("T/file", "0644"));
    root_.make_folder("theirs");
    root_.write("theirs/file", text("s"));
    give("theirs");
    EXPECT_EQ(said_of_link("../theirs/file"), begun("T/theirs", "0755"));
    // The link itself, and one in a place where everybody can make one.
    root_.write("good", text("s"));
    point("actions/a.json", "../good");
    give("actions/a.json");
    EXPECT_EQ(bad(load_all()), begun("T/actions/a.json", "0777"));
    root_.make_folder("sticky", 01777);
    root_.make_folder("safe");
    root_.write("safe/a", text("s"));
    point("sticky/way", "../safe");
    EXPECT_EQ(said_of_link("../sticky/way/a"), "a=s");  // nobody else can replace that one
    give("sticky/way");
    EXPECT_EQ(said_of_link("../sticky/way/a"), begun("T/sticky/way", "0777"));
    root_.write("sticky/a", text("s"));
    EXPECT_EQ(said_of_link("../sticky/a"),
              "a> T/actions/a.json: is a symbolic link, and T/sticky can be written by users "
              "other than its owner (owned by uid 0, mode 01777); use a directory that nobody else "
              "can write to");
    // Of a user's own daemon they are.
    LoadOptions options = user_options();
    options.owner = 1234;
    options.folders = {actions_};
    point("actions/a.json", "../file");
    give("actions/a.json");
    give("actions");
    give("");
    const auto snapshot = load(options);
    ASSERT_TRUE(snapshot);
    EXPECT_EQ(bad(*snapshot), "");
    EXPECT_EQ(in_force(*snapshot), "a=s");
}

// What others leave is no file of ours, whatever its name ends in, and wherever it leads.
TEST_F(Layouts, WhatEditorsAndPackagersLeave) {
    for (const char* name : {".web.json", ".json", ".web.json.swp", "web.json~", "#web.json#",
                             "web.json.dpkg-new", "web.json.rpmsave", "web.json.ucf-old"}) {
        root_.write("actions/" + std::string(name), "not even JSON", 0666);
    }
    point("actions/.#web.json", "ada@host.4711:1790000000");
    root_.make_folder("actions/..2026_01");
    root_.make_folder("actions/.git.json");
    const Snapshot snapshot = load_all();
    EXPECT_EQ(in_force(snapshot), "");
    EXPECT_EQ(bad(snapshot), "");
    EXPECT_EQ(passed_over(snapshot), "");
}

TEST_F(Layouts, WhatSomebodyMayHaveMeantIsTold) {
    root_.write("actions/b.json", text("s"));
    for (const char* name : {"a.JSON", "b.conf", "\x1b"}) {
        root_.write("actions/" + std::string(name), "{");
    }
    root_.make_folder("actions/sub");
    root_.make_folder("vendor");
    root_.write("vendor/b.jsonc", "{");
    point("actions/more", "../vendor");
    const Snapshot snapshot = load_all();
    EXPECT_EQ(in_force(snapshot), "b=s");
    EXPECT_EQ(bad(snapshot), "");
    const std::string name = ": is ignored, because its name does not end in .json; ";
    const std::string folder =
        ": is ignored, because it is a directory; move the files in it to T/actions";
    EXPECT_EQ(passed_over(snapshot),
              "T/actions/\\u001b" + name + "give it a name that ends in .json\n" +  //
                  "T/actions/a.JSON" + name + "rename it to a.json\n" +             //
                  "T/actions/b.conf" + name +
                  "b.json exists too; move this one elsewhere, or give it another name that ends "
                  "in .json\n" +
                  "T/actions/more" + folder + "\n" +  //
                  "T/actions/sub" + folder + "\n" +   //
                  "T/vendor/b.jsonc" + name + "rename it to b.json");
    EXPECT_EQ(snapshot.passed_over[1].file, actions_ + "/a.JSON");
}

// A directory in which something else lies is named, and not all of it.
TEST_F(Layouts, NotAllThatIsPassedOverIsTold) {
    for (int i = 0; i < 20; ++i) root_.write("actions/" + std::to_string(100 + i), "");
    EXPECT_EQ(load_all().passed_over.size(), 20U);
    for (int i = 20; i < 50; ++i) root_.write("actions/" + std::to_string(100 + i), "");
    const Snapshot snapshot = load_all();
    ASSERT_EQ(snapshot.passed_over.size(), 21U);
    EXPECT_EQ(shorten(snapshot.passed_over[0].message),
              "T/actions: 30 more files are ignored; move them elsewhere");
    EXPECT_EQ(snapshot.passed_over[20].file, actions_ + "/119");
}

// A file that is removed while its directory is read is off, and not bad.
TEST_F(Layouts, WhatVanishesWhileItIsRead) {
    root_.write("actions/b.json", text("s"));
    std::atomic<bool> done = false;
    std::thread changing([&] {
        while (!done) {
            for (const char* name : {"a", "c", "d", "e"}) {
                const std::string path = actions_ + "/" + name + ".json";
                root_.write("fresh", text("s"));
                rename((root_ / "fresh").c_str(), path.c_str());
                unlink(path.c_str());
            }
        }
    });
    for (int i = 0; i < 200; ++i) {
        const Snapshot snapshot = load_all();
        EXPECT_TRUE(snapshot.actions.contains("b"));
        EXPECT_EQ(bad(snapshot), "");
    }
    done = true;
    changing.join();
}

}  // namespace
}  // namespace postern::policy
