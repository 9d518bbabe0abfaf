// Records with a runtime directory: where each lies at every moment, and what a guard that was
// killed, or a power cut, leaves for the next one.
#include "daemon/jobs/record/record_files.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "daemon/jobs/record/record_store.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

namespace fs = std::filesystem;

Record record_of_job(int number, RecordState state) {
    Record record;
    std::string text = std::to_string(number);
    record.job = JobId(std::string(32 - text.size(), '0') + text);
    record.action = "web.restart";
    record.state = state;
    record.requester = {1000, 1000, 4711};
    record.requester.key = "k" + text;
    record.requester.call = 1;
    record.arguments = {{"service", "nginx"}};
    record.result.ended =
        std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
    return record;
}

JobId id(int number) {
    return record_of_job(number, RecordState::starting).job;
}

std::string word(RecordState state) {
    switch (state) {
        case RecordState::starting:
            return "starting";
        case RecordState::running:
            return "running";
        case RecordState::ended:
            return "ended";
        case RecordState::failed:
            return "failed";
        case RecordState::lost:
            return "lost";
    }
    return "unknown";
}

// The state that the record in this file has; "none": there is no such file.
std::string state_in(const std::string& path) {
    if (!fs::is_regular_file(path)) return "none";
    const auto record = from_json(read_path(path));
    return record ? word(record->state) : "not believed";
}

void wait_until(const std::function<bool()>& so) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(50);
    while (!so() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    EXPECT_TRUE(so());
}

// A state directory, and a runtime directory that is on a tmpfs.
struct Places {
    TemporaryDirectory state;
    TemporaryDirectory runtime{0700, "/dev/shm"};

    [[nodiscard]] std::string folder(int number) const {
        return state / "jobs/" + id(number).text();
    }
    [[nodiscard]] std::string copy(int number) const { return folder(number) + "/record.json"; }
    [[nodiscard]] std::string original(int number) const {
        return runtime / id(number).text() + ".json";
    }
    // "in memory, on the disk".
    [[nodiscard]] std::string states(int number) const {
        return state_in(original(number)) + ", " + state_in(copy(number));
    }
};

class Runtime : public testing::Test {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root, as all of a guard's folders are";
    }
    void TearDown() override {
        all_go_on();
        close();
    }

    Result<RecordStore, StateError> try_open(const Places& places, std::size_t per_payer = 10) {
        return RecordStore::open(places.state.path(), places.runtime.path(),
                                 {per_payer, 100, 1 << 20},
                                 [this](const std::string& what) { notices_.push_back(what); });
    }
    void open(const Places& places, std::size_t per_payer = 10) {
        all_go_on();
        close();
        auto opened = try_open(places, per_payer);
        ASSERT_TRUE(opened) << opened.error().message;
        store_.emplace(std::move(*opened));
    }
    void open() { open(places_); }
    void close() { store_.reset(); }

    void begin(int number) { ASSERT_TRUE(store_->make_folder(id(number))); }
    void write(int number, RecordState state) {
        const Record record = record_of_job(number, state);
        ASSERT_TRUE(is_over(state) ? store_->write_last(record) : store_->write(record));
    }
    // The disk stands still where the next copy of this job's record is to be written: opening a
    // FIFO waits for who reads it.
    void stall(int number) {
        const std::string fifo = places_.copy(number) + ".new";
        ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
        stalled_.push_back(number);
    }
    // Until the thread waits there.
    static void wait_until_stalled() {
        const std::string opening = std::to_string(SYS_openat) + " ";  // proc_pid_syscall(5)
        wait_until([&] {
            return std::ranges::any_of(fs::directory_iterator("/proc/self/task"),
                                       [&](const fs::path& task) {
                                           return read_path(task / "syscall").starts_with(opening);
                                       });
        });
    }
    // Then that copy fails, and the next one does not.
    void go_on(int number) {
        const std::string fifo = places_.copy(number) + ".new";
        const UniqueFd reader(::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
        wait_until([&] { return !fs::is_fifo(fifo); });
        std::erase(stalled_, number);
    }
    void all_go_on() {
        while (!stalled_.empty()) go_on(stalled_.front());
    }
    // What a guard that is killed in this moment leaves; `runtime`: not a power cut.
    void copy_to(const Places& others, bool runtime) const {
        const auto copy = [](const std::string& from, const std::string& to) {
            for (const auto& entry : fs::recursive_directory_iterator(from)) {
                const fs::path there = fs::path(to) / fs::relative(entry.path(), from);
                if (entry.is_directory()) fs::create_directory(there);
                if (entry.is_regular_file()) fs::copy_file(entry.path(), there);
            }
        };
        copy(places_.state.path(), others.state.path());
        if (runtime) copy(places_.runtime.path(), others.runtime.path());
    }
    // Of what is not over, "number state" each.
    std::vector<std::string> load() {
        std::vector<std::string> found;
        for (const Record& record : store_->load()) {
            found.push_back(std::to_string(std::stoi(record.job.text())) + " " +
                            word(record.state));
        }
        return found;
    }
    bool knows_key(int number) {
        return store_->find_key(record_of_job(number, RecordState::ended).requester) ==
               std::vector{id(number)};
    }

    const Places places_;
    std::optional<RecordStore> store_;
    std::vector<std::string> notices_;

  private:
    std::vector<int> stalled_;
};

