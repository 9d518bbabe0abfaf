// How the orders of both kinds of launcher are written: integers little-endian and of fixed size, a
// text or list preceded by its 32-bit length, no NUL byte, and no more than order_bytes in all.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "daemon/launcher/order.h"

namespace postern::launcher {

class OrderWriter {
  public:
    template <typename Integer>
    void integer(Integer value) {
        for (std::size_t i = 0; i < sizeof(Integer); ++i) {
            bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
        }
    }
    // Lengths that do not fit make the whole too long, which finish() refuses.
    void length(std::size_t value) {
        if (value > order_bytes) too_long_ = true;
        integer(static_cast<std::uint32_t>(std::min(value, order_bytes)));
    }
    void text(std::string_view value) {
        if (value.find('\0') != std::string_view::npos) has_nul_ = true;
        length(value.size());
        if (!too_long_) bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    void texts(const std::vector<std::string>& values) {
        length(values.size());
        for (const std::string& value : values) text(value);
    }
    Result<std::vector<std::uint8_t>> finish() && {
        if (has_nul_) return fail("a NUL byte inside an argument, path or environment text");
        if (too_long_ || bytes_.size() > order_bytes) {
            return fail("command line and environment are larger than " +
                        std::to_string(order_bytes) + " bytes");
        }
        return std::move(bytes_);
    }

  private:
    std::vector<std::uint8_t> bytes_;
    bool has_nul_ = false;
    bool too_long_ = false;
};

// Reads until something is wrong; from then on everything is empty and failed() holds.
class OrderReader {
  public:
    explicit OrderReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    template <typename Integer>
    Integer integer() {
        if (rest_.size() < sizeof(Integer)) failed_ = true;
        if (failed_) return 0;
        Integer value = 0;
        for (std::size_t i = 0; i < sizeof(Integer); ++i) {
            value = static_cast<Integer>(value | static_cast<Integer>(rest_[i]) << (8 * i));
        }
        rest_ = rest_.subspan(sizeof(Integer));
        return value;
    }
    bool boolean() {
        const auto value = integer<std::uint8_t>();
        if (value > 1) failed_ = true;
        return value == 1;
    }
    std::string text() {
        const auto size = integer<std::uint32_t>();
        if (size > rest_.size()) failed_ = true;
        if (failed_) return {};
        std::string value(rest_.begin(), rest_.begin() + size);
        if (value.find('\0') != std::string::npos) failed_ = true;
        rest_ = rest_.subspan(size);
        return value;
    }
    std::vector<std::string> texts() {
        std::vector<std::string> values;
        const std::size_t count = elements(sizeof(std::uint32_t));
        values.reserve(count);
        for (std::size_t i = 0; i < count && !failed_; ++i) values.push_back(text());
        return values;
    }
    std::vector<std::uint32_t> numbers() {
        std::vector<std::uint32_t> values;
        const std::size_t count = elements(sizeof(std::uint32_t));
        values.reserve(count);
        for (std::size_t i = 0; i < count && !failed_; ++i) {
            values.push_back(integer<std::uint32_t>());
        }
        return values;
    }
    [[nodiscard]] bool failed() const { return failed_ || !rest_.empty(); }

  private:
    // A list's length, refused before anything is reserved for it.
    std::size_t elements(std::size_t bytes_each) {
        const std::size_t count = integer<std::uint32_t>();
        if (count > rest_.size() / bytes_each) failed_ = true;
        return failed_ ? 0 : count;
    }

    std::span<const std::uint8_t> rest_;
    bool failed_ = false;
};

}  // namespace postern::launcher
