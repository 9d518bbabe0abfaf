// The examples are in force as they stand: those of ./dev run for root's guard and for an ordinary
// user's.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "daemon/policy/arguments.h"
#include "daemon/policy/file/loader.h"
#include "daemon/policy/verdict.h"
#include "tests/unit/daemon/policy/file/support.h"
#include "tests/unit/temporary_directory.h"

namespace postern::policy {
namespace {

class Examples : public testing::TestWithParam<bool> {
  protected:
    void SetUp() override {
        std::filesystem::copy(POSTERN_DEMO, folder_.path());
        for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
            ASSERT_EQ(chmod(entry.path().c_str(), 0644), 0);
        }
        LoadOptions options = own_options();
        if (GetParam()) {
            if (geteuid() != 0) GTEST_SKIP() << "only root can try the other";
            options = user_options();
        }
        options.folders = {folder_.path()};
        auto loaded = load(options);
        ASSERT_TRUE(loaded);
        snapshot_ = std::move(loaded).value();
        for (const BadFile& bad : snapshot_.bad) ADD_FAILURE() << bad.message;
    }

    std::vector<std::string> argv(const std::string& name, const Arguments& arguments) {
        const Verdict verdict = decide(snapshot_, {1000, 1000, {27, 1000}}, name);
        if (verdict.action == nullptr) return {verdict.reason};
        auto command = bind_arguments(*verdict.action, arguments);
        if (!command) return {command.error().message};
        return command->argv;
    }

    TemporaryDirectory folder_;
    Snapshot snapshot_;
};

using Texts = std::vector<std::string>;

TEST_P(Examples, AreAllThere) {
    std::string names;
    for (const auto& [name, action] : snapshot_.actions) names += name + ' ';
    EXPECT_EQ(names, "disk-usage forbidden hello resize slow who-asked ");
}

TEST_P(Examples, Hello) {
    EXPECT_EQ(argv("hello", {{"name", std::string("g1")}}),
              (Texts{"/usr/bin/printf", "Hi, %s\\n", "g1"}));
    EXPECT_EQ(argv("hello", {{"name", std::string("Zo\u00eb O'Neil-B.")}}).size(), 3U);
    EXPECT_EQ(argv("hello", {{"name", std::string("a;b")}}),
              Texts{"name: \"a;b\" does not match [\\p{L}\\p{N}][\\p{L}\\p{M}\\p{N} ._'-]*"});
}

TEST_P(Examples, DiskUsage) {
    EXPECT_EQ(
        argv("disk-usage", {{"place", std::string("/root")}}),
        Texts{"place: \"/root\" is not one of /etc/apt, /usr/share/base-files, /var/lib/dpkg"});
}

TEST_P(Examples, ForbiddenIsDeniedToEveryone) {
    EXPECT_EQ(argv("forbidden", {}), Texts{"no rule matches"});
    EXPECT_EQ(decide(snapshot_, {0, 0, {0}}, "forbidden").action, nullptr);
}

TEST_P(Examples, Slow) {
    EXPECT_EQ(argv("slow", {}).size(), 3U);
    EXPECT_TRUE(snapshot_.actions.at("slow").description.kill_on_disconnect);
}

TEST_P(Examples, WhoAsked) {
    EXPECT_EQ(argv("who-asked", {}).size(), 3U);
    EXPECT_TRUE(snapshot_.actions.at("who-asked").sudo_compatible);
}

TEST_P(Examples, Resize) {
    EXPECT_EQ(argv("resize", {{"volume", std::string("data")},
                              {"size", std::int64_t{20}},
                              {"notify", std::vector<Scalar>{std::string("a"), std::string("b")}}}),
              (Texts{"/usr/bin/printf", "%s\\n", "resize volume data to 20 GiB",
                     "while it is in use: true", "a", "b"}));
    EXPECT_EQ(argv("resize", {{"volume", std::string("data")}, {"size", std::int64_t{501}}}),
              Texts{"size: 501 is more than 500; give one from 1 to 500"});
}

INSTANTIATE_TEST_SUITE_P(OwnAndUser, Examples, testing::Bool());

}  // namespace
}  // namespace postern::policy
