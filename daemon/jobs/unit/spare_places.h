// Whether paths still lead to what they led to when a unit was set up with them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace postern::jobs {

class SparePlaces {
  public:
    // Absent: one of them is not there, or can't be looked at.
    static std::optional<SparePlaces> of(const std::vector<std::string>& paths);

    [[nodiscard]] bool are_the_same() const;

  private:
    // A number may be given to another file later: hence the time at which it was made.
    struct Identity {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        std::int64_t seconds = 0;
        std::uint32_t nanoseconds = 0;
        bool operator==(const Identity&) const = default;
    };
    static std::optional<Identity> identity_of(const std::string& path);

    std::vector<std::pair<std::string, Identity>> places_;
};

}  // namespace postern::jobs
