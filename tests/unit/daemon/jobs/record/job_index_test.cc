// What is known in memory of the jobs that have ended, and which of them a page has.
#include "daemon/jobs/record/job_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/jobs/record/sorted_blocks.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Whose beginning differs from that of the next number.
JobId index_job(int number) {
    std::string text = std::to_string(number);
    text = std::string(4 - text.size(), '0') + text;
    return JobId(text + std::string(JobKey::digits - text.size(), 'a'));
}

// The higher its number, the newer.
Record index_record(int number, uid_t uid = 1000) {
    Record record;
    record.job = index_job(number);
    record.action = "hello";
    record.state = RecordState::ended;
    record.requester.uid = uid;
    record.requester.gid = uid;
    record.requester.groups = 7;
    record.created = time_of(static_cast<std::uint64_t>(number));
    record.result.outcome = Outcome::exited;
    record.result.started = record.created;
    record.result.ended = record.created + std::chrono::seconds(1);
    return record;
}

JobQuery index_query(std::size_t limit = 100) {
    JobQuery query;
    query.limit = limit;
    return query;
}

JobQuery query_of(uid_t uid, std::uint64_t unit = 0) {
    JobQuery query = index_query();
    query.caller = JobQuery::Caller{
        uid, static_cast<gid_t>(uid), 7, true, unit, [](const std::string&) { return false; }};
    return query;
}

class Index : public testing::Test {
  protected:
    void add(const Record& record, std::uint64_t unit = 0, std::uint64_t key = 0) {
        index_.add(record, unit, key);
    }
    [[nodiscard]] std::vector<int> numbers(const JobQuery& query) const {
        std::vector<int> found;
        for (const JobFacts& job : index_.page(query).jobs) {
            found.push_back(std::stoi(job.job.text().substr(0, 4)));
        }
        return found;
    }
    JobIndex index_;
};

TEST_F(Index, WhatIsKnownComesBack) {
    Record record = index_record(1);
    record.requester.groups_known = false;
    record.requester.paid_by = 5;
    record.requester.pid = 42;
    record.state = RecordState::lost;
    record.result = {Outcome::signaled,        true,      -9, time_of(5), time_of(6),
                     std::chrono::hours(3000), 0xffffffff};
    add(record, 11, 12);
    const auto facts = index_.find(record.job);
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->job, record.job);
    EXPECT_EQ(facts->action, "hello");
    EXPECT_EQ(facts->state, RecordState::lost);
    EXPECT_EQ(facts->created, time_of(1));
    EXPECT_EQ(facts->owner, (JobOwner{1000, 1000, 7, false, 5}));
    EXPECT_EQ(facts->pid, 42);
    EXPECT_EQ(facts->unit, 11U);
    EXPECT_EQ(facts->result, record.result);
    EXPECT_FALSE(index_.find(index_job(2)));
    EXPECT_FALSE(index_.find(JobId("0001")));
}

// Whatever has no room in an entry.
TEST_F(Index, EveryResultComesBackWhole) {
    Record record = index_record(1);
    record.result.max_resident_kib = 1ULL << 32;
    add(record);
    EXPECT_EQ(index_.find(record.job)->result, record.result);
    record = index_record(2);
    record.result.ended_processes = 3;
    record.result.lost_from = {std::nullopt, 7};
    add(record);
    EXPECT_EQ(index_.find(record.job)->result, record.result);
    Record cancelled = index_record(4);
    cancelled.result.cancelled_by = Canceller{1000, "anna"};
    cancelled.result.ended_processes = 2;
    add(cancelled);
    EXPECT_EQ(index_.find(cancelled.job)->result, cancelled.result);
    Record by_another = index_record(5);
    by_another.result.cancelled_by = Canceller{0, ""};
    by_another.result.lost_from = {0, std::nullopt};
    add(by_another);
    EXPECT_EQ(index_.find(by_another.job)->result, by_another.result);
    index_.remove(cancelled.job);
    EXPECT_EQ(index_.find(by_another.job)->result, by_another.result);
    index_.remove(record.job);
    add(index_record(3));
    EXPECT_EQ(index_.find(index_job(3))->result, index_record(3).result)
        << "its number is used again";
}