TEST_F(Runtime, ARecordIsInMemoryUntilItIsOnTheDisk) {
    open();
    begin(1);
    stall(1);
    write(1, RecordState::starting);
    EXPECT_EQ(places_.states(1), "starting, none");
    EXPECT_EQ(store_->read(id(1))->state, RecordState::starting);
    go_on(1);
    wait_until([&] { return places_.states(1) == "none, starting"; });
    EXPECT_EQ(store_->read(id(1))->state, RecordState::starting);
    stall(1);
    write(1, RecordState::running);
    EXPECT_EQ(places_.states(1), "running, starting");
    EXPECT_EQ(store_->read(id(1))->state, RecordState::running);
    write(1, RecordState::ended);
    EXPECT_EQ(places_.states(1), "ended, starting");
    go_on(1);
    wait_until([&] { return places_.states(1) == "none, ended"; });
    EXPECT_EQ(store_->read(id(1))->state, RecordState::ended);
}

TEST_F(Runtime, OfManyTheNewestIsCopiedAndNoOtherWaitsForIt) {
    open();
    for (const int number : {1, 2}) begin(number);
    stall(1);
    write(1, RecordState::starting);
    for (const RecordState state :
         {RecordState::starting, RecordState::running, RecordState::ended}) {
        write(2, state);
        EXPECT_EQ(places_.states(2), word(state) + ", none");
    }
    go_on(1);
    wait_until([&] { return places_.states(2) == "none, ended"; });
    wait_until([&] { return places_.states(1) == "none, starting"; });
}

TEST_F(Runtime, WhoEndsLeavesAllOnTheDisk) {
    open();
    for (int number = 1; number <= 20; ++number) {
        begin(number);
        write(number, RecordState::running);
    }
    close();
    EXPECT_TRUE(fs::is_empty(places_.runtime.path()));
    for (int number = 1; number <= 20; ++number) {
        EXPECT_EQ(places_.states(number), "none, running");
    }
    EXPECT_THAT(notices_, IsEmpty());
}

// Killed between the writing and the copying of each.
TEST_F(Runtime, WhoIsKilledLeavesAllToTheNext) {
    open();
    for (const int number : {1, 2, 3}) begin(number);
    for (const int number : {2, 3}) write(number, RecordState::starting);
    wait_until([&] { return places_.states(3) == "none, starting"; });
    stall(1);
    write(1, RecordState::starting);
    write(2, RecordState::running);
    write(3, RecordState::ended);
    const Places left;
    copy_to(left, true);
    EXPECT_EQ(left.states(1), "starting, none");
    EXPECT_EQ(left.states(2), "running, starting");
    EXPECT_EQ(left.states(3), "ended, starting");
    // What it was about to write.
    left.runtime.write(id(2).text() + ".json.new", "{");

    open(left);
    EXPECT_THAT(load(), UnorderedElementsAre("1 starting", "2 running"));
    EXPECT_EQ(store_->read(id(3))->state, RecordState::ended);
    EXPECT_TRUE(knows_key(3));
    close();
    EXPECT_EQ(left.states(1), "none, starting");
    EXPECT_EQ(left.states(2), "none, running");
    EXPECT_EQ(left.states(3), "none, ended");
    EXPECT_TRUE(fs::is_empty(left.runtime.path()));
}

