#include "tests/unit/daemon/jobs/unit/unit_fixture.h"

#include <chrono>

namespace postern::jobs {
namespace {

constexpr const char* key = "deploy-1";

Requester requester_with_key() {
    Requester requester{anna, anna, 4711};
    requester.key = key;
    return requester;
}

}  // namespace

void UnitJobsTest::SetUp() {
    JobsTest::SetUp();
    if (IsSkipped()) return;
    settings_.kill_grace = std::chrono::milliseconds(20);
}

void UnitJobsTest::TearDown() {
    JobsTest::TearDown();
    systemd_.reset();
}

void UnitJobsTest::begin(FakeSystemd::Version version) {
    manager_.reset();
    loop_.reset();
    systemd_.reset();
    // In memory: there are thousands of cases, and a disk that others use makes each of them wait.
    fake_keeper_ = std::make_unique<FakeKeeper>();
    place_.emplace(0700, "/dev/shm");
    settings_.state_folder = *place_ / "state";
    settings_.runtime_folder = place_->make_folder("runtime", 0700);
    settings_.systemd_socket = *place_ / "systemd";
    settings_.cgroup_root = *place_ / "cgroup";
    settings_.proc_root = *place_ / "proc";
    book_.clear();
    notices_.clear();
    systemd_.emplace(settings_.systemd_socket, version);
    open();
}

void UnitJobsTest::open() {
    systemd_->answer_first([this] { create(); });
}

StoryPtr UnitJobsTest::start_job() {
    return start(shell_action(anna), shell("exit 0"), requester_with_key());
}

bool UnitJobsTest::step() {
    return sd_event_run(loop_.get(), 0) > 0 || systemd_->turn();
}

bool UnitJobsTest::go_on(const std::function<bool()>& so, Pace pace, std::size_t steps) {
    constexpr std::chrono::seconds patience{50};
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (; !so(); --steps) {
        if (steps == 0) return false;
        if (pace == Pace::eager && systemd_->happen()) continue;
        // Where a connection has broken, who makes it again waits for a timer.
        if (step() || (systemd_->connected() && systemd_->happen())) continue;
        constexpr std::uint64_t second_usec = 1'000'000;
        if (std::chrono::steady_clock::now() > deadline ||
            sd_event_run(loop_.get(), second_usec) <= 0) {
            return so();
        }
    }
    return true;
}

void UnitJobsTest::settle() {
    while (step()) {
    }
}

void UnitJobsTest::kill_guard(FakeSystemd::Unread unread) {
    manager_.reset();
    loop_.reset();
    systemd_->end_connection(unread);
}

std::optional<Record> UnitJobsTest::found_by_key() const {
    const auto found = manager_->find_key(requester_with_key());
    EXPECT_TRUE(found);
    EXPECT_EQ(found->size(), 1U);
    return found->size() == 1 ? std::optional(found->front()) : std::nullopt;
}

void UnitJobsTest::expect_nothing_left() {
    // The units of those that are over go later.
    EXPECT_TRUE(go_on([this] { return systemd_->units().empty(); }, Pace::calm));
    settle();
    EXPECT_EQ(manager_->active(), 0U);
    EXPECT_THAT(systemd_->units(), testing::IsEmpty());
    EXPECT_EQ(fake_keeper_->kept(), 0U);
    EXPECT_THAT(notices_, testing::IsEmpty());
}

}  // namespace postern::jobs
