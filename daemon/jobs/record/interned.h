// Values that many things share, each kept once for as long as anything has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "daemon/jobs/record/slab.h"

namespace postern::jobs {

template <typename T>
class Interned {
  public:
    using Number = std::uint32_t;

    // One more has this value.
    Number add(const T& value) {
        const auto [entry, is_new] = numbers_.try_emplace(value, 0);
        if (is_new) entry->second = users_.add({&entry->first, 0});
        ++users_[entry->second].count;
        return entry->second;
    }
    // One of those no longer has it.
    void drop(Number number) {
        User& user = users_[number];
        if (--user.count > 0) return;
        numbers_.erase(numbers_.find(*user.value));
        users_.remove(number);
    }
    [[nodiscard]] const T& operator[](Number number) const { return *users_[number].value; }
    [[nodiscard]] std::optional<Number> find(const T& value) const {
        const auto found = numbers_.find(value);
        return found == numbers_.end() ? std::nullopt : std::optional(found->second);
    }
    // In the order of the values.
    [[nodiscard]] const std::map<T, Number>& all() const { return numbers_; }

  private:
    struct User {
        const T* value = nullptr;
        std::size_t count = 0;
    };
    std::map<T, Number> numbers_;
    Slab<User> users_;
};

}  // namespace postern::jobs