TEST_F(Index, WhatIsRemovedIsNotKnownAnyMore) {
    for (int number = 1; number <= 3; ++number) add(index_record(number), 0, 9);
    add(index_record(2), 0, 9);
    EXPECT_THAT(numbers(index_query()), ElementsAre(3, 2, 1)) << "none twice";
    index_.remove(index_job(2));
    index_.remove(index_job(2));
    EXPECT_FALSE(index_.contains(index_job(2)));
    EXPECT_THAT(numbers(index_query()), ElementsAre(3, 1));
    EXPECT_THAT(numbers(query_of(1000)), ElementsAre(3, 1));
    EXPECT_THAT(index_.with_key(9), ElementsAre(index_job(1), index_job(3)));
    JobQuery query = index_query();
    query.beginning = "0002";
    EXPECT_THAT(numbers(query), IsEmpty());
}

TEST_F(Index, KeysFindTheirJobs) {
    add(index_record(1), 0, 5);
    add(index_record(2), 0, 6);
    add(index_record(3), 0, 5);
    add(index_record(4));
    EXPECT_THAT(index_.with_key(5), ElementsAre(index_job(1), index_job(3)));
    EXPECT_THAT(index_.with_key(6), ElementsAre(index_job(2)));
    EXPECT_THAT(index_.with_key(7), IsEmpty());
}

TEST_F(Index, OutputThatIsNotKeptIsFound) {
    add(index_record(1));
    Record record = index_record(2);
    record.pipes = 2;
    add(record);
    EXPECT_THAT(index_.unstored(), ElementsAre(index_job(2)));
}

TEST_F(Index, PagesGoFromTheNewestToTheOldest) {
    for (const int number : {5, 1, 4, 2, 3}) add(index_record(number, number == 4 ? 1001 : 1000));
    JobQuery query = query_of(1000);
    query.limit = 2;
    JobPage page = index_.page(query);
    ASSERT_EQ(page.jobs.size(), 2U);
    EXPECT_EQ(page.jobs[1].job, index_job(3));
    EXPECT_EQ(page.next, (JobPlace{time_of(3), index_job(3)}));
    query.before = page.next;
    EXPECT_THAT(numbers(query), ElementsAre(2, 1));
    EXPECT_FALSE(index_.page(query).next) << "that is all";
    query = index_query(1);
    query.before = JobPlace{time_of(5), index_job(5)};
    EXPECT_THAT(numbers(query), ElementsAre(4)) << "everybody's";
}

// Where a page ends is told to the caller.
TEST_F(Index, TheEndOfAPageIsNoJobOfOthers) {
    add(index_record(1), 77);
    add(index_record(2), 78);
    add(index_record(3), 77);
    JobQuery query = query_of(1000, 77);
    query.caller->unit_counts = [](const std::string&) { return true; };
    query.limit = 1;
    const JobPage page = index_.page(query);
    ASSERT_EQ(page.jobs.size(), 1U);
    EXPECT_EQ(page.jobs[0].job, index_job(3));
    EXPECT_EQ(page.next, (JobPlace{time_of(3), index_job(3)}));
    query.before = page.next;
    EXPECT_THAT(numbers(query), ElementsAre(1));
    EXPECT_FALSE(index_.page(query).next);
}

TEST_F(Index, APageHasWhatIsAskedFor) {
    add(index_record(1));
    Record record = index_record(2);
    record.action = "other";
    add(record);
    record = index_record(3);
    record.state = RecordState::failed;
    add(record);
    record = index_record(4);
    record.state = RecordState::lost;
    add(record);
    JobQuery query = index_query();
    query.action = "hello";
    EXPECT_THAT(numbers(query), ElementsAre(4, 3, 1));
    query.action = "never seen";
    EXPECT_THAT(numbers(query), IsEmpty());
    query = index_query();
    query.state = JobState::ended;
    EXPECT_THAT(numbers(query), ElementsAre(4, 2, 1));
    query.state = JobState::running;
    EXPECT_THAT(numbers(query), IsEmpty());
    query = index_query();
    query.since = time_of(2);
    EXPECT_THAT(numbers(query), ElementsAre(4, 3, 2));
    query.beginning = "000";
    query.state = JobState::failed;
    EXPECT_THAT(numbers(query), ElementsAre(3));
}

