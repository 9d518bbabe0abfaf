// Whether a job's user may execute its program.
#include "host/program_access.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "tests/unit/temporary_directory.h"

namespace postern {
namespace {

constexpr uid_t access_stranger = 64001;
constexpr gid_t access_group = 64002;

class ProgramAccess : public testing::Test {
  protected:
    [[nodiscard]] std::string said(uid_t uid = access_stranger, gid_t gid = access_stranger) const {
        std::string text = program_access_problem(program_, uid, {gid});
        for (std::size_t at = 0; (at = text.find(folder_.path())) != std::string::npos;) {
            text.replace(at, folder_.path().size(), "T");
        }
        return text;
    }
    void set_mode(mode_t mode) const { ASSERT_EQ(::chmod(program_.c_str(), mode), 0); }
    [[nodiscard]] static std::string owned(const std::string& mode) {
        return " (owned by uid " + std::to_string(::geteuid()) + ", mode " + mode + ")";
    }

    const TemporaryDirectory folder_{0755};
    const std::string program_ = folder_.write("program", "no script", 0755);
};

TEST_F(ProgramAccess, IsJudgedByTheClassThatCounts) {
    EXPECT_EQ(said(), "");
    set_mode(0700);
    EXPECT_EQ(said(), "may not execute T/program" + owned("0700"));
    EXPECT_EQ(said(::geteuid()), "");
    EXPECT_EQ(said(0), "") << "root may execute what anybody may";
    set_mode(0711);
    EXPECT_EQ(said(), "") << "what is no script need not be read";
    set_mode(0705);
    if (::geteuid() == 0) {
        ASSERT_EQ(::chown(program_.c_str(), 0, access_group), 0);
        EXPECT_EQ(said(access_stranger, access_group), "may not execute T/program" + owned("0705"));
        set_mode(0710);
        EXPECT_EQ(said(access_stranger, access_group), "");
        EXPECT_EQ(said(), "may not execute T/program" + owned("0710"));
    }
}

TEST_F(ProgramAccess, AScriptIsReadByItsInterpreter) {
    folder_.write("program", "#!/bin/sh\n", 0711);
    EXPECT_EQ(said(), "may not read T/program" + owned("0711") + ", which is a script");
    set_mode(0755);
    EXPECT_EQ(said(), "");
}

TEST_F(ProgramAccess, DirectoriesCountWhereALinkLeads) {
    const std::string below = folder_.make_folder("below", 0700);
    folder_.write("below/program", "no script", 0755);
    ASSERT_EQ(::unlink(program_.c_str()), 0);
    ASSERT_EQ(::symlink((below + "/program").c_str(), program_.c_str()), 0);
    EXPECT_EQ(said(), "may not enter T/below" + owned("0700"));
    ASSERT_EQ(::chmod(below.c_str(), 0711), 0);
    EXPECT_EQ(said(), "");
}

TEST_F(ProgramAccess, NothingIsSaidOfWhatIsNotThere) {
    ASSERT_EQ(::unlink(program_.c_str()), 0);
    EXPECT_EQ(said(), "");
}

}  // namespace
}  // namespace postern
