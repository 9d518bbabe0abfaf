#include "host/safe_program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

class SafeProgram : public testing::Test {
  protected:
    // The error's text with the temporary folder's path as T, or "" where it was opened.
    std::string error_of(const std::string& path) { return error_of(path, search_path_); }
    std::string error_of(const std::string& path, const std::string& search_path) {
        const auto opened = open_safe_program(path, geteuid(), search_path);
        if (opened) {
            EXPECT_EQ(fcntl(opened->get(), F_GETFL) & O_PATH, O_PATH);
            return "";
        }
        std::string text = opened.error().message;
        for (std::size_t at = 0; (at = text.find(folder_.path())) != std::string::npos;) {
            text.replace(at, folder_.path().size(), "T");
        }
        return text;
    }
    std::string script(const std::string& name, const std::string& text, mode_t mode = 0755) {
        return folder_.write(name, text, mode);
    }
    [[nodiscard]] std::string owned(mode_t mode) const {
        return "(owned by uid " + std::to_string(geteuid()) + ", mode 0" +
               std::string({static_cast<char>('0' + (mode >> 6U & 7U)),
                            static_cast<char>('0' + (mode >> 3U & 7U)),
                            static_cast<char>('0' + (mode & 7U))}) +
               ")";
    }

    TemporaryDirectory folder_;
    std::string search_path_ = folder_ / "bin" + ":/usr/bin";
};

// What the kernel itself makes of the file: the exit status, or -1 where it is not executed.
int run(const std::string& path) {
    const pid_t child = fork();
    if (child == 0) {
        execl(path.c_str(), path.c_str(), nullptr);
        _exit(126);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) != 126 ? WEXITSTATUS(status) : -1;
}

TEST_F(SafeProgram, WhatIsNoScriptIsJudgedByItself) {
    EXPECT_EQ(error_of("/bin/true"), "");
    EXPECT_EQ(error_of(script("empty", "")), "");
    EXPECT_EQ(error_of(script("other", "# !/nowhere\n")), "");
    EXPECT_EQ(error_of(script("loose", "#!/bin/sh\n", 0775)),
              "T/loose can be written by users other than its owner " + owned(0775) +
                  "; run: chmod go-w T/loose");
}

TEST_F(SafeProgram, WindowsLineEndsAreNamed) {
    const auto said = [](const std::string& name) {
        return "T/" + name +
               " has Windows line endings (CR LF), so its interpreter is not found; run: "
               "sed "
               "-i 's/\\r$//' T/" +
               name;
    };
    const std::string plain = script("plain", "#!/bin/sh\r\nexit 3\r\n");
    EXPECT_EQ(run(plain), -1);
    EXPECT_EQ(error_of(plain), said("plain"));
    EXPECT_EQ(error_of(script("env", "#!/usr/bin/env sh\r\nexit 3\r\n")), said("env"));
    // Behind an argument it is the interpreter's own matter.
    EXPECT_EQ(error_of(script("argument", "#!/bin/sh -e\r\n")), "");
}

TEST_F(SafeProgram, WhatIsNoProgramIsNamed) {
    const auto problem = [this](const std::string& path) {
        const auto opened = open_safe_program(path, geteuid(), search_path_);
        return opened ? format_problem(*opened, "T") : opened.error().message;
    };
    const std::string said =
        "T is neither a script with #! in its first line nor an ELF program, so Linux can't start "
        "it; write for example #!/bin/sh as its first line";
    const std::string lines = script("lines", "echo hi\n");
    EXPECT_EQ(run(lines), -1);
    EXPECT_EQ(problem(lines), said);
    EXPECT_EQ(problem(script("mark", "\xEF\xBB\xBF#!/bin/sh\n")), said);
    EXPECT_EQ(problem(script("later", "\n#!/bin/sh\n")), said);
    EXPECT_EQ(problem(script("good", "#!/bin/sh\n")), "");
    EXPECT_EQ(problem("/bin/true"), "");
}

