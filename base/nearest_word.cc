#include "base/nearest_word.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace postern {
namespace {

// How many slips make `a` of `b` (optimal string alignment).
std::size_t slips(std::string_view a, std::string_view b) {
    std::vector<std::size_t> two_before;
    std::vector<std::size_t> before(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) before[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::vector<std::size_t> now(b.size() + 1);
        now[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = std::min({before[j] + 1, now[j - 1] + 1, before[j - 1] + other});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                now[j] = std::min(now[j], two_before[j - 2] + 1);
            }
        }
        two_before = std::exchange(before, std::move(now));
    }
    return before[b.size()];
}

}  // namespace

std::string_view nearest_word(std::string_view typed, std::span<const std::string_view> words) {
    constexpr std::size_t short_word = 4;
    const std::size_t most = typed.size() <= short_word ? 1 : 2;
    std::string_view nearest;
    std::size_t fewest = most + 1;
    for (const auto word : words) {
        // Of very different lengths they can't be near, however long what was typed is.
        if (typed.size() > word.size() + most || word.size() > typed.size() + most) continue;
        if (const auto count = slips(typed, word); count < fewest) {
            nearest = word;
            fewest = count;
        }
    }
    return nearest;
}

}  // namespace postern
