#include "daemon/policy/file/settling.h"

#include <algorithm>

namespace postern::policy {
namespace {

using std::chrono::nanoseconds;

// Negative: it lies in the future.
nanoseconds age_of(const TimeStamp& stamp, std::chrono::system_clock::time_point wall) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wall.time_since_epoch());
    // No overflow, whatever a file system says.
    constexpr std::int64_t most = 1'000'000'000;
    const std::int64_t whole =
        std::clamp(seconds.count() - std::clamp(stamp.seconds, -most, 8 * most), -most, most);
    return std::chrono::seconds(whole) + (wall.time_since_epoch() - seconds) -
           nanoseconds(stamp.nanoseconds);
}

void wait_for(std::optional<nanoseconds>& next, nanoseconds time) {
    next = std::min(next.value_or(time), std::max(time, nanoseconds(1'000'000)));
}

}  // namespace

Settling::Found Settling::take(const Marks& before, const Marks& after, const Names& open, Now now,
                               nanoseconds quiet, const Sources& sources) {
    Found found;
    for (std::size_t i = 0; i < after.size(); ++i) {
        take_directory(i, before[i], after[i], {now, quiet, sources}, found);
    }
    take_open(open, now, found);
    // What vanished before we began to watch is known by nothing but its directory's time.
    const nanoseconds watched = now.steady - began_.value_or(now.steady);
    if (!began_) began_ = now.steady;
    for (const DirectoryMarks& directory : after) {
        const nanoseconds age = age_of(directory.mark.changed, now.wall);
        if (!directory.mark.is_there() || watched >= quiet || age >= quiet) continue;
        wait_for(found.next, age > nanoseconds(0) ? quiet - age : quiet - watched);
    }
    return found;
}

void Settling::take_directory(std::size_t number, const DirectoryMarks& before,
                              const DirectoryMarks& after, const Look& look, Found& found) {
    Files& seen = seen_[number];
    const Now& now = look.now;
    for (const auto* const marks : {&before, &after}) {
        for (const auto& [name, mark] : marks->files) {
            seen.try_emplace(name, Seen{mark, now.steady, now.steady, {}, now.steady});
        }
    }
    for (auto it = seen.begin(); it != seen.end();) {
        const auto& [name, known] = *it;
        Seen& file = it->second;
        const Mark mark = after.of(name);
        const bool changes = before.of(name) != mark;
        if (changes || file.mark != mark) {
            if (!file.restless) file.restless = now.steady;
            file.mark = mark;
            file.since = now.steady;
        }
        const Mark& dated = mark.is_there() ? mark : after.mark;
        if (changes || file.dated != dated) {
            file.dated = dated;
            file.dated_since = now.steady;
        }
        const auto source = look.sources.find(name);
        const bool uncovers = source != look.sources.end() && source->second < number;
        const nanoseconds quiet = uncovers ? nanoseconds(quiet_time) : look.quiet;
        const nanoseconds age =
            dated.is_there() ? age_of(dated.changed, now.wall) : nanoseconds::min();
        // It may have been there since we looked last, of which its directory tells.
        const nanoseconds watched = now.steady - (uncovers ? file.dated_since : file.since);
        const bool rests = !changes && (age >= quiet || watched >= quiet);
        // Also where it changes while it is read: what was read did stand there, and the next call
        // sees that something else does by now. But what it replaces does not: that is believed
        // where all that time it was never there.
        const bool enough =
            file.restless && now.steady - *file.restless >= patience &&
            (!uncovers || (!mark.is_there() && now.steady - file.since >= patience));
        if (rests || enough || !file.restless) {
            file.restless.reset();
        } else {
            found.restless.insert(name);
            if (uncovers) found.uncovered.insert(name);
            wait_for(found.next, age > nanoseconds(0) ? std::min(quiet - age, quiet - watched)
                                                      : quiet - watched);
        }
        it = file.restless || mark.is_there() ? std::next(it) : seen.erase(it);
    }
}

void Settling::take_open(const Names& open, Now now, Found& found) {
    std::erase_if(open_, [&open](const auto& entry) { return !open.contains(entry.first); });
    for (const std::string& name : open) {
        const auto since = open_.try_emplace(name, now.steady).first->second;
        if (now.steady - since >= patience) {
            found.held.insert(name);
        } else {
            found.restless.insert(name);
            found.waits_for_close = true;
        }
    }
}

}  // namespace postern::policy