TEST_F(Runtime, AfterAPowerCutTheCopiesAreKnown) {
    open();
    for (const int number : {1, 2, 3}) begin(number);
    for (const int number : {1, 2}) write(number, RecordState::starting);
    write(1, RecordState::running);
    wait_until([&] { return places_.states(2) == "none, starting"; });
    wait_until([&] { return places_.states(1) == "none, running"; });
    for (const int number : {2, 3}) stall(number);
    write(2, RecordState::ended);
    write(3, RecordState::starting);
    const Places left;
    copy_to(left, false);
    open(left);
    // The third one's moment was too early: it is as if it had never been.
    EXPECT_THAT(load(), UnorderedElementsAre("1 running", "2 starting"));
    close();
    EXPECT_FALSE(fs::exists(left.folder(3)));
}

TEST_F(Runtime, WhatIsForgottenDoesNotComeBack) {
    open();
    for (const int number : {1, 2, 3}) begin(number);
    write(3, RecordState::starting);
    wait_until([&] { return places_.states(3) == "none, starting"; });
    for (const int number : {1, 2, 3}) {
        stall(number);
        write(number, RecordState::running);
    }
    wait_until_stalled();  // The first is being copied, the others wait.
    for (const int number : {1, 2, 3}) store_->remove(id(number));
    const Places left;
    copy_to(left, true);
    go_on(1);
    wait_until([&] { return fs::is_empty(places_.state / "jobs"); });
    EXPECT_TRUE(fs::is_empty(places_.runtime.path()));
    // Nor for the next guard, where this one was killed before it came to that: what was copied
    // before is all that is left.
    open(left);
    EXPECT_THAT(load(), ElementsAre("3 starting"));
    close();
}

TEST_F(Runtime, AReducedRecordIsOnTheDiskWithoutItsArguments) {
    open(places_, 1);
    for (const int number : {1, 2}) begin(number);
    stall(1);
    write(1, RecordState::ended);
    write(2, RecordState::ended);  // so the first is kept for its key alone
    EXPECT_TRUE(store_->read(id(1))->arguments.empty());
    go_on(1);
    close();
    const auto reduced = from_json(read_path(places_.copy(1)));
    ASSERT_TRUE(reduced);
    EXPECT_TRUE(reduced->arguments.empty());
    EXPECT_EQ(reduced->state, RecordState::ended);
    EXPECT_FALSE(from_json(read_path(places_.copy(2)))->arguments.empty());
}

TEST_F(Runtime, WhatAnotherGuardHasSeenEndHasEnded) {
    open();
    begin(1);
    stall(1);
    write(1, RecordState::running);
    const Places left;
    copy_to(left, true);
    // One that knew nothing of this directory.
    write_path(left.copy(1), to_json(record_of_job(1, RecordState::lost)), 0600);
    open(left);
    EXPECT_THAT(load(), IsEmpty());
    EXPECT_EQ(store_->read(id(1))->state, RecordState::lost);
    EXPECT_EQ(left.states(1), "none, lost");
    close();
}

TEST_F(Runtime, WhatIsNotRightIsNotBelieved) {
    open();
    for (const int number : {1, 2}) {
        begin(number);
        write(number, RecordState::running);
    }
    close();
    places_.runtime.write(id(1).text() + ".json", "{ half");
    places_.runtime.write(id(2).text() + ".json", to_json(record_of_job(1, RecordState::ended)));
    places_.runtime.write(id(3).text() + ".json", to_json(record_of_job(3, RecordState::ended)));
    places_.runtime.write("what is this", "");
    open();
    EXPECT_THAT(load(), UnorderedElementsAre("1 running", "2 running"));
    const auto not_believed = [&](int number) {
        return HasSubstr("record " + places_.original(number) + " is not believed and removed: ");
    };
    EXPECT_THAT(
        notices_,
        UnorderedElementsAre(
            not_believed(1), testing::AllOf(not_believed(2), HasSubstr("it is another job's")),
            testing::AllOf(not_believed(3), HasSubstr("No such file or directory"))));
    EXPECT_TRUE(fs::remove(places_.runtime / "what is this"));
    EXPECT_TRUE(fs::is_empty(places_.runtime.path()));
}

