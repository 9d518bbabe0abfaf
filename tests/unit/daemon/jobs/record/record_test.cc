// Records: what is written comes back, what is not right is not believed, the oldest go.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "daemon/jobs/record/record_store.h"
#include "host/random_id.h"
#include "tests/unit/daemon/jobs/fixture.h"
#include "tests/unit/json_keys.h"

namespace postern::jobs {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

Record example() {
    Record record;
    record.job = JobId("0123456789abcdef0123456789abcdef");
    record.action = "web.restart";
    record.state = RecordState::ended;
    record.boot = "c0ffee";
    record.requester = {4294967294U, 2147483648U, 4711};
    record.requester.call = 0xffffffffffffffff;
    record.requester.paid_by = 4294967293U;
    record.file_version = "cafe";
    record.uid = 33;
    record.gid = 34;
    record.arguments = {{"list", "a b"}, {"password", "(secret)"}, {"service", "\"\\\n\x1b"}};
    record.lists = {"list"};
    record.created = time_of(1'700'000'000'000'000);
    record.pid = 12;
    record.pid_start = 1ULL << 40;
    record.cgroup = "/sys/fs/cgroup/x";
    record.message = "why";
    record.result = {Outcome::signaled,
                     true,
                     9,
                     time_of(1'700'000'000'000'001),
                     time_of(1'700'000'000'000'002),
                     std::chrono::microseconds(3),
                     4};
    return record;
}

TEST(Records, ComeBackAsTheyWere) {
    const auto back = from_json(to_json(example()));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->job, example().job);
    EXPECT_EQ(back->action, "web.restart");
    EXPECT_EQ(back->state, RecordState::ended);
    EXPECT_EQ(back->boot, "c0ffee");
    EXPECT_EQ(back->requester.uid, 4294967294U);
    EXPECT_EQ(back->requester.gid, 2147483648U);
    EXPECT_EQ(back->requester.pid, 4711);
    EXPECT_EQ(back->requester.call, 0xffffffffffffffff);
    EXPECT_EQ(back->requester.payer(), 4294967293U);
    EXPECT_EQ(back->file_version, "cafe");
    EXPECT_EQ(back->uid, 33U);
    EXPECT_EQ(back->gid, 34U);
    EXPECT_EQ(back->arguments, example().arguments);
    EXPECT_EQ(back->lists, std::vector<std::string>{"list"});
    EXPECT_EQ(back->created, example().created);
    EXPECT_EQ(back->pid, 12);
    EXPECT_EQ(back->pid_start, 1ULL << 40);
    EXPECT_EQ(back->cgroup, "/sys/fs/cgroup/x");
    EXPECT_EQ(back->message, "why");
    EXPECT_EQ(back->result, example().result);
    EXPECT_FALSE(back->unit_counts);
    Record of_a_unit = example();
    of_a_unit.unit_counts = true;
    EXPECT_TRUE(from_json(to_json(of_a_unit))->unit_counts);
    EXPECT_FALSE(back->spare);
    Record in_spare = example();
    in_spare.spare = true;
    in_spare.timeout = std::chrono::seconds(7);
    EXPECT_TRUE(from_json(to_json(in_spare))->spare);
    EXPECT_EQ(from_json(to_json(in_spare))->timeout, std::chrono::seconds(7));
    in_spare.timeout = {};
    EXPECT_TRUE(from_json(to_json(in_spare))->spare) << "without a limit too";
}

TEST(Records, HaveKeysInCamelCase) {
    Record record = example();
    record.requester.unit = "a.service";
    record.ending = Outcome::timeout;
    record.cancelling = Cancellation{{1000, "alice"}, 15, false};
    record.result.cancelled_by = record.cancelling->by;
    record.unit = "postern-job.service";
    record.arguments = {{"dry-run", "yes"}};  // as the action file names it
    record.requester.user = "alice";
    record.requester.listener = "/run/postern/postern.sock";
    record.requester.rule = "allow user alice";
    record.requester.rule_place = "/etc/postern/actions/web.json:7";
    record.result.ended_processes = 2;
    record.unit_counts = true;
    record.spare = true;
    const auto written = nlohmann::json::parse(to_json(record));
    EXPECT_THAT(misspelled_keys(written), testing::IsEmpty()) << written;
    for (const char* key : {"fileVersion", "lists", "ending", "cancelling", "startedUsec", "result",
                            "unitCounts", "spareTimeoutUsec"}) {
        EXPECT_TRUE(written.contains(key)) << key << ": all that there can be";
    }
}

TEST(Records, TheCallersNameAndWhatItLeftBehindComeBack) {
    Record record = example();
    const std::string before = to_json(record);
    EXPECT_EQ(before.find("\"user\""), std::string::npos);
    EXPECT_EQ(before.find("endedProcesses"), std::string::npos);
    record.state = RecordState::ended;
    record.requester.user = "DOM\\alice";
    record.result.ended_processes = 3;
    const auto back = from_json(to_json(record));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->requester.user, "DOM\\alice");
    EXPECT_EQ(back->result.ended_processes, 3U);
}

TEST(Records, WhoHasCancelledItComesBackInEveryState) {
    EXPECT_EQ(to_json(example()).find("cancel"), std::string::npos);
    for (const RecordState state : {RecordState::starting, RecordState::running, RecordState::ended,
                                    RecordState::failed, RecordState::lost}) {
        for (const std::string user : {"", "alice"}) {
            Record record = example();
            record.state = state;
            record.cancelling = Cancellation{{1000, user}, 1, true};
            record.result.cancelled_by = record.cancelling->by;
            const auto back = from_json(to_json(record));
            ASSERT_TRUE(back) << back.error().message;
            EXPECT_EQ(back->cancelling, record.cancelling);
            EXPECT_EQ(back->result.cancelled_by, record.result.cancelled_by);
        }
    }
    // Version 0.1.0 knows the outcome, which is one of its own.
    Record record = example();
    record.result.cancelled_by = Canceller{1000, "alice"};
    const auto written = nlohmann::json::parse(to_json(record));
    EXPECT_EQ(written["result"]["outcome"], "signaled");
    EXPECT_EQ(written["result"]["cancelledBy"], (nlohmann::json{{"uid", 1000}, {"user", "alice"}}));
}

TEST(Records, WordsOfALaterVersionAreKeptAsTheyAre) {
    Record record = example();
    record.ending = Outcome::timeout;
    std::string text = to_json(record);
    for (const auto& [from, to] :
         {std::pair<std::string, std::string>{"\"signaled\"", "\"evaporated\""},
          {"\"timeout\"", "\"evaporated\""}}) {
        text.replace(text.find(from), from.size(), to);
    }
    const auto back = from_json(text);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->result.outcome, Outcome::other);
    EXPECT_EQ(back->ending, Outcome::other);
    EXPECT_EQ(outcome_word(back->result), "evaporated");
    EXPECT_EQ(to_json(*back), text);
}

TEST(Records, TheSocketAndTheRuleComeBack) {
    Record record = example();
    for (const char* key : {"listener", "rule", "rulePlace"}) {
        EXPECT_EQ(to_json(record).find(key), std::string::npos) << key;
    }
    record.requester.listener = "/run/postern/postern.sock";
    record.requester.rule = "allow user alice";
    record.requester.rule_place = "/etc/postern/actions/web.json:7";
    const auto back = from_json(to_json(record));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->requester.listener, "/run/postern/postern.sock");
    EXPECT_EQ(back->requester.rule, "allow user alice");
    EXPECT_EQ(back->requester.rule_place, "/etc/postern/actions/web.json:7");
}

