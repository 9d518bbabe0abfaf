// Which jobs that are over go, and what running ones may store: without files.
#include "daemon/jobs/record/kept_jobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uid_t cora = 64005;

constexpr std::uint64_t kept_kib = 1024;
constexpr std::uint64_t kept_mib = 1024 * kept_kib;

JobId kept_job(int number) {
    std::string text = std::to_string(number);
    return JobId(std::string(32 - text.size(), '0') + text);
}

// Older, the less its number is.
KeptJobs::Age age_of(int number) {
    return {time_of(static_cast<std::uint64_t>(number)), kept_job(number)};
}

int number_of(const KeptJobs::Age& age) {
    return std::stoi(age.second.text());
}

class Kept : public testing::Test {
  protected:
    Kept() { set_bounds(100, 100, 100 * kept_mib, 1000 * kept_mib); }

    void set_bounds(std::size_t records_per_payer, std::size_t records, std::uint64_t per_payer,
                    std::uint64_t all) {
        kept_.set_bounds({records_per_payer, records, per_payer, all});
    }
    void add(int number, uid_t payer, std::uint64_t output, bool has_key = false) {
        kept_.add(age_of(number), payer, has_key, {output, 8 * kept_kib});
    }
    // Those that go for the bounds, in their order.
    std::vector<int> evict(uid_t payer) {
        std::vector<int> gone;
        while (const auto next = kept_.beyond_bounds(payer)) {
            gone.push_back(number_of(next->first));
            kept_.forget(next->first);
        }
        return gone;
    }
    // Those that go until so much is free.
    std::vector<int> make_room(std::uint64_t bytes) {
        std::vector<int> gone;
        for (std::uint64_t freed = 0; freed < bytes;) {
            const auto next = kept_.next_for_room(true);
            if (!next) break;
            gone.push_back(number_of(*next));
            freed += kept_.forget(*next);
        }
        return gone;
    }
    KeptJobs kept_;
};

TEST(KeptBounds, DefaultsArePartsOfTheDiskAndOfEachOther) {
    constexpr std::uint64_t gib = 1024 * kept_mib;
    EXPECT_EQ(with_defaults({}, 100 * gib).output_bytes, gib);
    EXPECT_EQ(with_defaults({}, 100 * gib).output_bytes_per_payer, gib / 2);
    EXPECT_EQ(with_defaults({}, gib).output_bytes, gib / 10);
    EXPECT_EQ(with_defaults({1, 1, 0, 6 * gib}, gib).output_bytes, 6 * gib);
    EXPECT_EQ(with_defaults({1, 1, 0, 6 * gib}, gib).output_bytes_per_payer, 3 * gib);
    EXPECT_EQ(with_defaults({1, 1, 5 * gib, 0}, gib).output_bytes_per_payer, 5 * gib);
    EXPECT_GT(with_defaults({}, 0).output_bytes_per_payer, 0U);
}

TEST_F(Kept, OfOneWhoHasTooMuchTheOldestGoAndTheNewestStays) {
    for (int number = 1; number <= 5; ++number) add(number, anna, 30 * kept_mib);
    add(6, berta, 30 * kept_mib);
    EXPECT_THAT(evict(anna), ElementsAre(1, 2));
    EXPECT_THAT(evict(berta), IsEmpty());
    add(7, anna, 200 * kept_mib);
    EXPECT_THAT(evict(anna), ElementsAre(3, 4, 5));
    EXPECT_EQ(kept_.stored_of(anna), 200 * kept_mib + 8 * kept_kib);
    EXPECT_EQ(kept_.stored(), 230 * kept_mib + 16 * kept_kib);
}

TEST_F(Kept, OfAllTheOldestOfWhoHasMostGo) {
    set_bounds(100, 100, 1000 * kept_mib, 101 * kept_mib);
    add(1, berta, 10 * kept_mib);
    add(2, anna, 30 * kept_mib);
    add(3, anna, 30 * kept_mib);
    add(4, cora, 20 * kept_mib);
    EXPECT_THAT(evict(cora), IsEmpty());
    add(5, cora, 40 * kept_mib);
    // 130: anna and cora have 60 each, and anna's oldest is older.
    EXPECT_THAT(evict(cora), ElementsAre(2));
    add(6, berta, 45 * kept_mib);
    // 145: cora has 60, then berta 55, and then berta 45, which is the newest.
    EXPECT_THAT(evict(berta), ElementsAre(4, 1));
}

TEST_F(Kept, TheNewestOfAllStaysAndNobodyGoesForIt) {
    set_bounds(100, 100, 1000 * kept_mib, 100 * kept_mib);
    add(1, anna, 10 * kept_mib);
    add(2, berta, 300 * kept_mib);
    EXPECT_THAT(evict(berta), IsEmpty());
    // Not for long.
    add(3, anna, 1 * kept_kib);
    EXPECT_THAT(evict(anna), ElementsAre(2));
}

