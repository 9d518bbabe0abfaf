#include "ctl/text/columns.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "ctl/text/text.h"

namespace postern::ctl {
namespace {

constexpr std::size_t gap = 2;
constexpr std::size_t least_elastic_width = 8;

}  // namespace

std::string columns(std::vector<std::vector<std::string>> rows, std::size_t width,
                    std::size_t elastic, std::optional<std::size_t> dispensable) {
    if (rows.empty()) return {};
    std::vector<std::size_t> widths(rows.front().size());
    for (const auto& row : rows) {
        for (std::size_t i = 0; i < widths.size(); ++i) {
            widths[i] = std::max(widths[i], characters(row.at(i)));
        }
    }
    const std::size_t all =
        std::accumulate(widths.begin(), widths.end(), gap * (widths.size() - 1));
    if (width != 0 && all > width) {
        const std::size_t rest = all - widths.at(elastic);
        const std::size_t least = std::min(widths[elastic], least_elastic_width);
        if (dispensable && rest + least > width) {
            const auto at = static_cast<std::ptrdiff_t>(*dispensable);
            for (auto& row : rows) row.erase(row.begin() + at);
            return columns(std::move(rows), width, elastic - (elastic > *dispensable ? 1 : 0));
        }
        widths[elastic] = std::max(width > rest ? width - rest : 0, least);
    }
    std::string table;
    for (auto& row : rows) {
        row.at(elastic) = shortened(row.at(elastic), widths[elastic]);
        std::string line;
        for (std::size_t i = 0; i < widths.size(); ++i) {
            line += row[i];
            const bool is_last = i + 1 == widths.size();
            if (!is_last) line += std::string(widths[i] - characters(row[i]) + gap, ' ');
        }
        table += (width == 0 ? line : shortened(line, width)) + '\n';
    }
    return table;
}

}  // namespace postern::ctl