TEST(Records, WhoPaysComesBackWhereItIsNotTheRequester) {
    Record record = example();
    record.requester.paid_by.reset();
    EXPECT_EQ(to_json(record).find("payer"), std::string::npos);
    EXPECT_EQ(from_json(to_json(record))->requester.payer(), 4294967294U);
    record.requester.paid_by = 1000;
    const auto back = from_json(to_json(record));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(back->requester.uid, 4294967294U);
    EXPECT_EQ(back->requester.payer(), 1000U);
    EXPECT_EQ(owner_of(back->requester), owner_of(example().requester)) << "whose it is, it stays";
}

TEST(Records, EveryStateAndOutcomeComesBack) {
    for (const RecordState state : {RecordState::starting, RecordState::running, RecordState::ended,
                                    RecordState::failed, RecordState::lost}) {
        for (int outcome = 0; outcome <= static_cast<int>(Outcome::out_of_memory); ++outcome) {
            Record record = example();
            record.state = state;
            record.result.outcome = static_cast<Outcome>(outcome);
            record.result.lost_from = {
                std::nullopt, outcome % 2 == 0 ? std::optional<std::uint64_t>(7) : std::nullopt};
            const auto back = from_json(to_json(record));
            ASSERT_TRUE(back) << back.error().message;
            EXPECT_EQ(back->state, state);
            EXPECT_TRUE(!is_over(state) || back->result == record.result);
        }
    }
}

