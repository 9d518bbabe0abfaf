#include "daemon/session/connection_table.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace postern::session {
namespace {

struct Table {
    GuardLink guard{UniqueFd()};
    Shared shared{guard, methods(), {}, {}};
    ConnectionTable table;

    Connection& add(std::uint64_t id) {
        return table.add(std::make_unique<Connection>(
            UniqueFd(), channel::Connection{channel::ConnectionId{id}}, shared));
    }
};

TEST(ConnectionTable, FindsByTokenAndByNumber) {
    Table t;
    const Connection& one = t.add(7);
    const Connection& other = t.add(3);
    EXPECT_EQ(t.table.find(one.token), &one);
    EXPECT_EQ(t.table.find(other.token), &other);
    EXPECT_EQ(t.table.find(channel::ConnectionId{7}), &one);
    EXPECT_EQ(t.table.find(channel::ConnectionId{3}), &other);
    EXPECT_EQ(t.table.find(channel::ConnectionId{1}), nullptr);
    EXPECT_EQ(t.table.find(Token{~std::uint64_t{0}}), nullptr);
}

// An event may come for one that is gone, whose place another one has by now.
TEST(ConnectionTable, NoTokenIsGivenTwice) {
    Table t;
    std::set<Token> given;
    for (std::uint64_t id = 1; id <= 100; ++id) {
        const Connection& added = t.add(id);
        const Token token = added.token;
        EXPECT_TRUE(given.insert(token).second);
        for (const Token old : given) {
            EXPECT_EQ(t.table.find(old), old == token ? &added : nullptr);
        }
        t.table.remove(added);
        EXPECT_EQ(t.table.find(token), nullptr);
        EXPECT_EQ(t.table.find(channel::ConnectionId{id}), nullptr);
    }
}

TEST(ConnectionTable, VisitsThoseThatAreThere) {
    Table t;
    t.add(1);
    const Connection& gone = t.add(2);
    t.add(3);
    t.table.remove(gone);
    std::vector<channel::ConnectionId> seen;
    t.table.for_each([&seen](const Connection& one) { seen.push_back(one.id()); });
    EXPECT_EQ(seen, (std::vector{channel::ConnectionId{1}, channel::ConnectionId{3}}));
}

}  // namespace
}  // namespace postern::session