TEST_F(Index, WhoseTheyAre) {
    const auto add_of = [&](int number, auto change) {
        Record record = index_record(number);
        change(record.requester);
        add(record, number == 6 ? 77 : 0);
    };
    add_of(1, [](Requester&) {});
    add_of(2, [](Requester& who) { who.gid = 5; });
    add_of(3, [](Requester& who) { who.groups = 8; });
    add_of(4, [](Requester& who) { who.groups = 8, who.groups_known = false; });
    add_of(5, [](Requester& who) { who.paid_by = 1001; });
    add_of(6, [](Requester&) {});
    EXPECT_THAT(numbers(query_of(1000)), ElementsAre(6, 5, 4, 1));
    JobQuery query = query_of(1000);
    query.caller->groups_known = false;
    EXPECT_THAT(numbers(query), ElementsAre(4)) << "a caller whose groups are not known";
    // Where a rule of the action names a unit.
    query = query_of(1000);
    query.caller->unit_counts = [](const std::string& action) { return action == "hello"; };
    EXPECT_THAT(numbers(query), ElementsAre(5, 4, 1));
    query.caller->unit = 77;
    EXPECT_THAT(numbers(query), ElementsAre(6));
    // Where one did when the job was started.
    Record of_unit = index_record(7);
    of_unit.unit_counts = true;
    add(of_unit, 78);
    EXPECT_TRUE(index_.find(of_unit.job)->unit_counts);
    EXPECT_THAT(numbers(query_of(1000)), ElementsAre(6, 5, 4, 1));
    EXPECT_THAT(numbers(query_of(1000, 78)), ElementsAre(7, 6, 5, 4, 1));
    query.beginning = "0006";
    EXPECT_THAT(numbers(query), ElementsAre(6));
    query.beginning = "0001";
    EXPECT_THAT(numbers(query), IsEmpty());
    EXPECT_THAT(numbers(query_of(1001)), IsEmpty());
}

TEST_F(Index, ABeginningHasAllOfItsJobsAndNoOther) {
    for (int number = 1; number <= 1200; ++number) add(index_record(number));
    JobQuery query = index_query();
    for (const auto& [digits, count] : {std::pair{"0012", 1U},
                                        {"001", 10U},
                                        {"0012a", 1U},
                                        {"00120", 0U},
                                        {"0012b", 0U},
                                        {"g", 0U}}) {
        query.beginning = digits;
        EXPECT_EQ(index_.page(query).jobs.size(), count) << digits;
    }
    query.beginning = index_job(12).text();
    EXPECT_THAT(numbers(query), ElementsAre(12));
    query.beginning += "a";
    EXPECT_THAT(numbers(query), IsEmpty());
}

// Those of one time are on one page: what comes after it is older.
TEST_F(Index, APageThatIsCutEndsBetweenTwoTimes) {
    constexpr int count = 50'010;
    Record record = index_record(1);
    for (int number = 0; number < count; ++number) {
        std::string text = std::to_string(number);
        record.job = JobId(std::string(JobKey::digits - text.size(), '0') + text);
        record.created = time_of(number < 5 ? 1 : number < 20 ? 2 : 3);
        record.state = number < 20 ? RecordState::failed : RecordState::ended;
        add(record);
    }
    JobQuery query = query_of(1000);
    query.state = JobState::failed;
    const JobPage first = index_.page(query);
    EXPECT_EQ(first.jobs.size(), 15U);
    EXPECT_EQ(first.next, (JobPlace{time_of(2), JobId(std::string(JobKey::digits, '0'))}));
    query.before = first.next;
    EXPECT_EQ(index_.page(query).jobs.size(), 5U);
}

