// Where jobs' cgroups are found, and which ones a record may name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>

#include "base/io.h"
#include "daemon/jobs/direct/cgroup.h"
#include "tests/unit/daemon/child.h"

namespace postern::jobs {
namespace {

constexpr const char* unified =
    "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
    "31 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(CgroupPlaces, TheUsualMount) {
    const auto place = find_cgroup(unified, "0::/system.slice/posternd.service\n");
    ASSERT_TRUE(place);
    EXPECT_EQ(place->folder, "/sys/fs/cgroup/system.slice/posternd.service");
    EXPECT_EQ(place->path, "/system.slice/posternd.service");
}

TEST(CgroupPlaces, TheRootCgroup) {
    const auto place = find_cgroup(unified, "0::/\n");
    ASSERT_TRUE(place);
    EXPECT_EQ(place->folder, "/sys/fs/cgroup");
    EXPECT_EQ(place->path, "");
}

TEST(CgroupPlaces, BesideVersionOneAndWithAPathThatIsEscaped) {
    const auto place = find_cgroup(
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
        "41 31 0:38 / /cgroup\\0402\\134x rw,relatime - cgroup2 cgroup2 rw\n",
        "9:name=systemd:/init\n1:cpu:/other\n0::/a b\n");
    ASSERT_TRUE(place);
    EXPECT_EQ(place->folder, "/cgroup 2\\x/a b");
}

TEST(CgroupPlaces, AMountOfAPartOfTheHierarchy) {
    const std::string part = "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
    const auto place = find_cgroup(part, "0::/docker/abc/inner\n");
    ASSERT_TRUE(place);
    EXPECT_EQ(place->folder, "/sys/fs/cgroup/inner");
    EXPECT_EQ(place->path, "/docker/abc/inner");
    EXPECT_FALSE(find_cgroup(part, "0::/docker/abcd\n"));
    EXPECT_FALSE(find_cgroup(part, "0::/other\n"));
}

TEST(CgroupPlaces, NoPlaceAtAll) {
    EXPECT_FALSE(find_cgroup("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw\n", "0::/\n"));
    EXPECT_FALSE(find_cgroup(unified, "1:cpu:/x\n"));
    EXPECT_FALSE(find_cgroup(unified, "0::/../outside\n"));
    EXPECT_FALSE(find_cgroup(unified, "0::/gone (deleted)\n"));
    EXPECT_FALSE(find_cgroup("garbage\n - cgroup2 x\n", "0::/\n"));
    EXPECT_FALSE(find_cgroup("", ""));
}

TEST(CgroupPlaces, TheJobsFolderIsOfOneStateFolder) {
    EXPECT_EQ(jobs_folder_name("/var/lib/postern"), jobs_folder_name("/var/lib/postern"));
    EXPECT_NE(jobs_folder_name("/var/lib/postern"), jobs_folder_name("/var/lib/postern2"));
    // The same in every version: leftovers of an older one are found by it.
    EXPECT_EQ(jobs_folder_name(""), "postern-jobs-cbf29ce48422");
}

TEST(CgroupPlaces, OnlyAJobsOwnCgroupIsEndedOnTheWordOfItsRecord) {
    const std::string job(32, 'a');
    const std::string jobs = jobs_folder_name("/state");
    EXPECT_TRUE(is_job_cgroup("/sys/fs/cgroup/x/" + jobs + "/" + job, "/state", JobId(job)));
    EXPECT_FALSE(is_job_cgroup("/sys/fs/cgroup", "/state", JobId(job)));
    EXPECT_FALSE(is_job_cgroup("/sys/fs/cgroup/" + jobs, "/state", JobId(job)));
    EXPECT_FALSE(is_job_cgroup("/sys/fs/cgroup/" + job, "/state", JobId(job)));
    EXPECT_FALSE(is_job_cgroup("/sys/fs/cgroup/" + jobs + "/" + job, "/other", JobId(job)));
    EXPECT_FALSE(is_job_cgroup("/sys/fs/cgroup/" + jobs + "/" + job + "/..", "/state", JobId(job)));
    EXPECT_FALSE(is_job_cgroup("/sys/../x/" + jobs + "/" + job, "/state", JobId(job)));
    EXPECT_FALSE(is_job_cgroup(jobs + "/" + job, "/state", JobId(job)));
    EXPECT_FALSE(
        is_job_cgroup("/sys/fs/cgroup/" + jobs + "/" + std::string(32, 'b'), "/state", JobId(job)));
}

TEST(CgroupPlaces, EndingOneWaitsUntilAllInItAreGone) {
    if (geteuid() != 0) GTEST_SKIP() << "needs root: it makes a cgroup";
    const auto jobs = make_jobs_cgroup("/a test of " + std::to_string(getpid()));
    if (!jobs) GTEST_SKIP() << jobs.error().message;
    const std::string folder = jobs->folder + "/x";
    ASSERT_EQ(mkdir(folder.c_str(), 0755), 0);
    ASSERT_EQ(mkdir((folder + "/below").c_str(), 0755), 0);
    const pid_t child = fork_child([&folder]() -> int {
        signal(SIGTERM, SIG_IGN);
        write_file(folder + "/below/cgroup.procs", "0");
        while (true) pause();
    });
    while (read_file(folder + "/cgroup.events", 4096)->find("populated 1") == std::string::npos) {
        usleep(1000);
    }
    EXPECT_TRUE(end_cgroup(folder, std::chrono::seconds(10)));
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, WNOHANG), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_NE(access(folder.c_str(), F_OK), 0);
    EXPECT_TRUE(end_cgroup(folder, std::chrono::seconds(10))) << "what is gone is ended";
    EXPECT_EQ(rmdir(jobs->folder.c_str()), 0);
}

}  // namespace
}  // namespace postern::jobs
