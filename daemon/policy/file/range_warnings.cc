#include "daemon/policy/file/range_warnings.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "base/utf8.h"

namespace postern::policy {
namespace {

struct ReservedIds {
    id_t first;
    id_t last;
    const char* purpose;
};
constexpr std::array<ReservedIds, 2> reserved = {{
    {61184, 65519, "which systemd gives to services with DynamicUser"},
    {524288, 1878982655, "which systemd gives to containers"},
}};

std::string shown_range(const SubordinateIds& ids) {
    return std::to_string(ids.first) + "-" + std::to_string(ids.last) + " of " +
           in_quotes(ids.owner);
}

}  // namespace

std::vector<std::string> range_warnings(const std::string& file,
                                        const std::vector<SubordinateIds>& ranges,
                                        const NamedIds& taken, const std::string& what_is_taken) {
    std::vector<std::string> warnings;
    std::vector<SubordinateIds> sorted = ranges;
    std::ranges::sort(sorted, [](const SubordinateIds& one, const SubordinateIds& other) {
        return std::tie(one.first, one.line) < std::tie(other.first, other.line);
    });
    const SubordinateIds* highest = nullptr;  // of those before, the one that ends last
    for (const SubordinateIds& ids : sorted) {
        const auto warn = [&](const std::string& what) {
            std::string warning = file + ':' + std::to_string(ids.line) + ": ";
            warning += shown_range(ids);
            warning += what;
            warning += "; assign other ids";
            warnings.push_back(std::move(warning));
        };
        const auto covered = std::ranges::lower_bound(
            taken, ids.first, {}, [](const auto& entry) { return entry.first; });
        if (covered != taken.end() && covered->first <= ids.last) {
            warn(std::string(" covers the ")
                     .append(what_is_taken)
                     .append(" ")
                     .append(in_quotes(covered->second))
                     .append(" (")
                     .append(std::to_string(covered->first))
                     .append("), which its owner can then become"));
        }
        if (highest != nullptr && highest->last >= ids.first && highest->owner != ids.owner) {
            warn(" overlaps " + shown_range(*highest) + " in line " +
                 std::to_string(highest->line) +
                 ": a deny rule that names one of them applies to both");
        }
        for (const ReservedIds& other : reserved) {
            if (ids.first > other.last || ids.last < other.first) continue;
            warn(" covers ids from " + std::to_string(other.first) + " to " +
                 std::to_string(other.last) + ", " + other.purpose);
        }
        if (highest == nullptr || ids.last > highest->last) highest = &ids;
    }
    return warnings;
}

}  // namespace postern::policy
