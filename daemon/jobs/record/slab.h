// Things of one kind, each by a number of its own: in pieces of memory that stay where they are,
// and without anything beside each thing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace postern::jobs {

template <typename T>
class Slab {
  public:
    using Number = std::uint32_t;

    // The number of one that was removed is given again.
    Number add(T thing) {
        if (free_.empty()) {
            const auto number = static_cast<Number>(used_);
            if (used_++ % piece == 0) pieces_.push_back(std::make_unique<std::array<T, piece>>());
            (*this)[number] = std::move(thing);
            return number;
        }
        const Number number = free_.back();
        free_.pop_back();
        (*this)[number] = std::move(thing);
        return number;
    }
    void remove(Number number) {
        (*this)[number] = T{};
        free_.push_back(number);
    }
    T& operator[](Number number) { return (*pieces_[number / piece])[number % piece]; }
    const T& operator[](Number number) const { return (*pieces_[number / piece])[number % piece]; }

  private:
    static constexpr std::size_t piece = 256;
    std::vector<std::unique_ptr<std::array<T, piece>>> pieces_;
    std::size_t used_ = 0;
    std::vector<Number> free_;
};

}  // namespace postern::jobs
