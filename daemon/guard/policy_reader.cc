#include "daemon/guard/policy_reader.h"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "base/utf8.h"
#include "daemon/policy/file/loader.h"

namespace postern {
namespace {

using policy::BadFile;
using policy::Settling;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

// For so long at most it is waited for files that do not come to rest.
nanoseconds hold_of(ReadWhy why) {
    if (why == ReadWhy::started) return Settling::patience;
    return why == ReadWhy::asked ? std::chrono::seconds(1) : std::chrono::seconds(0);
}

// On a thread of its own an exception would end the guard, and every job with it.
Result<policy::Snapshot> load_guarded(const policy::LoadOptions& options) {
    try {
        return policy::load(options);
    } catch (const std::exception& error) {
        return fail(std::string("the action files can't be loaded: ") + error.what());
    }
}

Settling::Names open_in(const Result<policy::Snapshot>& loaded) {
    Settling::Names names;
    if (!loaded) return names;
    for (const BadFile& bad : loaded->bad) {
        if (bad.until == BadFile::Until::closed) names.insert(bad.action);
    }
    return names;
}

Settling::Sources sources_of(const Result<policy::Snapshot>& loaded,
                             const std::vector<std::string>& folders) {
    Settling::Sources sources;
    if (!loaded) return sources;
    for (const auto& [name, action] : loaded->actions) {
        const auto from = std::ranges::find_if(folders, [&action](const std::string& folder) {
            return action.file.starts_with(folder) && action.file.rfind('/') <= folder.size();
        });
        sources.emplace(name, static_cast<std::size_t>(from - folders.begin()));
    }
    return sources;
}

// What was just changed may be newer than what was read: it counts as another one, once.
policy::ProgramMarks programs_of(const policy::Snapshot& snapshot,
                                 std::chrono::system_clock::time_point began) {
    const auto since = (began - Settling::ready_time).time_since_epoch();
    policy::ProgramMarks programs;
    for (const BadFile& bad : snapshot.bad) {
        if (bad.program.empty() || bad.action.empty()) continue;
        auto mark = policy::local_mark_of(bad.program);
        if (!mark) continue;
        const auto changed =
            std::chrono::seconds(mark->changed.seconds) + nanoseconds(mark->changed.nanoseconds);
        if (mark->is_there() && changed >= since) mark = policy::Mark();
        programs.emplace(bad.action, policy::ProgramMark{bad.program, *mark});
    }
    return programs;
}

}  // namespace

PolicyRead PolicyReader::read(ReadWhy why) {
    if (why == ReadWhy::look && last_ && look_at_people() == people_ &&
        policy::look_at(options_.folders) == *last_read_.marks && programs_are_same()) {
        PolicyRead looked = last_read_;
        looked.looked = true;
        looked.same = true;
        return looked;
    }
    const auto began = steady_clock::now();
    const nanoseconds quiet = why == ReadWhy::asked ? Settling::ready_time : Settling::quiet_time;
    for (;;) {
        Attempt one = attempt(quiet);
        const bool enough = steady_clock::now() - began >= hold_of(why);
        if (!one.loaded || !one.found.next || enough) return finish(std::move(one), why);
        std::this_thread::sleep_for(*one.found.next);
    }
}

// Marked before and after: what is the same in both is what was read.
PolicyReader::Attempt PolicyReader::attempt(nanoseconds quiet) {
    watch_.add(options_.folders);
    const auto began = std::chrono::system_clock::now();
    std::vector<policy::Mark> people = look_at_people();
    policy::Marks before = policy::look_at(options_.folders);
    Result<policy::Snapshot> loaded = load_guarded(options_);
    const policy::Marks after = policy::look_at(options_.folders);
    const Settling::Now now{steady_clock::now(), std::chrono::system_clock::now()};
    Settling::Found found = settling_.take(before, after, open_in(loaded), now, quiet,
                                           sources_of(loaded, options_.folders));
    policy::ProgramMarks programs = loaded ? programs_of(*loaded, began) : policy::ProgramMarks();
    return {std::move(loaded), std::move(before), std::move(people), std::move(programs),
            std::move(found)};
}

PolicyRead PolicyReader::finish(Attempt attempt, ReadWhy why) {
    if (!attempt.loaded) {
        PolicyRead failed = last_read_;
        failed.snapshot = nullptr;
        failed.error = attempt.loaded.error().message;
        failed.again = retry_;
        return failed;
    }
    policy::Snapshot snapshot = *std::move(attempt.loaded);
    PolicyRead read;
    read.again = attempt.found.next;
    if (attempt.found.waits_for_close) {
        read.again = std::min<nanoseconds>(read.again.value_or(retry_), Settling::quiet_time);
    }
    // Who asks is told what is not at rest even then.
    const bool asked = hold_of(why) != nanoseconds(0);
    read.restless = std::move(asked ? attempt.found.uncovered : attempt.found.restless);
    keep_as_loaded(snapshot, read.restless);
    add_what_is_gone(snapshot, attempt.before);
    const bool passes = std::ranges::any_of(
        snapshot.bad, [](const BadFile& bad) { return bad.until != BadFile::Until::changed; });
    if (passes) read.again = std::min(read.again.value_or(retry_), retry_);
    if (last_) snapshot.people.keep_ranges_of(last_->people);

    const policy::Snapshot nothing;
    const policy::Snapshot& before = last_ ? *last_ : nothing;
    read.change = policy::change_between(before, snapshot);
    read.people_changed = snapshot.people.are_others_than(before.people);
    read.same = last_ && !read.change.any() && snapshot.people == before.people &&
                snapshot.bad == before.bad && snapshot.units == before.units &&
                snapshot.passed_over == before.passed_over && snapshot.missing == before.missing;
    if (!read.same) last_ = std::make_shared<const policy::Snapshot>(std::move(snapshot));
    read.snapshot = last_;
    read.marks = std::make_shared<const policy::Marks>(std::move(attempt.before));
    read.programs = std::make_shared<const policy::ProgramMarks>(std::move(attempt.programs));
    people_ = std::move(attempt.people);
    last_read_ = read;
    return read;
}

// What is not at rest, as it was before: its action, or why there is none.
void PolicyReader::keep_as_loaded(policy::Snapshot& snapshot, const Settling::Names& names) const {
    const auto is_restless = [&names](const BadFile& bad) { return names.contains(bad.action); };
    std::erase_if(snapshot.bad, is_restless);
    if (last_) std::ranges::copy_if(last_->bad, std::back_inserter(snapshot.bad), is_restless);
    std::ranges::sort(snapshot.bad, {}, &BadFile::file);
    for (const std::string& name : names) {
        snapshot.actions.erase(name);
        const auto known = last_ ? last_->actions.find(name) : snapshot.actions.end();
        if (!last_ || known == last_->actions.end()) continue;
        snapshot.actions.emplace(name, known->second);
        for (const auto* const rules : {&known->second.allow, &known->second.deny}) {
            for (const policy::Rule& rule : *rules) {
                if (rule.subject.unit) snapshot.units.insert(*rule.subject.unit);
                if (!rule.subject.group) continue;
                const auto members = last_->people.members.find(*rule.subject.group);
                if (members != last_->people.members.end()) {
                    snapshot.people.members.insert(*members);
                }
            }
        }
    }
}

// Said as long as it lasts, and not of what never was there.
void PolicyReader::add_what_is_gone(policy::Snapshot& snapshot, const policy::Marks& marks) {
    bool gone = false;
    std::string all;
    snapshot.bad.reserve(snapshot.bad.size() + marks.size() + 1);
    for (const policy::DirectoryMarks& directory : marks) {
        const std::string shown = printable(directory.path);
        all += (all.empty() ? "" : " or ") + shown;
        if (directory.mark.is_there()) {
            seen_directories_.insert(directory.path);
        } else if (seen_directories_.contains(directory.path)) {
            gone = true;
            // Said here, and not as what may have been missing from the start too.
            std::erase_if(snapshot.missing, [&directory](const policy::MissingFolder& missing) {
                return missing.path == directory.path;
            });
            snapshot.bad.push_back(
                {"", shown,
                 shown + ": no longer exists, so no action from it is loaded; create it again, or "
                         "restart the daemon if it was removed on purpose",
                 BadFile::Until::changed});
        }
    }
    had_actions_ = had_actions_ || !snapshot.actions.empty();
    if (gone || !had_actions_ || !snapshot.actions.empty() || !snapshot.bad.empty()) return;
    snapshot.bad.push_back(
        {"", printable(options_.folders.back()),
         "no action is loaded any more: there is no action file in " + all + "; put one there",
         BadFile::Until::changed});
}

bool PolicyReader::programs_are_same() const {
    return std::ranges::all_of(*last_read_.programs, [](const auto& entry) {
        return policy::mark_of(entry.second.path) == entry.second.mark;
    });
}

std::vector<policy::Mark> PolicyReader::look_at_people() const {
    std::vector<policy::Mark> marks;
    marks.reserve(PolicyWatch::people_files.size());
    for (const std::string_view name : PolicyWatch::people_files) {
        marks.push_back(policy::mark_of(options_.system_settings + '/' + std::string(name)));
    }
    return marks;
}

}  // namespace postern
