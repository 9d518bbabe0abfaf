// Pipes whose lock somebody holds for as long as he likes: they stop nothing but themselves and,
// where there are many, what else is their owner's.
#include "tests/unit/daemon/hung_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "daemon/output/keeper/workers.h"
#include "tests/unit/daemon/child.h"
#include "tests/unit/daemon/output/keeper/running_keeper.h"
#include "tests/unit/daemon/output/keeper/streams.h"
#include "tests/unit/file_text.h"
#include "tests/unit/temporary_directory.h"

namespace postern::output {
namespace {

using test::File;
using test::Guard;
using test::job;
using test::KeeperChild;
using test::KeeperService;
using test::message;
using test::numbered;
using test::Pipe;
using test::write_numbered;
using testing::StartsWith;

using Sizes = std::array<std::uint64_t, streams>;

class HungPipes : public testing::Test {
  protected:
    void SetUp() override {
        if (!HungWriter::is_possible()) GTEST_SKIP() << "needs userfaultfd(2)";
    }
    static void keep(const Guard& guard, unsigned number, std::uint64_t owner, const Pipe& pipe,
                     const File& file) {
        Message keep = message(Kind::keep, job(number));
        keep.owner = owner;
        keep.stored = 64 << 20;
        keep.floor = keep.awaited = none;
        const int descriptors[] = {pipe.read.get(), file.get()};
        guard.say(keep, descriptors);
    }
    // So many threads of the process stand still.
    static void await_stuck(pid_t pid, std::size_t threads) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(50);
        for (;;) {
            const std::size_t stuck = count_stuck(pid);
            if (stuck == threads) return;
            ASSERT_LT(std::chrono::steady_clock::now(), end) << stuck;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    static std::size_t count_stuck(pid_t pid) {
        std::size_t stuck = 0;
        for (const std::string& task : entries("/proc/" + std::to_string(pid) + "/task")) {
            const std::string text =
                read_path("/proc/" + std::to_string(pid) + "/task/" + task + "/stat");
            const auto end = text.rfind(')');
            if (end != std::string::npos && text.at(end + 2) == 'D') ++stuck;
        }
        return stuck;
    }
    static std::vector<std::string> entries(const std::string& directory) {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(directory)) {
            names.push_back(entry.path().filename());
        }
        return names;
    }
};

TEST_F(HungPipes, OthersGoOnAndTheyTooOnceTheirWriterDoes) {
    KeeperChild keeper;
    keeper.guard.greet();
    const std::array<Pipe, 5> pipes;
    const std::array<File, 5> files;
    // Four of one owner, of whom two at a time can stand still; one of another.
    for (unsigned i = 0; i < 5; ++i) keep(keeper.guard, i, i < 4 ? 1 : 2, pipes[i], files[i]);
    for (unsigned i = 0; i < 4; ++i) pipes[i].put(numbered(0, 800));
    for (unsigned i = 0; i < 4; ++i) files[i].await_size(800);
    std::vector<std::unique_ptr<HungWriter>> writers;
    for (unsigned i = 0; i < 3; ++i) {
        writers.push_back(std::make_unique<HungWriter>(pipes[i].write.get(), numbered(800, 800)));
        // Whatever makes the keeper look at it.
        keeper.guard.watch(job(i), 0, 64 << 20, none);
    }
    await_stuck(keeper.process->pid(), 2);
    EXPECT_EQ(end_of(write_numbered(pipes[4], 8 << 20)), 0);
    EXPECT_EQ(keeper.guard.finish(job(4)), (Sizes{8 << 20, 0}));
    EXPECT_TRUE(files[4].stored() == numbered(0, 8 << 20));
    EXPECT_EQ(count_stuck(keeper.process->pid()), 2U);
    // Finished and watched while it stands still; and one that is forgotten.
    keeper.guard.say(message(Kind::finish, job(0)));
    keeper.guard.say(message(Kind::forget, job(1)));
    keeper.guard.watch(job(2), 0, 64 << 20, none, 800);
    for (auto& writer : writers) writer->go_on();
    bool finished = false;
    for (int heard = 0; heard < 2; ++heard) {
        const Message told = keeper.guard.hear().message;
        if (told.kind == Kind::finished) {
            finished = true;
            EXPECT_EQ(told.sizes, (Sizes{1600, 0}));
        } else {
            EXPECT_EQ(told.kind, Kind::grown);
            EXPECT_EQ(told.job, job(2));
        }
    }
    EXPECT_TRUE(finished);
    for (const unsigned i : {0U, 2U}) EXPECT_TRUE(files[i].stored() == numbered(0, 1600)) << i;
    pipes[3].put(numbered(800, 80));
    EXPECT_EQ(keeper.guard.finish(job(3)), (Sizes{880, 0}));
    keeper.guard.close();
    EXPECT_EQ(keeper.process->end(), 0);
}

TEST_F(HungPipes, OwnersWhoTakeAllThreadsButTwoStopNobodyElse) {
    KeeperChild keeper;
    keeper.guard.greet();
    constexpr unsigned owners = Workers::threads_of_child / Workers::most_of_owner - 1;
    std::vector<Pipe> pipes(2 * owners);
    const std::vector<File> files(2 * owners);
    std::vector<std::unique_ptr<HungWriter>> writers;
    for (unsigned i = 0; i < 2 * owners; ++i) {
        writers.push_back(std::make_unique<HungWriter>(pipes[i].write.get(), numbered(0, 80)));
        keep(keeper.guard, i, i / 2, pipes[i], files[i]);
    }
    await_stuck(keeper.process->pid(), 2 * owners);
    const Pipe pipe;
    const File file;
    keep(keeper.guard, 1000, 1000, pipe, file);
    EXPECT_EQ(end_of(write_numbered(pipe, 1 << 20)), 0);
    EXPECT_EQ(keeper.guard.finish(job(1000)), (Sizes{1 << 20, 0}));
    writers.clear();
    for (unsigned i = 0; i < 2 * owners; ++i) {
        EXPECT_EQ(keeper.guard.finish(job(i)), (Sizes{80, 0}));
    }
}

TEST_F(HungPipes, TheLastCloseOfOneStopsNothing) {
    KeeperChild keeper;
    keeper.guard.greet();
    Pipe pipe;
    const File file;
    keep(keeper.guard, 1, 1, pipe, file);
    pipe.put("12345");
    file.await_size(5);
    pipe.read.reset();
    HungWriter writer(pipe.write.get(), numbered(0, 80));
    keeper.guard.say(message(Kind::forget, job(1)));
    await_stuck(keeper.process->pid(), 1);
    const Pipe other;
    const File its_file;
    keep(keeper.guard, 2, 1, other, its_file);
    other.put("12345");
    EXPECT_EQ(keeper.guard.finish(job(2)), (Sizes{5, 0}));
    writer.go_on();
    ::signal(SIGPIPE, SIG_IGN);
    while (::write(pipe.write.get(), "x", 1) == 1) {
    }
    ::signal(SIGPIPE, SIG_DFL);
    keeper.guard.close();
    EXPECT_EQ(keeper.process->end(), 0);
}

// The kernel keeps the process until the writer goes on; the guard and the next keeper need not
// wait for that. Nothing is lost, and nothing doubled.
TEST_F(HungPipes, TheKeeperLetsEverythingGoWhenItIsToldToEnd) {
    const TemporaryDirectory folder(0755);
    const Pipe pipe;
    const File file;
    std::string text;
    KeeperService keeper(folder.path());
    Guard guard = keeper.connect();
    guard.greet();
    keep(guard, 1, 1, pipe, file);
    pipe.put(numbered(0, 800));
    file.await_size(800);
    HungWriter writer(pipe.write.get(), numbered(800, 800));
    guard.watch(job(1), 0, 1 << 20, none);
    await_stuck(keeper.process().pid(), 1);
    keeper.process().signal(SIGTERM);
    EXPECT_THAT(keeper.notice().text, StartsWith("FDSTORE=1\n"));
    EXPECT_EQ(keeper.notice().text, "BARRIER=1");
    EXPECT_EQ(keeper.notice().text, "STOPPING=1");
    EXPECT_TRUE(guard.ended());
    EXPECT_FALSE(keeper.listens());
    KeeperService next(folder.path());
    Guard again = next.connect();
    again.greet();
    keep(again, 1, 1, pipe, file);
    await_stuck(next.process().pid(), 1);
    writer.go_on();
    EXPECT_EQ(keeper.process().end(), 0);
    pipe.put(numbered(1600, 80));
    EXPECT_EQ(again.finish(job(1)), (Sizes{1680, 0}));
    EXPECT_TRUE(file.stored() == numbered(0, 1680));
}

}  // namespace
}  // namespace postern::output
