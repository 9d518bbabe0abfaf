#include "ctl/text/columns.h"

#include <gtest/gtest.h>

namespace postern::ctl {
namespace {

const std::vector<std::vector<std::string>> some_rows = {
    {"JOB", "ACTION", "STATE"}, {"0123", "web.restart.all", "running"}, {"45", "a", "exit 0"}};

TEST(CtlColumns, AreAsWideAsTheirWidest) {
    EXPECT_EQ(columns(some_rows, 0, 1),
              "JOB   ACTION           STATE\n"
              "0123  web.restart.all  running\n"
              "45    a                exit 0\n");
    EXPECT_EQ(columns(some_rows, 30, 1), columns(some_rows, 0, 1)) << "it fits";
    EXPECT_EQ(columns({}, 0, 1), "");
}

TEST(CtlColumns, TheElasticOneGivesWay) {
    EXPECT_EQ(columns(some_rows, 25, 1),
              "JOB   ACTION      STATE\n"
              "0123  web.res...  running\n"
              "45    a           exit 0\n");
}

TEST(CtlColumns, BelowThatLinesAreCut) {
    EXPECT_EQ(columns(some_rows, 20, 1),
              "JOB   ACTION    S...\n"
              "0123  web.r...  r...\n"
              "45    a         e...\n");
}

TEST(CtlColumns, BeforeThatOneMayBeLeftOut) {
    EXPECT_EQ(columns(some_rows, 24, 1, 2), columns(some_rows, 24, 1))
        << "the elastic one is enough";
    EXPECT_EQ(columns(some_rows, 20, 1, 2),
              "JOB   ACTION\n"
              "0123  web.restart...\n"
              "45    a\n");
    EXPECT_EQ(columns(some_rows, 20, 1, 0),
              "ACTION       STATE\n"
              "web.rest...  running\n"
              "a            exit 0\n");
}

TEST(CtlColumns, CharactersCountAndNotBytes) {
    EXPECT_EQ(columns({{"\u00e4", "b"}, {"cc", "d"}}, 0, 0), "\u00e4   b\ncc  d\n");
}

}  // namespace
}  // namespace postern::ctl
