#include "daemon/session/connection_table.h"

#include <utility>

namespace postern::session {
namespace {

std::uint32_t slot_of(Token token) {
    return static_cast<std::uint32_t>(token);
}

}  // namespace

Connection* ConnectionTable::find(Token token) const {
    const std::uint32_t slot = slot_of(token);
    if (slot >= slots_.size()) return nullptr;
    Connection* const connection = slots_[slot].connection.get();
    const bool same = slots_[slot].use == static_cast<std::uint64_t>(token) >> 32U;
    return same ? connection : nullptr;
}

Connection* ConnectionTable::find(channel::ConnectionId id) const {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : slots_[found->second].connection.get();
}

Connection& ConnectionTable::add(std::unique_ptr<Connection> connection) {
    if (free_.empty()) {
        free_.push_back(static_cast<std::uint32_t>(slots_.size()));
        slots_.emplace_back();
    }
    const std::uint32_t slot = free_.back();
    free_.pop_back();
    Slot& taken = slots_[slot];
    taken.use = ++uses_;
    connection->token = Token{std::uint64_t{taken.use} << 32U | slot};
    by_id_.emplace(connection->id(), slot);
    taken.connection = std::move(connection);
    return *taken.connection;
}

void ConnectionTable::remove(const Connection& connection) {
    const std::uint32_t slot = slot_of(connection.token);
    by_id_.erase(connection.id());
    slots_[slot].connection.reset();
    free_.push_back(slot);
}

}  // namespace postern::session
