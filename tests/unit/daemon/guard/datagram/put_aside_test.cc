#include "daemon/guard/datagram/put_aside.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace postern {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsNull;

constexpr uid_t alice = 1000;
constexpr uid_t bob = 1001;

class PutAsideTest : public testing::Test {
  protected:
    [[nodiscard]] const char* reason(uid_t payer) const { return aside_.reason(payer, now_); }

    PutAside aside_;
    MonotonicTime now_{seconds(1000)};
};

TEST_F(PutAsideTest, IsOfThatOneAlone) {
    EXPECT_THAT(reason(alice), IsNull());
    aside_.for_descriptors(alice, now_);
    EXPECT_THAT(reason(alice), HasSubstr("descriptors"));
    EXPECT_THAT(reason(bob), IsNull());
}

TEST_F(PutAsideTest, TakesTwiceAsLongEachTimeUpToAMinute) {
    for (const int span : {1, 2, 4, 8, 16, 32, 64, 64}) {
        aside_.for_descriptors(alice, now_);
        now_ += seconds(span) - milliseconds(1);
        EXPECT_THAT(reason(alice), HasSubstr("descriptors")) << span;
        now_ += milliseconds(1);
        EXPECT_THAT(reason(alice), IsNull()) << span;
    }
}

TEST_F(PutAsideTest, IsForgottenAMinuteAfterItsEnd) {
    for (int i = 0; i < 3; ++i) aside_.for_descriptors(alice, now_);
    now_ += seconds(4 + 64);
    aside_.for_descriptors(alice, now_);
    now_ += seconds(1);
    EXPECT_THAT(reason(alice), IsNull());
}

TEST_F(PutAsideTest, ASessionThatFailedWithPacketsCostsHalfAMinute) {
    aside_.for_its_session(alice, now_);
    now_ += seconds(30) - milliseconds(1);
    EXPECT_THAT(reason(alice), HasSubstr("session"));
    now_ += milliseconds(1);
    EXPECT_THAT(reason(alice), IsNull());
}

}  // namespace
}  // namespace postern