TEST(Records, AResultThatIsKnownBeforeTheJobIsOverComesBack) {
    Record record = example();
    record.state = RecordState::running;
    for (const bool known : {false, true}) {
        record.result_known = known;
        const auto back = from_json(to_json(record));
        ASSERT_TRUE(back) << back.error().message;
        EXPECT_EQ(back->result_known, known);
        EXPECT_EQ(back->result == record.result, known);
    }
}

TEST(Records, BytesThatAreNoUtf8DoNotThrow) {
    Record record = example();
    record.message = "\xff";
    EXPECT_THAT(to_json(record), HasSubstr("\xef\xbf\xbd"));
}

TEST(Records, WhatIsNotRightIsNotBelieved) {
    const std::string good = to_json(example());
    const auto changed = [&](const std::string& what, const std::string& by) {
        std::string text = good;
        const std::size_t at = text.find(what);
        EXPECT_NE(at, std::string::npos) << what;
        return text.replace(at, what.size(), by);
    };
    ASSERT_TRUE(from_json(good));
    for (std::size_t size = 0; size + 2 < good.size(); ++size) {
        EXPECT_FALSE(from_json(std::string_view(good).substr(0, size))) << size;
    }
    EXPECT_FALSE(from_json("[]"));
    EXPECT_FALSE(from_json("{}"));
    EXPECT_THAT(from_json(changed("\"version\": 2", "\"version\": 3")).error().message,
                HasSubstr("another version"));
    EXPECT_EQ(from_json(changed("\"pid\": 12,", "")).error().message, "\"pid\" is required");
    for (const char* value : {"-1", "1.5", "\"12\"", "2147483648", "null", "[]"}) {
        EXPECT_FALSE(from_json(changed("\"pid\": 12", std::string("\"pid\": ") + value))) << value;
    }
    EXPECT_EQ(from_json(changed("\"state\": \"ended\"", "\"state\": \"Ended\"")).error().message,
              "\"state\" has an unknown value");
    EXPECT_FALSE(from_json(changed("\"bySignal\": true", "\"bySignal\": 1")));
    EXPECT_FALSE(from_json(changed("\"list\": \"a b\"", "\"list\": 1")));
    EXPECT_FALSE(from_json(changed("\"boot\": \"c0ffee\"", "\"boot\": {}")));
    // A later version of Postern may know more.
    EXPECT_TRUE(from_json(changed("\"version\": 2", "\"version\": 2, \"more\": [1]")));
}

