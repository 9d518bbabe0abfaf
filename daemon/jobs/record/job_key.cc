#include "daemon/jobs/record/job_key.h"

#include <string>

namespace postern::jobs {
namespace {

constexpr std::string_view job_digits = "0123456789abcdef";

}  // namespace

std::optional<JobKey> JobKey::of(std::string_view text) {
    return text.size() == digits ? least_with(text) : std::nullopt;
}

std::optional<JobKey> JobKey::least_with(std::string_view beginning) {
    if (beginning.size() > digits) return std::nullopt;
    JobKey key;
    for (std::size_t i = 0; i < beginning.size(); ++i) {
        const std::size_t digit = job_digits.find(beginning[i]);
        if (digit == std::string_view::npos) return std::nullopt;
        const unsigned shift = i % 2 == 0 ? 4 : 0;
        key.bytes_.at(i / 2) = static_cast<std::uint8_t>(key.bytes_.at(i / 2) | (digit << shift));
    }
    return key;
}

JobId JobKey::id() const {
    std::string text;
    text.reserve(digits);
    for (const std::uint8_t byte : bytes_) {
        text += job_digits[byte >> 4U];
        text += job_digits[byte & 15U];
    }
    return JobId(std::move(text));
}

bool JobKey::begins_with(std::string_view beginning) const {
    return id().text().starts_with(beginning);
}

}  // namespace postern::jobs