TEST_F(Kept, WhereTheDiskIsFullTheOldestOfTheLargestGoUntilThereIsRoom) {
    add(1, berta, 1 * kept_mib);
    add(2, anna, 4 * kept_mib);
    add(3, anna, 4 * kept_mib);
    add(4, cora, 5 * kept_mib);
    add(5, anna, 1 * kept_mib);
    add(6, berta, 3 * kept_mib);
    // anna has 9, 5, cora 5, anna 1...
    EXPECT_THAT(make_room(4 * kept_mib), ElementsAre(2));
    EXPECT_THAT(make_room(1 * kept_mib), ElementsAre(3));
    EXPECT_THAT(make_room(1 * kept_mib), ElementsAre(4));
    EXPECT_THAT(make_room(1 * kept_mib), ElementsAre(1));
    EXPECT_EQ(number_of(*kept_.next_for_room(true)), 6);
    EXPECT_FALSE(kept_.next_for_room(false)) << "the newest, which is the largest's";
    EXPECT_EQ(kept_.freeable(true), 4 * kept_mib + 16 * kept_kib);
    EXPECT_EQ(kept_.freeable(false), 1 * kept_mib + 8 * kept_kib);
    EXPECT_THAT(make_room(100 * kept_mib), ElementsAre(6, 5));
    EXPECT_EQ(kept_.stored(), 0U);
    EXPECT_EQ(kept_.freeable(true), 0U);
}

TEST_F(Kept, WhatIsReadGoesAfterOthersOfThePayer) {
    for (int number = 1; number <= 4; ++number) add(number, anna, 10 * kept_mib);
    add(5, berta, 1 * kept_mib);
    int asked = 0;
    kept_.set_is_read([&asked](const JobId& read) {
        ++asked;
        return read == kept_job(1) || read == kept_job(3) || read == kept_job(4);
    });
    EXPECT_THAT(make_room(1), ElementsAre(2));
    // All of hers but the newest are, and nobody else's goes for that.
    EXPECT_THAT(make_room(21 * kept_mib), ElementsAre(1, 3, 4));
    EXPECT_LE(asked, 8);
    // So many are not looked at.
    set_bounds(20, 100, 1000 * kept_mib, 1000 * kept_mib);
    kept_.set_is_read([&asked](const JobId&) { return ++asked > 0; });
    for (int number = 10; number <= 30; ++number) add(number, cora, 1 * kept_mib);
    asked = 0;
    EXPECT_THAT(evict(cora), ElementsAre(10));
    EXPECT_EQ(asked, 16);
}

TEST_F(Kept, AKeyStaysAndIsNotCountedOn) {
    add(1, anna, 1 * kept_mib, true);
    EXPECT_EQ(kept_.freeable(true), 1 * kept_mib);
    EXPECT_EQ(kept_.reduce(age_of(1)), 1 * kept_mib);
    EXPECT_EQ(kept_.stored_of(anna), 8 * kept_kib);
    EXPECT_EQ(kept_.freeable(true), 0U);
    EXPECT_FALSE(kept_.next_for_room(true));
    EXPECT_EQ(kept_.whole(), 0U);
    EXPECT_EQ(kept_.oldest_key(), age_of(1));
    EXPECT_EQ(kept_.forget(age_of(1)), 8 * kept_kib);
    EXPECT_EQ(kept_.stored(), 0U);
    EXPECT_FALSE(kept_.oldest_key());
}

TEST_F(Kept, KeysHaveNoMoreRoomThanTheirPayer) {
    set_bounds(100, 100, 300 * kept_kib, 1000 * kept_mib);
    int keys = 0;
    for (; keys < 100 && kept_.has_room_for_key(anna); ++keys) {
        add(keys, anna, 0, true);
        kept_.reduce(age_of(keys));
    }
    EXPECT_EQ(keys, 38);  // of 8 KiB
    EXPECT_TRUE(kept_.has_room_for_key(berta));
}

TEST_F(Kept, RunningOnesCountAndPushOutWhatIsOver) {
    add(1, anna, 40 * kept_mib);
    add(2, anna, 40 * kept_mib);
    add(3, berta, 90 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(9), anna, 10 * kept_mib), 100 * kept_mib);
    EXPECT_THAT(evict(anna), IsEmpty());
    EXPECT_EQ(kept_.set_running(kept_job(9), anna, 70 * kept_mib), 100 * kept_mib);
    EXPECT_THAT(evict(anna), ElementsAre(1));
    EXPECT_EQ(kept_.stored_of(anna), 110 * kept_mib + 8 * kept_kib);  // the newest stays
    kept_.forget_running(kept_job(9));
    EXPECT_EQ(kept_.stored_of(anna), 40 * kept_mib + 8 * kept_kib);
    kept_.forget_running(kept_job(9));
}

TEST_F(Kept, RunningOnesShareWhatOneMayHave) {
    EXPECT_EQ(kept_.set_running(kept_job(1), anna, 90 * kept_mib), 100 * kept_mib);
    // The other has what the first leaves, and no less than an even share.
    EXPECT_EQ(kept_.set_running(kept_job(2), anna, 1 * kept_mib), 50 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(2), anna, 30 * kept_mib), 50 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(1), anna, 90 * kept_mib), 70 * kept_mib)
        << "it gives 20 MiB up";
    EXPECT_EQ(kept_.set_running(kept_job(1), anna, 70 * kept_mib), 70 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(3), berta, 0), 100 * kept_mib);
}

TEST_F(Kept, RunningOnesShareWhatAllMayHave) {
    set_bounds(100, 100, 100 * kept_mib, 120 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(1), anna, 100 * kept_mib), 100 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(2), berta, 60 * kept_mib), 60 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(1), anna, 100 * kept_mib), 60 * kept_mib);
    EXPECT_EQ(kept_.set_running(kept_job(1), anna, 60 * kept_mib), 60 * kept_mib);
    EXPECT_EQ(kept_.stored(), 120 * kept_mib);
}

}  // namespace
}  // namespace postern::jobs