// What version 0.1.0 wrote: other spellings, and neither digest nor payer nor the file's version.
TEST(Records, TheVersionBeforeIsRead) {
    Record record = example();
    record.requester.call.reset();
    record.requester.paid_by.reset();
    record.file_version.clear();
    std::string text = to_json(record);
    for (const auto& [name, before] : {std::pair{"\"version\": 2", "\"version\": 1"},
                                       {"groupsKnown", "groups_known"},
                                       {"createdUsec", "created_usec"},
                                       {"pidStart", "pid_start"},
                                       {"killOnDisconnect", "kill_on_disconnect"},
                                       {"startedUsec", "started_usec"},
                                       {"bySignal", "by_signal"},
                                       {"endedUsec", "ended_usec"},
                                       {"cpuUsec", "cpu_usec"},
                                       {"maxResidentKib", "max_resident_kib"}}) {
        const std::size_t at = text.find(name);
        ASSERT_NE(at, std::string::npos) << name;
        text.replace(at, std::string_view(name).size(), before);
    }
    const auto back = from_json(text);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(to_json(*back), to_json(record));
    EXPECT_EQ(back->requester.payer(), back->requester.uid);
}

class Store : public JobsTest {
  protected:
    Result<RecordStore, StateError> open(std::size_t per_uid, std::size_t in_all) {
        return RecordStore::open(folder_ / "state", "", {per_uid, in_all, 1 << 20},
                                 settings_.notice);
    }
    static JobId id(int number) {
        std::string text = std::to_string(number);
        return JobId(std::string(32 - text.size(), '0') + text);
    }
    static void add(RecordStore& store, int number, uid_t uid, std::uint64_t ended) {
        add_record(store, number, ended, [&](Record& record) { record.requester.uid = uid; });
    }
    // Changed as `change` does; who pays for it is its uid.
    static void add_record(RecordStore& store, int number, std::uint64_t ended,
                           const std::function<void(Record&)>& change) {
        const auto folder = store.make_folder(id(number));
        ASSERT_TRUE(folder) << folder.error().message;
        Record record = example();
        record.requester.paid_by.reset();
        record.job = id(number);
        record.result.ended = time_of(ended);
        change(record);
        ASSERT_TRUE(store.write_last(record));
    }
    [[nodiscard]] std::vector<int> there(const RecordStore& store) const {
        std::vector<int> numbers;
        while (store.frees()) std::this_thread::yield();
        for (const auto& entry : std::filesystem::directory_iterator(folder_ / "state/jobs")) {
            numbers.push_back(std::atoi(entry.path().filename().c_str()));
        }
        return numbers;
    }
};

TEST_F(Store, TheOldestGoOfEachUidAndOfAll) {
    auto store = open(2, 3);
    ASSERT_TRUE(store);
    add(*store, 1, anna, 100);
    add(*store, 2, anna, 300);
    add(*store, 3, anna, 200);  // the oldest of anna's three is 1
    EXPECT_THAT(there(*store), UnorderedElementsAre(2, 3));
    add(*store, 4, berta, 50);
    EXPECT_THAT(there(*store), UnorderedElementsAre(2, 3, 4));
    add(*store, 5, berta, 400);  // four in all: the oldest is 4
    EXPECT_THAT(there(*store), UnorderedElementsAre(2, 3, 5));
    EXPECT_TRUE(notices_.empty());
}

TEST_F(Store, WhatIsOverIsKnownWithoutItsFile) {
    auto store = open(2, 3);
    ASSERT_TRUE(store);
    add(*store, 1, anna, 100);
    const auto expect_known = [](const std::optional<JobFacts>& facts) {
        ASSERT_TRUE(facts);
        EXPECT_EQ(facts->action, "web.restart");
        EXPECT_EQ(facts->state, RecordState::ended);
        EXPECT_EQ(facts->owner.uid, anna);
        EXPECT_EQ(facts->created, example().created);
        JobResult result = example().result;
        result.ended = time_of(100);
        EXPECT_EQ(facts->result, result);
    };
    expect_known(store->find(id(1)));
    EXPECT_FALSE(store->find(id(2)));
    // The next guard knows it as well.
    store = Unexpected(StateError{"the lock is free"});
    store = open(2, 3);
    ASSERT_TRUE(store);
    EXPECT_TRUE(store->load().empty());
    std::filesystem::remove(folder_ / "state/jobs/" + id(1).text() + "/record.json");
    expect_known(store->find(id(1)));
    // It goes with its record.
    add(*store, 2, anna, 200);
    add(*store, 3, anna, 300);
    EXPECT_FALSE(store->find(id(1)));
    EXPECT_TRUE(store->find(id(2)));
}

