// A job's id as the 16 bytes that its 32 digits stand for: a quarter of what the text takes in
// memory, where there are many.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "model/job.h"

namespace postern::jobs {

class JobKey {
  public:
    static constexpr std::size_t digits = 32;

    JobKey() = default;
    // Absent: the text is not the id of a job.
    static std::optional<JobKey> of(std::string_view text);
    // The least of those that begin with these digits, of which there are at most `digits`. Absent:
    // they are not hexadecimal ones.
    static std::optional<JobKey> least_with(std::string_view beginning);

    [[nodiscard]] JobId id() const;
    [[nodiscard]] bool begins_with(std::string_view beginning) const;
    friend auto operator<=>(const JobKey&, const JobKey&) = default;

  private:
    std::array<std::uint8_t, digits / 2> bytes_{};
};

}  // namespace postern::jobs