TEST_F(Runtime, TheEndOfTheGuardDoesNotWaitForADiskThatStandsStill) {
    open();
    for (const int number : {1, 2}) begin(number);
    stall(1);
    write(1, RecordState::running);
    write(2, RecordState::running);
    close();
    EXPECT_THAT(notices_, ElementsAre("2 records could not be copied to " + places_.state / "jobs" +
                                      "; they stay in " + places_.runtime.path() +
                                      ", where the next daemon finds them, and are lost where the "
                                      "machine stops before"));
    EXPECT_EQ(places_.states(1), "running, none");
    EXPECT_EQ(places_.states(2), "running, none");
    // Its thread does, and nobody else waits for that.
    go_on(1);
    wait_until([&] { return places_.states(1) == "none, running"; });
    wait_until([&] { return places_.states(2) == "none, running"; });
}

TEST_F(Runtime, WhereTooMuchWaitsNothingIsStarted) {
    open();
    begin(1);
    stall(1);
    write(1, RecordState::starting);
    Record large = record_of_job(2, RecordState::running);
    large.message = std::string(900 << 10, 'x');
    int number = 2;
    for (; number < 40 && store_->make_folder(id(number)); ++number) {
        large.job = id(number);
        ASSERT_TRUE(store_->write(large));
        ASSERT_TRUE(store_->write(large)) << "counted once";
    }
    EXPECT_EQ(number, 21);  // 19 of them are more than 16 MiB
    EXPECT_EQ(store_->make_folder(id(50)).error().message,
              "too many records wait to be copied to " + places_.state / "jobs" +
                  ": the disk is too slow");
    go_on(1);
    wait_until([&] { return store_->make_folder(id(number++)).has_value(); });
}

TEST_F(Runtime, WhereItIsRemovedTheDiskIsWrittenTo) {
    open();
    begin(1);
    write(1, RecordState::starting);
    wait_until([&] { return places_.states(1) == "none, starting"; });
    const std::string moved = places_.runtime.path() + ".moved";
    ASSERT_EQ(rename(places_.runtime.path().c_str(), moved.c_str()), 0);
    ASSERT_EQ(rmdir(moved.c_str()), 0);
    begin(2);
    for (int i = 0; i < 2; ++i) {
        write(1, RecordState::running);
        write(2, RecordState::starting);
        EXPECT_EQ(places_.states(1), "none, running");
        EXPECT_EQ(places_.states(2), "none, starting");
    }
    EXPECT_EQ(store_->read(id(2))->state, RecordState::starting);
    EXPECT_THAT(store_->problem(), HasSubstr("json can't be written: No such file or directory"));
    store_->tell_news();
    EXPECT_THAT(notices_, ElementsAre(HasSubstr("records are written to " +
                                                places_.state / "jobs at once instead")));
    ASSERT_EQ(mkdir(places_.runtime.path().c_str(), 0700), 0);  // which has an owner
}

TEST_F(Runtime, TwoGuardsDoNotShareIt) {
    open();
    const TemporaryDirectory another;
    const auto second = RecordStore::open(another.path(), places_.runtime.path(), {1, 1}, {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().message, "runtime directory " + places_.runtime.path() +
                                          ": another daemon uses it; stop that one, or give its "
                                          "unit another RuntimeDirectory=");
}

TEST_F(Runtime, OthersMayNotChangeIt) {
    ASSERT_EQ(chmod(places_.runtime.path().c_str(), 0777), 0);
    const auto opened = try_open(places_);
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().message, HasSubstr("runtime directory " + places_.runtime.path()));
}

TEST_F(Runtime, WhereItIsMissingTheDiskIsWrittenToAtOnce) {
    auto store = RecordStore::open(places_.state.path(), "/dev/shm/is/not/there", {1, 1},
                                   [this](const std::string& what) { notices_.push_back(what); });
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_THAT(
        notices_,
        ElementsAre("runtime directory /dev/shm/is/not/there: /dev/shm/is does not exist; "
                    "create it or correct the path; until the daemon is restarted records "
                    "are written to " +
                    places_.state / "jobs" + " at once, and starts of jobs may wait for the disk"));
    ASSERT_TRUE(store->make_folder(id(1)));
    EXPECT_TRUE(store->write(record_of_job(1, RecordState::starting)));
}

