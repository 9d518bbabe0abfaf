// Small values in an order, in blocks of some hundred of them: each takes little more than its own
// size, where a node of a std::set takes 48 bytes. Each call says what the order is, because the
// values are mostly numbers of things that lie elsewhere.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace postern::jobs {

template <typename T>
class SortedBlocks {
  public:
    struct Position {
        std::size_t block = 0;
        std::size_t index = 0;
        friend bool operator==(const Position&, const Position&) = default;
    };

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] bool empty() const { return size_ == 0; }
    [[nodiscard]] Position begin() const { return {}; }
    [[nodiscard]] Position end() const { return {blocks_.size(), 0}; }
    [[nodiscard]] const T& at(Position at) const { return blocks_[at.block][at.index]; }
    [[nodiscard]] const T& front() const { return blocks_.front().front(); }
    [[nodiscard]] const T& back() const { return blocks_.back().back(); }
    [[nodiscard]] Position next(Position at) const {
        if (++at.index == blocks_[at.block].size()) return {at.block + 1, 0};
        return at;
    }
    [[nodiscard]] Position previous(Position at) const {
        if (at.index > 0) return {at.block, at.index - 1};
        return {at.block - 1, blocks_[at.block - 1].size() - 1};
    }

    // The first for which `is_before` does not hold; it holds for those before it and for no other.
    template <typename Before>
    [[nodiscard]] Position first_not(Before is_before) const {
        const auto block = std::partition_point(
            blocks_.begin(), blocks_.end(),
            [&](const std::vector<T>& values) { return is_before(values.back()); });
        if (block == blocks_.end()) return end();
        const auto found = std::partition_point(block->begin(), block->end(), is_before);
        return {static_cast<std::size_t>(block - blocks_.begin()),
                static_cast<std::size_t>(found - block->begin())};
    }

    // `less`: the order, in which no two values are equal.
    template <typename Less>
    void insert(const T& value, Less less) {
        Position at = first_not([&](const T& other) { return less(other, value); });
        ++size_;
        if (at == end()) {
            // What comes in its order fills its blocks.
            if (blocks_.empty() || blocks_.back().size() == most) blocks_.emplace_back();
            return blocks_.back().push_back(value);
        }
        if (blocks_[at.block].size() == most) at = split(at);
        std::vector<T>& block = blocks_[at.block];
        block.insert(place(block, at.index), value);
    }

    // False: it is not there.
    template <typename Less>
    bool erase(const T& value, Less less) {
        const Position at = first_not([&](const T& other) { return less(other, value); });
        if (at == end() || less(value, this->at(at))) return false;
        std::vector<T>& block = blocks_[at.block];
        block.erase(place(block, at.index));
        --size_;
        if (block.empty()) {
            blocks_.erase(place(blocks_, at.block));
        } else if (at.block + 1 < blocks_.size() &&
                   block.size() + blocks_[at.block + 1].size() <= most / 2) {
            const std::vector<T>& other = blocks_[at.block + 1];
            block.insert(block.end(), other.begin(), other.end());
            blocks_.erase(place(blocks_, at.block + 1));
        }
        return true;
    }

  private:
    static constexpr std::size_t most = 512;

    template <typename Values>
    static auto place(Values& values, std::size_t index) {
        return std::next(values.begin(), static_cast<std::ptrdiff_t>(index));
    }
    // The block of this position becomes two. Returns where the position is then.
    Position split(Position at) {
        std::vector<T>& full = blocks_[at.block];
        std::vector<T> upper(place(full, most / 2), full.end());
        full.erase(place(full, most / 2), full.end());
        blocks_.insert(place(blocks_, at.block + 1), std::move(upper));
        if (at.index <= most / 2) return at;
        return {at.block + 1, at.index - most / 2};
    }

    std::vector<std::vector<T>> blocks_;  // none is empty
    std::size_t size_ = 0;
};

}  // namespace postern::jobs