TEST_F(Store, InAllTheOldestOfThePayerThatHasMostGoes) {
    auto store = open(10, 4);
    ASSERT_TRUE(store);
    add(*store, 1, anna, 100);
    for (int number = 2; number <= 9; ++number)
        add(*store, number, berta, 100U * static_cast<unsigned>(number));
    EXPECT_THAT(there(*store), UnorderedElementsAre(1, 7, 8, 9));
    // However many uids one payer has.
    for (int number = 10; number <= 40; ++number) {
        add_record(*store, number, 1000, [&](Record& record) {
            record.requester.uid = 100'000U + static_cast<uid_t>(number);
            record.requester.paid_by = berta;
        });
    }
    EXPECT_THAT(there(*store), UnorderedElementsAre(1, 38, 39, 40));
}

// A key whose job has ended just now.
class Keys : public Store {
  protected:
    static std::uint64_t ago(std::chrono::seconds age) {
        return usec_of(std::chrono::time_point_cast<std::chrono::microseconds>(
            std::chrono::system_clock::now() - age));
    }
    static void add_key(RecordStore& store, int number, uid_t uid, std::chrono::seconds age) {
        add_record(store, number, ago(age), [&](Record& record) {
            record.requester.uid = uid;
            record.requester.key = "k" + std::to_string(number);
        });
    }
    static std::vector<JobId> found(const RecordStore& store, int number, uid_t uid) {
        Requester who = example().requester;
        who.uid = uid;
        who.key = "k" + std::to_string(number);
        return store.find_key(who);
    }
    // Of its output file: how long it says to be, and what is there.
    [[nodiscard]] std::pair<off_t, blkcnt_t> output(int number) const {
        struct stat status{};
        EXPECT_EQ(stat((folder_ / "state/jobs/" + id(number).text() + "/stdout").c_str(), &status),
                  0);
        return {status.st_size, status.st_blocks};
    }
    void write_output(int number) const {
        write_path(folder_ / "state/jobs/" + id(number).text() + "/stdout", std::string(9000, 'x'),
                   0600);
    }
};

TEST_F(Keys, AYoungOneIsKeptWithoutOutputAndArguments) {
    auto store = open(1, 100);
    ASSERT_TRUE(store);
    add_key(*store, 1, anna, std::chrono::seconds(60));
    write_output(1);
    add_key(*store, 2, anna, std::chrono::seconds(50));
    EXPECT_THAT(there(*store), UnorderedElementsAre(1, 2));
    EXPECT_THAT(found(*store, 1, anna), testing::ElementsAre(id(1)));
    EXPECT_EQ(output(1), std::pair(off_t{9000}, blkcnt_t{0}));
    const auto record = store->read(id(1));
    ASSERT_TRUE(record);
    EXPECT_TRUE(record->arguments.empty());
    EXPECT_EQ(record->requester.call, example().requester.call);
    EXPECT_FALSE(store->read(id(2))->arguments.empty());
    // A restart changes nothing.
    store = Unexpected(StateError{"closed"});
    store = open(1, 100);
    store->load();
    EXPECT_THAT(found(*store, 1, anna), testing::ElementsAre(id(1)));
    EXPECT_THAT(there(*store), UnorderedElementsAre(1, 2));
}