TEST_F(Runtime, WhereItIsNotInMemoryTheDiskIsWrittenToAtOnce) {
    const TemporaryDirectory on_disk;
    struct statfs system{};
    ASSERT_EQ(statfs(on_disk.path().c_str(), &system), 0);
    constexpr decltype(system.f_type) tmpfs = 0x01021994;  // statfs(2)
    if (system.f_type == tmpfs) GTEST_SKIP() << "/tmp is in memory";
    auto store = RecordStore::open(places_.state.path(), on_disk.path(), {1, 1},
                                   [this](const std::string& what) { notices_.push_back(what); });
    ASSERT_TRUE(store) << store.error().message;
    EXPECT_THAT(notices_, ElementsAre("runtime directory " + on_disk.path() +
                                      " is not in memory (tmpfs): records are written to " +
                                      places_.state / "jobs" +
                                      " at once, and starts of jobs may wait for the disk"));
    ASSERT_TRUE(store->make_folder(id(1)));
    ASSERT_TRUE(store->write(record_of_job(1, RecordState::starting)));
    EXPECT_EQ(places_.states(1), "none, starting");
    EXPECT_TRUE(fs::is_empty(on_disk.path()));
}

// A full disk, for real: a small file system of its own.
class RuntimeFullDisk : public Runtime {
  protected:
    void SetUp() override {
        Runtime::SetUp();
        if (IsSkipped()) return;
        if (mount("tmpfs", places_.state.path().c_str(), "tmpfs", 0, "size=512k,mode=0700") < 0) {
            GTEST_SKIP() << "tmpfs can't be mounted here";
        }
        mounted_ = true;
    }
    void TearDown() override {
        Runtime::TearDown();
        if (mounted_) umount2(places_.state.path().c_str(), MNT_DETACH);
    }
    void fill() {
        const UniqueFd file(::open((places_.state / "fill").c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        const std::string block(4096, 'x');
        while (::write(file.get(), block.data(), block.size()) > 0) {
        }
        ASSERT_EQ(errno, ENOSPC);
    }
    [[nodiscard]] std::string full(int number) const {
        return places_.copy(number) + " can't be written: No space left on device";
    }
    bool mounted_ = false;
};

TEST_F(RuntimeFullDisk, WhatCannotBeCopiedIsToldKeptAndTriedAgain) {
    open();
    for (const int number : {1, 2}) begin(number);
    write(1, RecordState::starting);
    wait_until([&] { return places_.states(1) == "none, starting"; });
    fill();
    EXPECT_EQ(store_->problem(), "");
    write(1, RecordState::running);
    wait_until([&] { return !store_->problem().empty(); });
    EXPECT_EQ(store_->problem(), full(1));
    write(2, RecordState::running);
    wait_until([&] { return store_->problem() == full(2); });
    EXPECT_EQ(places_.states(1), "running, starting");
    EXPECT_EQ(places_.states(2), "running, none");
    store_->tell_news();
    // Once, however often it is tried.
    EXPECT_THAT(
        notices_,
        ElementsAre(full(1) + "; until it can, the record is kept in " + places_.runtime.path() +
                    " alone, and is lost where the machine stops: make room, or look what "
                    "is wrong with that file system"));
    // Nothing new begins.
    EXPECT_EQ(store_->make_folder(id(3)).error().message,
              places_.state / "jobs: No space left on device");
    ASSERT_EQ(unlink((places_.state / "fill").c_str()), 0);
    wait_until([&] { return store_->problem().empty(); });
    EXPECT_EQ(places_.states(1), "none, running");
    EXPECT_EQ(places_.states(2), "none, running");
    notices_.clear();
    store_->tell_news();
    EXPECT_THAT(notices_,
                ElementsAre("records are copied to " + places_.state / "jobs" + " again"));
}

TEST_F(RuntimeFullDisk, TheEndIsPutOverTheRecordThatIsThere) {
    open();
    begin(1);
    write(1, RecordState::running);
    wait_until([&] { return places_.states(1) == "none, running"; });
    fill();
    write(1, RecordState::ended);
    wait_until([&] { return places_.states(1) == "none, ended"; });
    EXPECT_EQ(store_->problem(), "");
}

TEST_F(RuntimeFullDisk, WhatIsStillNotCopiedAtTheEndIsLeftToTheNext) {
    open();
    begin(1);
    fill();
    write(1, RecordState::ended);
    close();
    EXPECT_EQ(places_.states(1), "ended, none");
    EXPECT_THAT(notices_,
                ElementsAre(HasSubstr(full(1)), HasSubstr("1 records could not be copied to ")));
    ASSERT_EQ(unlink((places_.state / "fill").c_str()), 0);
    open();
    EXPECT_THAT(load(), IsEmpty());
    EXPECT_TRUE(knows_key(1));
    close();
    EXPECT_EQ(places_.states(1), "none, ended");
}

}  // namespace
}  // namespace postern::jobs
