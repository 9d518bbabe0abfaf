// What has come in for the loop to deal with, and waits for its owner's turn (turns.h): bounded for
// each owner and in all, in the order in which it came.
//
// Where there is no room for an item yet, `Dealt::later` leaves it and what its owner has behind it
// where they are, until resume(); others go on.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "daemon/loop/turns.h"

namespace postern {

enum class Dealt : std::uint8_t { done, later };

template <typename Item>
class OwnerQueue {
  public:
    // How many items may wait, and how many of their bytes.
    struct Bounds {
        std::size_t of_owner = 0;
        std::size_t all = 0;
        std::size_t bytes_of_owner = std::numeric_limits<std::size_t>::max();
        std::size_t bytes = std::numeric_limits<std::size_t>::max();
    };

    // `deal` is called from the turns, with the item at the front; it may call add() and resume(),
    // and nothing else of this. `turns` outlives it.
    OwnerQueue(Turns& turns, Bounds bounds, std::function<Dealt(Item&)> deal)
        : turns_(turns), bounds_(bounds), deal_(std::move(deal)) {}
    ~OwnerQueue() = default;
    OwnerQueue(const OwnerQueue&) = delete;
    OwnerQueue& operator=(const OwnerQueue&) = delete;

    // Takes the item. False: too many wait, and it is as it was. `bytes` count in its owner's turn.
    bool add(uid_t owner, Item& item, std::size_t bytes = 0) {
        if (size_ >= bounds_.all || size(owner) >= bounds_.of_owner || bytes_ >= bounds_.bytes ||
            this->bytes(owner) >= bounds_.bytes_of_owner) {
            return false;
        }
        const auto [found, is_new] =
            owners_.try_emplace(owner, turns_, owner, [this, owner] { return step(owner); });
        Waiting& waiting = found->second;
        waiting.items.emplace_back(std::move(item), bytes);
        waiting.bytes += bytes;
        bytes_ += bytes;
        ++size_;
        if (!waiting.put_off) waiting.task.ready();
        return true;
    }

    // What was put off is tried again.
    void resume(uid_t owner) {
        const auto found = owners_.find(owner);
        if (found != owners_.end()) resume(found->second);
    }
    void resume_all() {
        for (auto& [owner, waiting] : owners_) resume(waiting);
    }

    // How many wait.
    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t size(uid_t owner) const {
        const auto found = owners_.find(owner);
        return found == owners_.end() ? 0 : found->second.items.size();
    }
    [[nodiscard]] std::size_t bytes(uid_t owner) const {
        const auto found = owners_.find(owner);
        return found == owners_.end() ? 0 : found->second.bytes;
    }

    // Takes all out: `each` is called with every item.
    template <typename Each>
    void drain(Each each) {
        auto owners = std::exchange(owners_, {});
        size_ = 0;
        bytes_ = 0;
        for (auto& [owner, waiting] : owners) {
            for (auto& [item, bytes] : waiting.items) each(item);
        }
    }

  private:
    struct Waiting {
        template <typename Step>
        Waiting(Turns& turns, uid_t owner, Step step) : task(turns, owner, std::move(step)) {}
        std::deque<std::pair<Item, std::size_t>> items;
        std::size_t bytes = 0;
        bool put_off = false;
        Turns::Task task;
    };

    static void resume(Waiting& waiting) {
        if (std::exchange(waiting.put_off, false)) waiting.task.ready();
    }

    Turns::Step step(uid_t owner) {
        Waiting& waiting = owners_.at(owner);
        // Should it call resume(), that counts.
        waiting.put_off = true;
        auto& [item, bytes] = waiting.items.front();
        if (deal_(item) == Dealt::later) return {0, !waiting.put_off};
        waiting.put_off = false;
        const std::size_t taken = bytes;
        waiting.items.pop_front();
        waiting.bytes -= taken;
        bytes_ -= taken;
        --size_;
        const bool more = !waiting.items.empty();
        if (!more) owners_.erase(owner);
        return {taken, more};
    }

    Turns& turns_;
    Bounds bounds_;
    std::function<Dealt(Item&)> deal_;
    std::map<uid_t, Waiting> owners_;  // with something that waits
    std::size_t size_ = 0;
    std::size_t bytes_ = 0;
};

}  // namespace postern
