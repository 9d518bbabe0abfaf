// A set of groups as one number, by which a record knows its caller again. The kernel gives a
// process up to 65,536 groups, and whoever owns subordinate ids chooses them freely: they are too
// many to be written and read with each job, and an ordinary hash of them could be matched on
// purpose.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <span>

namespace postern::jobs {

// SipHash-2-4 (Aumasson and Bernstein, 2012) of the groups' numbers, little-endian, under a key
// that no caller knows.
class GroupDigest {
  public:
    using Key = std::array<std::uint8_t, 16>;

    explicit GroupDigest(const Key& key);

    // `groups`: ascending, each once.
    [[nodiscard]] std::uint64_t operator()(std::span<const gid_t> groups) const;

    // The function itself.
    [[nodiscard]] std::uint64_t of_bytes(std::span<const std::uint8_t> bytes) const;

  private:
    std::uint64_t first_;
    std::uint64_t second_;
};

}  // namespace postern::jobs
