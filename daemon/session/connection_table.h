// The connections of a session: by what epoll knows each by, which takes no search, and by the
// number that the guard gave it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "daemon/channel/messages.h"
#include "daemon/session/connection.h"

namespace postern::session {

class ConnectionTable {
  public:
    // Null: there is none, or not any more.
    [[nodiscard]] Connection* find(Token token) const;
    [[nodiscard]] Connection* find(channel::ConnectionId id) const;

    // Gives it its token, which no other ever gets: an event of one that is gone finds nothing.
    // Precondition: none has its number.
    Connection& add(std::unique_ptr<Connection> connection);
    // One that is there.
    void remove(const Connection& connection);

    template <typename Visit>
    void for_each(Visit visit) const {
        for (const Slot& slot : slots_) {
            if (slot.connection) visit(*slot.connection);
        }
    }

  private:
    struct Slot {
        std::unique_ptr<Connection> connection;
        std::uint32_t use = 0;  // the upper half of its token
    };

    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_;
    std::unordered_map<channel::ConnectionId, std::uint32_t> by_id_;
    std::uint32_t uses_ = 0;
};

}  // namespace postern::session