TEST_F(Keys, AnOldOneGoesAndOneThatStandsForNothing) {
    auto store = open(1, 100);
    ASSERT_TRUE(store);
    add_key(*store, 1, anna, std::chrono::minutes(11));
    add_record(*store, 2, ago(std::chrono::seconds(40)), [](Record& record) {
        record.requester.uid = anna;
        record.requester.key = "k2";
        record.state = RecordState::failed;
        record.again = true;
    });
    EXPECT_THAT(there(*store), UnorderedElementsAre(2));
    add_key(*store, 3, anna, std::chrono::seconds(30));
    EXPECT_THAT(there(*store), UnorderedElementsAre(3));
    EXPECT_THAT(found(*store, 1, anna), testing::IsEmpty());
    // Nor is one young whose time is not yet: the clock was set back.
    add_key(*store, 4, anna, -std::chrono::minutes(11));
    add_key(*store, 5, anna, -std::chrono::minutes(12));
    EXPECT_THAT(there(*store), UnorderedElementsAre(3, 5));
}

TEST_F(Keys, OthersPushOutNeitherKeysNorRecords) {
    auto store = open(100, 4);
    ASSERT_TRUE(store);
    add_key(*store, 1, anna, std::chrono::minutes(9));
    write_output(1);
    for (int number = 2; number <= 60; ++number) {
        add_key(*store, number, berta, std::chrono::seconds(300 - number));
    }
    EXPECT_EQ(there(*store).size(), 60U);
    EXPECT_GT(output(1).second, 0);
    EXPECT_FALSE(store->read(id(1))->arguments.empty());
}

TEST_F(Keys, TheyHaveABoundAndRoomForEverybody) {
    auto store = open(1, 2);  // so 16 keys of one payer, 32 in all
    ASSERT_TRUE(store);
    const auto fill = [&](int from, uid_t uid) {
        int number = from;
        for (; store->has_room_for_key(uid) && number < from + 100; ++number) {
            add_key(*store, number, uid, std::chrono::seconds(500));
        }
        return number - from;
    };
    EXPECT_EQ(fill(100, anna), 17);  // one is whole
    EXPECT_EQ(fill(200, berta), 17);
    const uid_t carol = 64003;
    EXPECT_EQ(fill(300, carol), 17);
    EXPECT_FALSE(store->has_room_for_key(anna));
    EXPECT_TRUE(store->has_room_for_key(64004));
}

TEST_F(Keys, RoomComesBackByItself) {
    auto store = open(1, 100);
    ASSERT_TRUE(store);
    for (int number = 1; number <= 17; ++number) {
        add_key(*store, number, anna, std::chrono::seconds(10));
    }
    EXPECT_FALSE(store->has_room_for_key(anna));
    store->set_clock([] { return time_of(ago(-std::chrono::minutes(11))); });
    EXPECT_TRUE(store->has_room_for_key(anna));
    EXPECT_EQ(there(*store).size(), 1U);
}

TEST_F(Store, TheOldestGoWhereTheOutputOfAUidTakesTooMuch) {
    auto store = open(100, 100);  // 1 MiB
    ASSERT_TRUE(store);
    const auto add_with_output = [&](int number, std::size_t bytes, uid_t uid) {
        ASSERT_TRUE(store->make_folder(id(number)));
        write_path(folder_ / "state/jobs/" + id(number).text() + "/stdout", std::string(bytes, 'x'),
                   0600);
        Record record = example();
        record.job = id(number);
        record.requester.uid = uid;
        record.requester.paid_by.reset();
        record.result.ended = time_of(static_cast<std::uint64_t>(number));
        ASSERT_TRUE(store->write_last(record));
    };
    add_with_output(1, 400 << 10, anna);
    add_with_output(2, 400 << 10, anna);
    add_with_output(3, 1000 << 10, berta);
    EXPECT_THAT(there(*store), UnorderedElementsAre(1, 2, 3));
    add_with_output(4, 400 << 10, anna);
    EXPECT_THAT(there(*store), UnorderedElementsAre(2, 3, 4));
    add_with_output(5, 2000 << 10, anna);  // the newest stays
    EXPECT_THAT(there(*store), UnorderedElementsAre(3, 5));
    add_with_output(6, 1 << 10, anna);
    EXPECT_THAT(there(*store), UnorderedElementsAre(3, 6));
    // And after a restart.
    store = Unexpected(StateError{"closed"});
    store = RecordStore::open(folder_ / "state", "", {100, 100, 900 << 10}, settings_.notice);
    ASSERT_TRUE(store);
    add_with_output(7, 1 << 10, berta);
    EXPECT_THAT(there(*store), UnorderedElementsAre(3, 6, 7));
    store->load();
    EXPECT_THAT(there(*store), UnorderedElementsAre(6, 7));
}