// However few fit: the caller asks again, and all others are served meanwhile.
TEST_F(Index, OnePageLooksAtSoManyAndNoMore) {
    constexpr int count = 60'000;
    Record record = index_record(1);
    for (int number = 0; number < count; ++number) {
        std::string text = std::to_string(number);
        record.job = JobId(std::string(JobKey::digits - text.size(), '0') + text);
        record.created = time_of(static_cast<std::uint64_t>(number));
        record.state = number == 0 ? RecordState::failed : RecordState::ended;
        add(record);
    }
    JobQuery query = query_of(1000);
    query.state = JobState::failed;
    const JobPage first = index_.page(query);
    EXPECT_THAT(first.jobs, IsEmpty());
    ASSERT_TRUE(first.next);
    EXPECT_EQ(first.next->created, time_of(count - 50'000));
    EXPECT_EQ(first.next->job, JobId(std::string(JobKey::digits, '0'))) << "no job's";
    query.before = first.next;
    const JobPage second = index_.page(query);
    EXPECT_EQ(second.jobs.size(), 1U);
    EXPECT_FALSE(second.next);
}

// ---- What it is made of ----

TEST(JobKeys, AreWhatTheirDigitsSay) {
    const std::string text = "0123456789abcdef0123456789abcdef";
    const auto key = JobKey::of(text);
    ASSERT_TRUE(key);
    EXPECT_EQ(key->id(), JobId(text));
    EXPECT_TRUE(key->begins_with("01234"));
    EXPECT_FALSE(key->begins_with("01235"));
    EXPECT_LT(*key, *JobKey::of("0123456789abcdef0123456789abcdf0"));
    EXPECT_EQ(JobKey::least_with("0123")->id(), JobId("01230000000000000000000000000000"));
    for (const std::string& wrong : {std::string(), text.substr(1), text + "0",
                                     std::string("0123456789ABCDEF0123456789abcdef"),
                                     std::string("0123456789abcde/0123456789abcdef")}) {
        EXPECT_FALSE(JobKey::of(wrong)) << wrong;
    }
}

TEST(SortedBlocksTest, AreASetThatIsInOrder) {
    SortedBlocks<int> blocks;
    std::set<int> expected;
    const auto less = [](int one, int other) { return one < other; };
    std::mt19937 random(1);
    const auto check = [&] {
        std::vector<int> all;
        for (auto at = blocks.begin(); at != blocks.end(); at = blocks.next(at)) {
            all.push_back(blocks.at(at));
        }
        ASSERT_EQ(all, std::vector<int>(expected.begin(), expected.end()));
        ASSERT_EQ(blocks.size(), expected.size());
        std::vector<int> back;
        for (auto at = blocks.end(); at != blocks.begin();) {
            at = blocks.previous(at);
            back.push_back(blocks.at(at));
        }
        ASSERT_EQ(back, std::vector<int>(expected.rbegin(), expected.rend()));
    };
    for (const int removes_of_ten : {2, 5, 9}) {
        for (int step = 0; step < 20'000; ++step) {
            const int value = static_cast<int>(random() % 10'000);
            if (static_cast<int>(random() % 10) < removes_of_ten) {
                ASSERT_EQ(blocks.erase(value, less), expected.erase(value) > 0);
            } else if (expected.insert(value).second) {
                blocks.insert(value, less);
            }
            const auto at = blocks.first_not([&](int other) { return other < value; });
            const auto found = expected.lower_bound(value);
            ASSERT_EQ(at == blocks.end(), found == expected.end());
            if (found != expected.end()) {
                ASSERT_EQ(blocks.at(at), *found);
            }
        }
        check();
    }
    while (!expected.empty()) {
        EXPECT_TRUE(blocks.erase(*expected.begin(), less));
        expected.erase(expected.begin());
    }
    EXPECT_TRUE(blocks.empty());
    for (int value = 0; value < 2000; ++value) {
        blocks.insert(value, less);
        expected.insert(value);
    }
    check();
    EXPECT_EQ(blocks.front(), 0);
    EXPECT_EQ(blocks.back(), 1999);
}

}  // namespace
}  // namespace postern::jobs