TEST_F(SafeProgram, AnInterpreterIsJudgedLikeTheProgram) {
    EXPECT_EQ(error_of(script("good", "#!/bin/sh\n")), "");
    EXPECT_EQ(error_of(script("good", "#! \t/bin/sh -e -u \nx")), "");
    EXPECT_EQ(error_of(script("good", "#!/bin/sh")), "");

    folder_.write("loose", "x", 0757);
    EXPECT_EQ(
        error_of(script("a", "#!" + folder_ / "loose" + "\n")),
        "T/a is started by T/loose, as its first line says: T/loose can be written by users other "
        "than its owner " +
            owned(0757) + "; run: chmod go-w T/loose");
    folder_.make_folder("open", 0777);
    folder_.write("open/sh", "x", 0755);
    EXPECT_EQ(error_of(script("a", "#!" + folder_ / "open/sh" + " -e\n")),
              "T/a is started by T/open/sh, as its first line says: T/open can be written by "
              "users other than its owner " +
                  owned(0777) + "; run: chmod go-w T/open");
    EXPECT_EQ(error_of(script("a", "#!/no/such\n")),
              "T/a is started by /no/such, as its first line says: /no does not exist; create it "
              "or correct the path");
    EXPECT_EQ(error_of(script("a", "#!/bin/sh\r\n")),
              "T/a has Windows line endings (CR LF), so its interpreter is not found; run: "
              "sed -i "
              "'s/\\r$//' T/a");
    EXPECT_EQ(error_of(script("a", "#!sh\n")),
              "T/a is started by sh, as its first line says: sh is not an absolute "
              "path; start it with /");
    EXPECT_EQ(error_of(script("a", "#!" + folder_.make_folder("bin") + "\n")),
              "T/a is started by T/bin, as its first line says: T/bin is a directory; a regular "
              "file is needed");
    if (geteuid() != 0) return;
    folder_.write("foreign", "x", 0755);
    ASSERT_EQ(chown((folder_ / "foreign").c_str(), 1234, 0), 0);
    EXPECT_EQ(error_of(script("a", "#!" + folder_ / "foreign" + "\n")),
              "T/a is started by T/foreign, as its first line says: T/foreign is not owned by root "
              "(owned by uid 1234, mode 0755); run: chown -h root T/foreign");
}

// Where the kernel executes nothing, there is nothing to be judged, and nothing is let pass.
TEST_F(SafeProgram, TheFirstLineIsReadAsTheKernelReadsIt) {
    const std::string none = "T/a names no interpreter in its first line; write one after \"#!\"";
    const std::string cut =
        "T/a names in its first line an interpreter whose path is too long for Linux; "
        "move the interpreter";
    const std::string slashes(246, '/');  // with "#!" and "bin/true" 256 bytes
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"#!/bin/true", ""},
        {"#!/bin/true\n", ""},
        {"#!   /bin/true   \n", ""},
        {"#!\t/bin/true\targument\n", ""},
        {std::string("#!/bin/true\0/bin/no\n", 20), ""},
        {"#!/bin/true " + std::string(400, 'x') + "\n", ""},
        {"#!" + std::string(244, ' ') + "/bin/true\n", ""},
        {"#!" + slashes.substr(1) + "bin/true\n", ""},
        {"#!" + slashes.substr(1) + "bin/true x", ""},
        {"#!" + slashes + "bin/true\n", cut},
        {"#!" + slashes + "bin/true x\n", cut},
        {"#!", none},
        {"#!\n/bin/true\n", none},
        {"#! \t\n", none},
        {"#!" + std::string(300, ' ') + "/bin/true\n", none},
    };
    for (const auto& [text, error] : rows) {
        const std::string path = script("a", text);
        EXPECT_EQ(error_of(path), error) << text;
        EXPECT_EQ(run(path), error.empty() ? 0 : -1) << text;
    }
}

TEST_F(SafeProgram, FourInterpretersAndNoMoreAreFollowed) {
    script("1", "#!/bin/true\n");
    for (int i = 2; i <= 5; ++i) {
        script(std::to_string(i), "#!" + folder_ / std::to_string(i - 1) + "\n");
    }
    EXPECT_EQ(error_of(folder_ / "4"), "");
    EXPECT_EQ(run(folder_ / "4"), 0);
    EXPECT_EQ(error_of(folder_ / "5"),
              "T/5 is started by T/4, as its first line says: T/4 is started by T/3, as its first "
              "line says: T/3 is started by T/2, as its first line says: T/2 is started by T/1, as "
              "its first line says: T/1 is the fifth script in a chain of interpreters, and Linux "
              "follows only four; name the interpreter of the last one");
    ASSERT_EQ(chmod((folder_ / "1").c_str(), 0775), 0);
    EXPECT_EQ(error_of(folder_ / "3"),
              "T/3 is started by T/2, as its first line says: T/2 is started by T/1, as its first "
              "line says: T/1 can be written by users other than its owner " +
                  owned(0775) + "; run: chmod go-w T/1");
    script("circle", "#!" + folder_ / "circle" + "\n");
    EXPECT_NE(error_of(folder_ / "circle").find("is the fifth script in a chain"),
              std::string::npos);
}