TEST_F(Store, TheLimitsHoldForWhatAnEarlierRunLeft) {
    {
        auto store = open(10, 10);
        ASSERT_TRUE(store);
        for (int number = 1; number <= 4; ++number) {
            add(*store, number, anna, static_cast<std::uint64_t>(number));
        }
    }
    auto store = open(2, 10);
    ASSERT_TRUE(store);
    EXPECT_TRUE(store->load().empty());
    EXPECT_THAT(there(*store), UnorderedElementsAre(3, 4));
}

TEST_F(Store, AFolderWithoutARecordNeverStartedAnythingAndGoes) {
    auto store = open(2, 3);
    ASSERT_TRUE(store);
    ASSERT_TRUE(store->make_folder(id(1)));
    write_path(folder_ / "state/jobs/" + id(1).text() + "/stdout", "", 0622);
    write_path(folder_ / "state/jobs/" + id(1).text() + "/record.json.new", "{", 0600);
    EXPECT_TRUE(store->load().empty());
    EXPECT_TRUE(there(*store).empty());
}

TEST_F(Store, JobIdsAreRandomAndOfOneForm) {
    const auto one = random_id();
    const auto two = random_id();
    ASSERT_TRUE(one && two);
    EXPECT_THAT(*one, testing::MatchesRegex("[0-9a-f]{32}"));
    EXPECT_NE(*one, *two);
}

TEST_F(Store, ASecondGuardIsRefused) {
    const auto store = open(2, 3);
    ASSERT_TRUE(store);
    const auto second = open(2, 3);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().message, "state directory " + folder_ / "state" +
                                          ": another guard uses it; stop that one, or choose "
                                          "another directory with --state");
}

TEST_F(Store, AFolderThatOthersMayChangeIsRefused) {
    EXPECT_FALSE(RecordStore::open("relative", "", {1, 1}, {}));
    EXPECT_FALSE(RecordStore::open("", "", {1, 1}, {}));
    EXPECT_FALSE(RecordStore::open(open_folder_ + "/state", "", {1, 1}, {}));
    const std::string state = folder_ / "annas";
    ASSERT_EQ(mkdir(state.c_str(), 0700), 0);
    ASSERT_EQ(chown(state.c_str(), anna, anna), 0);
    EXPECT_FALSE(RecordStore::open(state, "", {1, 1}, {}));
    ASSERT_EQ(mkdir((folder_ / "state").c_str(), 0700), 0);
    ASSERT_EQ(mkdir((folder_ / "state/jobs").c_str(), 0755), 0);
    ASSERT_EQ(chown((folder_ / "state/jobs").c_str(), anna, anna), 0);
    const auto refused = open(1, 1);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, HasSubstr("belongs to uid 64001"));
}

TEST_F(Store, MissingFoldersAreMadeAndWrongModesMadeRight) {
    ASSERT_EQ(mkdir((folder_ / "state").c_str(), 0755), 0);
    ASSERT_EQ(mkdir((folder_ / "state/jobs").c_str(), 0755), 0);
    ASSERT_TRUE(open(1, 1));
    struct stat status{};
    ASSERT_EQ(stat((folder_ / "state/jobs").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0700U);
    ASSERT_TRUE(RecordStore::open(folder_ / "a/b/c", "", {1, 1}, {}));
    ASSERT_EQ(stat((folder_ / "a/b").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0700U);
}

}  // namespace
}  // namespace postern::jobs
