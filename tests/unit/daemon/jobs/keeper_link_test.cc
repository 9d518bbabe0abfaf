// The guard's link to who keeps what jobs write.
#include "daemon/jobs/output/keeper_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "daemon/loop/event_source.h"
#include "tests/unit/daemon/jobs/keepers.h"

namespace postern::jobs {
namespace {

TEST(KeeperLink, AJobCanStartBeforeTheStockIsFull) {
    sd_event* made = nullptr;
    ASSERT_GE(sd_event_new(&made), 0);
    const EventLoop event(made);
    FakeKeeper keeper;
    std::optional<std::vector<std::uint32_t>> when_ready;
    KeeperLink::Hooks hooks;
    hooks.told = [](const output::Message&, std::vector<UniqueFd>&) {};
    hooks.ready = [&] { when_ready = keeper.asked(); };
    KeeperLink link(event.get(), keeper.connect(event.get()), 1, std::chrono::seconds(1), hooks);
    for (int i = 0; i < 100 && keeper.asked().size() < 4; ++i) {
        ASSERT_GE(sd_event_run(event.get(), 10'000), 0);
    }
    EXPECT_THAT(when_ready, testing::Optional(testing::ElementsAre(4, 4)));
    EXPECT_TRUE(link.ready());
    EXPECT_THAT(keeper.asked(), testing::ElementsAre(4, 4, 28, 4));
}

}  // namespace
}  // namespace postern::jobs