TEST_F(SafeProgram, WhatEnvFindsIsJudgedToo) {
    folder_.make_folder("bin");
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env true\n")), "");
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env -S true --flag x\n")), "");
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env -Strue\n")), "");
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env /bin/true\n")), "");
    const std::string found = "T/a is started by /usr/bin/env, which looks for \"";
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env no-such-program\n")),
              found +
                  "no-such-program\" in PATH: it is not in any of those "
                  "directories; install it, or name the interpreter by its path in the first line");
    // One word, whatever blanks are in it.
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env true -x\n")),
              found +
                  "true -x\" in PATH: it is not in any of those directories; install it, or name "
                  "the interpreter by its path in the first line");

    folder_.write("bin/tool", "#!/bin/sh\n", 0755);
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env tool\n")), "");
    folder_.write("bin/tool", "#!/no\n", 0755);
    EXPECT_EQ(error_of(folder_ / "a"),
              found +
                  "tool\" in PATH: T/bin/tool is started by /no, as its first line says: /no "
                  "does not exist; create it or correct the path");
    folder_.write("bin/tool", "x", 0775);
    EXPECT_EQ(error_of(folder_ / "a"),
              found + "tool\" in PATH: T/bin/tool can be written by users other than its owner " +
                  owned(0775) + "; run: chmod go-w T/bin/tool");
    folder_.write("bin/circle", "#!/usr/bin/env circle\n", 0755);
    EXPECT_NE(error_of(folder_ / "bin/circle").find("is the fifth script in a chain"),
              std::string::npos);
    // A second one counts where the first can't be executed by the job's user.
    folder_.make_folder("second");
    folder_.write("second/true", "x", 0757);
    EXPECT_EQ(error_of(script("a", "#!/usr/bin/env true\n"), "/usr/bin:" + folder_ / "second"),
              found +
                  "true\" in PATH: T/second/true can be written by users other than its owner " +
                  owned(0757) + "; run: chmod go-w T/second/true");
}

// Not only what is there: what others could put there as well.
TEST_F(SafeProgram, TheDirectoriesOfPathAreJudged) {
    folder_.make_folder("bin");
    script("a", "#!/usr/bin/env true\n");
    const std::string found = "T/a is started by /usr/bin/env, which looks for \"true\" in PATH: ";
    const auto with = [&](const std::string& first) {
        return error_of(folder_ / "a", first + ":/usr/bin");
    };
    EXPECT_EQ(with("/no/such/directory"), "");
    EXPECT_EQ(with(folder_ / "none"), "");
    EXPECT_EQ(with("bin"), found + "bin/true is not an absolute path; start it with /");
    EXPECT_EQ(with(""), found + "true is not an absolute path; start it with /");
    folder_.make_folder("open", 0777);
    const std::string open = found + "T/open can be written by users other than its owner " +
                             owned(0777) + "; run: chmod go-w T/open";
    EXPECT_EQ(with(folder_ / "open"), open);
    EXPECT_EQ(with(folder_ / "open/none"), open);
    ASSERT_EQ(symlink((folder_ / "open/none").c_str(), (folder_ / "link").c_str()), 0);
    EXPECT_EQ(with(folder_ / "link"), open);
    // In /tmp nobody can replace what is there, but everybody can make what is not.
    EXPECT_EQ(with("/tmp"),
              found +
                  "/tmp can be written by users other than its owner (owned by uid 0, "
                  "mode 01777); use a directory that nobody else can write to");
    EXPECT_EQ(with("/tmp/postern-none"),
              found +
                  "/tmp can be written by users other than its owner (owned by uid 0, mode 01777); "
                  "use a directory that nobody else can write to");
}

TEST_F(SafeProgram, EnvThatCanNotBeFollowedIsRefused) {
    folder_.make_folder("bin");
    for (const char* const argument :
         {"", "-i", "-S", "-i true", "-S -i true", "-S A=1 true", "PATH=/x", "-S 'true'",
          "-S tr\\ue", "-S ${HOME}/true", "--split-string=true", "-vS true"}) {
        EXPECT_EQ(error_of(script("a", "#!/usr/bin/env " + std::string(argument) + "\n")),
                  "T/a is started by /usr/bin/env in a way that can't be followed (\"" +
                      std::string(argument) +
                      "\"); name the interpreter by its path in the first line");
    }
}

// Root reads it all the same, where it has the capability that reads everything.
TEST_F(SafeProgram, WhatAnOrdinaryUserCanNotReadIsNoScriptOfIts) {
    script("a", "#!/no\n", 0311);
    EXPECT_EQ(error_of(folder_ / "a"),
              geteuid() != 0 ? ""
                             : "T/a is started by /no, as its first line says: /no does not exist; "
                               "create it or correct the path");
}

}  // namespace
}  // namespace postern
