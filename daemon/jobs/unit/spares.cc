#include "daemon/jobs/unit/spares.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/utf8.h"
#include "daemon/jobs/unit/spare_maker.h"
#include "daemon/jobs/unit/unit_spec.h"
#include "daemon/policy/spare.h"
#include "host/directory.h"

namespace postern::jobs {
namespace {

// Systemd has had nothing to start for us for so long.
constexpr std::chrono::milliseconds idle_time{50};
// Until it is tried again, where something else has to come first.
constexpr std::chrono::seconds later{1};
// systemd has so long to end them.
constexpr std::chrono::seconds leaving_patience{1};
constexpr std::chrono::milliseconds spare_accuracy{10};

// Larger commands are started in the ordinary way: an order goes by one write that does not wait.
constexpr std::size_t most_command_bytes = 64UL * 1024;

std::size_t bytes_of(const policy::Command& command) {
    std::size_t bytes = 0;
    for (const std::string& text : command.argv) bytes += text.size() + 1;
    return bytes;
}

void add_to(std::vector<UniqueFd>& ends, UniqueFd& end) {
    if (end) ends.push_back(std::move(end));
}

}  // namespace

template <typename Argument>
auto Spares::guarded(const std::string& unit,
                     void (Spares::*method)(const std::string& unit, Argument argument)) {
    return [weak = std::weak_ptr<Spares*>(self_), unit, method](Argument argument) {
        if (const auto self = weak.lock()) ((*self)->*method)(unit, argument);
    };
}

Spares::Spares(JobHost& host, ServiceManager& services, std::function<bool()> is_busy)
    : host_(host),
      services_(services),
      is_busy_(std::move(is_busy)),
      world_(host.event(), host.settings().proc_root + "/self/mountinfo", [this] { let_all_go(); }),
      make_timer_(
          host.event(), [this] { make_one(); }, spare_accuracy),
      life_timer_(
          host.event(), [this] { expire(); }, spare_accuracy),
      self_(std::make_shared<Spares*>(this)) {
    const Settings& settings = host.settings();
    if (settings.runtime_folder.empty()) return;
    folder_ = settings.runtime_folder + "/spares";
    if (mkdir(folder_.c_str(), 0700) < 0 && errno != EEXIST) folder_.clear();
}

Spares::~Spares() = default;

bool Spares::can_be() const {
    return !closed_ && actions_ && !folder_.empty() && host_.settings().spares > 0;
}

// ---- Which are wanted ----

void Spares::actions_changed(const policy::SnapshotPtr& actions) {
    let_all_go();
    failed_.clear();
    wishes_.clear();
    actions_ = actions;
    if (!can_be()) return;
    for (const auto& [name, action] : actions_->actions) {
        const auto wanted = policy::wanted_spares(action);
        if (!wanted || *wanted == 0 || policy::why_no_spare(action, "")) continue;
        wishes_[name] = {*wanted, std::nullopt};
    }
    if (!wishes_.empty()) static_cast<void>(make_timer_.arm(idle_time));
}

void Spares::ran(const std::string& action) {
    if (!can_be()) return;
    const auto found = actions_->actions.find(action);
    if (found == actions_->actions.end()) return;
    static_cast<void>(make_timer_.arm(idle_time));
    if (policy::wanted_spares(found->second) || policy::why_no_spare(found->second, "")) return;
    wishes_[action] = {1, Clock::now() + host_.settings().spare_life};
}

std::size_t Spares::count(std::string_view action) const {
    return static_cast<std::size_t>(std::ranges::count_if(spares_, [&](const auto& entry) {
        return entry.second->action == action && entry.second->state != Spare::State::leaving;
    }));
}

std::size_t Spares::count() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        spares_, [](const auto& entry) { return entry.second->state != Spare::State::leaving; }));
}

// What is to be kept comes before what was run lately, and that the last first.
const policy::Action* Spares::next() {
    const auto now = Clock::now();
    std::erase_if(wishes_, [&](const auto& entry) {
        return entry.second.until && *entry.second.until <= now;
    });
    const auto urgency = [](const Wish& wish) {
        return wish.until.value_or(Clock::time_point::max());
    };
    auto best = wishes_.end();
    for (auto wish = wishes_.begin(); wish != wishes_.end(); ++wish) {
        if (failed_.contains(wish->first) || count(wish->first) >= wish->second.count) continue;
        if (best == wishes_.end() || urgency(wish->second) > urgency(best->second)) best = wish;
    }
    if (best == wishes_.end()) return nullptr;
    if (count() >= host_.settings().spares) {
        const auto worth = [&](const Spare& spare) {
            const auto wish = wishes_.find(spare.action);
            return wish == wishes_.end() ? Clock::time_point::min() : urgency(wish->second);
        };
        auto least = spares_.end();
        for (auto entry = spares_.begin(); entry != spares_.end(); ++entry) {
            if (entry->second->state == Spare::State::leaving) continue;
            if (least == spares_.end() || worth(*entry->second) < worth(*least->second)) {
                least = entry;
            }
        }
        if (worth(*least->second) >= urgency(best->second)) return nullptr;
        leave(least);
    }
    const auto action = actions_->actions.find(best->first);
    return action == actions_->actions.end() ? nullptr : &action->second;
}

// ---- How one is made ----

void Spares::make_one() {
    if (!can_be()) return;
    // One at a time: that one's state says when there is to be another.
    const bool is_made = std::ranges::any_of(
        spares_, [](const auto& entry) { return entry.second->state == Spare::State::making; });
    if (is_made) return;
    if (is_busy_()) {
        static_cast<void>(make_timer_.arm(idle_time));
        return;
    }
    RecordStore& records = host_.records();
    if (!host_.keeper().has_plenty() || !records.place_problem().empty() ||
        records.room_for_start() != RecordStore::Room::there) {
        if (!wishes_.empty()) static_cast<void>(make_timer_.arm(later));
        return;
    }
    const policy::Action* const action = next();
    if (action == nullptr) return;
    if (const Status made = make(*action); !made) {
        const std::string& name = action->description.name;
        failed_.insert(name);
        host_.notice("action " + in_quotes(name) + " has no spare: " + made.error().message);
        static_cast<void>(make_timer_.arm(idle_time));
    }
}

Status Spares::make(const policy::Action& action) {
    const std::string launcher = path_of_launcher(host_.settings());
    if (launcher.empty()) return fail("postern-launcher was replaced; restart the daemon");
    if (const auto why = policy::why_no_spare(action, launcher)) {
        return fail(in_quotes(*why) + " rules it out");
    }
    if (!world_.start()) return fail("changes of the mount table can't be noticed");
    auto made = make_spare(host_, action, folder_);
    if (made) {
        UnitSpec spec = spec_of(**made, action, launcher, host_.settings());
        const std::string unit = (*made)->unit;
        spares_.emplace(unit, std::move(*made));
        services_.environment_names([weak = std::weak_ptr<Spares*>(self_), unit,
                                     spec = std::move(spec)](const auto& environment_names) {
            if (const auto self = weak.lock()) (*self)->asked(unit, spec, environment_names);
        });
        arm_life();
    }
    watch_world();
    return made ? Status() : fail(made.error().message);
}

void Spares::asked(const std::string& unit, const UnitSpec& spec,
                   const Result<std::vector<std::string>, CallError>& environment_names) {
    const auto entry = spares_.find(unit);
    if (entry == spares_.end()) return;
    // Nothing was asked for yet.
    if (!environment_names || entry->second->state == Spare::State::leaving) return forget(entry);
    services_.start(spec, *environment_names, guarded(unit, &Spares::answered));
}

void Spares::answered(const std::string& unit, const std::optional<CallError>& error) {
    const auto entry = spares_.find(unit);
    if (entry == spares_.end()) return;
    entry->second->launcher_end.reset();
    if (!error) return;
    failed_.insert(entry->second->action);
    // Where the connection broke, the unit may be there, or come.
    if (error->name.empty()) {
        if (entry->second->state != Spare::State::leaving) leave(entry);
        return;
    }
    if (entry->second->state != Spare::State::leaving) host_.records().remove(entry->second->id);
    forget(entry);
}

// ---- Its life ----

bool Spares::changed(const std::string& unit, Told told, const UnitNews& news) {
    const auto entry = spares_.find(unit);
    if (entry == spares_.end()) return false;
    Spare& spare = *entry->second;
    spare.view.take(news);
    if (told == Told::removed) spare.view.removed();
    // Of a change that is told in two halves, the service's comes first.
    if (told == Told::changed && !news.active) return true;
    const bool is_known = spare.view.phase() > UnitView::Phase::queued;
    // All that was to be told of its start was lost among others' news.
    if (told == Told::job_removed && spare.state == Spare::State::making && !is_known) {
        leave(entry);
        return true;
    }
    look_at(unit);
    return true;
}

void Spares::look_at(const std::string& unit) {
    const auto entry = spares_.find(unit);
    Spare& spare = *entry->second;
    const auto phase = spare.view.phase();
    if (spare.state == Spare::State::leaving) {
        if (phase == UnitView::Phase::gone) return forget(entry);
        if (phase == UnitView::Phase::over) ask_to_go(spare);
        return;
    }
    if (phase > UnitView::Phase::running) return has_died(unit);
    if (spare.view.main_pid() != 0 && !spare.main) {
        const MainProcess::Places places{host_.settings().proc_root, host_.settings().cgroup_root};
        spare.main = MainProcess::watch(host_.event(), places, spare.view.main_pid(), unit,
                                        [this, unit](const auto& /*exit*/) { has_died(unit); });
    }
    if (phase != UnitView::Phase::running || spare.state != Spare::State::making) return;
    if (!spare.main) return has_died(unit);
    spare.state = Spare::State::waiting;
    static_cast<void>(make_timer_.arm(idle_time));
}

void Spares::has_died(const std::string& unit) {
    const auto entry = spares_.find(unit);
    if (entry == spares_.end() || entry->second->state == Spare::State::leaving) return;
    failed_.insert(entry->second->action);
    leave(entry);
    static_cast<void>(make_timer_.arm(idle_time));
}

void Spares::expire() {
    if (closed_and_empty_) return std::exchange(closed_and_empty_, nullptr)();
    std::vector<std::string> due;
    for (const auto& [unit, spare] : spares_) {
        const bool is_due = spare->end() <= Clock::now();
        if (is_due && spare->state != Spare::State::leaving) due.push_back(unit);
    }
    for (const std::string& unit : due) leave(spares_.find(unit));
    // Those that are kept are made anew.
    static_cast<void>(make_timer_.arm(idle_time));
    arm_life();
}

void Spares::arm_life() {
    auto next = Clock::time_point::max();
    for (const auto& [unit, spare] : spares_) {
        if (spare->state != Spare::State::leaving) next = std::min(next, spare->end());
    }
    if (next == Clock::time_point::max()) return;
    const auto left = std::max(next - Clock::now(), Clock::duration(0));
    static_cast<void>(life_timer_.arm(std::chrono::duration_cast<std::chrono::microseconds>(left)));
}

// ---- How one is taken ----

std::optional<Supervisor::Prepared> Spares::take(const policy::Action& action,
                                                 const policy::Command& command) {
    const auto entry =
        std::ranges::find_if(spares_, [&](const auto& one) { return one.second->is_for(action); });
    if (entry == spares_.end() || bytes_of(command) > most_command_bytes) return std::nullopt;
    if (world_.has_changed()) {
        let_all_go();
        return std::nullopt;
    }
    const Spare& spare = *entry->second;
    const bool is_good = !spare.main->has_ended() && spare.places.are_the_same() &&
                         host_.records().open_folder(spare.id) && Clock::now() < spare.end();
    if (!is_good) {
        leave(entry);
        return std::nullopt;
    }
    auto taken = std::move(entry->second);
    spares_.erase(entry);
    watch_world();
    Supervisor::Prepared prepared{taken->id, std::move(taken->streams)};
    taken_.emplace(prepared.id, std::move(taken));
    static_cast<void>(make_timer_.arm(idle_time));
    return prepared;
}

std::unique_ptr<Spare> Spares::handed(const JobId& id) {
    auto node = taken_.extract(id);
    return node ? std::move(node.mapped()) : nullptr;
}

void Spares::drop(const JobId& id) {
    if (auto spare = handed(id)) let_go(std::move(spare));
}

void Spares::let_go(std::unique_ptr<Spare> spare) {
    const std::string unit = spare->unit;
    // Whoever took it has its directory, and perhaps its job's record in there.
    spare->has_folder = false;
    leave(spares_.insert_or_assign(unit, std::move(spare)).first);
}

// ---- How one goes ----

void Spares::leave(Entry entry) {
    Spare& spare = *entry->second;
    spare.state = Spare::State::leaving;
    spare.main.reset();
    if (spare.has_folder) host_.records().remove(spare.id);
    watch_world();
    if (spare.view.phase() == UnitView::Phase::gone) return forget(entry);
    ask_to_go(spare);
}

// By TERM: it has not closed its socket yet, so it has no other reason to end.
void Spares::ask_to_go(const Spare& spare) {
    services_.forget(spare.unit, spare.view.phase() == UnitView::Phase::over &&
                                     spare.view.state().active == "failed");
}

void Spares::forget(Entry entry) {
    Spare& spare = *entry->second;
    std::vector<UniqueFd> ends;
    add_to(ends, spare.socket);
    add_to(ends, spare.launcher_end);
    for (JobStream& stream : spare.streams.streams) {
        add_to(ends, stream.read_end);
        add_to(ends, stream.write_end);
    }
    // As of jobs: whoever has another one of these may have us wait.
    if (host_.settings().close_pipes) host_.settings().close_pipes(std::move(ends));
    if (!spare.marker.empty()) unlink(spare.marker.c_str());
    spares_.erase(entry);
    if (spares_.empty() && closed_and_empty_) std::exchange(closed_and_empty_, nullptr)();
}

void Spares::let_all_go() {
    std::vector<std::string> units;
    for (const auto& [unit, spare] : spares_) {
        if (spare->state != Spare::State::leaving) units.push_back(unit);
    }
    for (const std::string& unit : units) leave(spares_.find(unit));
    // The next is made after the next run; those that are kept soon, but not as often as something
    // changes.
    std::erase_if(wishes_, [](const auto& entry) { return entry.second.until.has_value(); });
    if (!wishes_.empty()) static_cast<void>(make_timer_.arm(later));
}

// Else they would see that the guard is no more before systemd ends them, and be left as failed
// units until the next guard comes.
void Spares::close(const std::function<void()>& done) {
    closed_ = true;
    let_all_go();
    if (spares_.empty()) return done();
    closed_and_empty_ = done;
    static_cast<void>(life_timer_.arm(leaving_patience));
}

void Spares::watch_world() {
    const bool any = count() > 0;
    services_.listen_for_mounts(any);
    if (!any) world_.stop();
}

// systemd tells of mounts also where something else of them is new.
void Spares::mount_changed(std::chrono::microseconds at) {
    const Clock::time_point then(at);
    const bool is_later = std::ranges::any_of(spares_, [&](const auto& entry) {
        return entry.second->state != Spare::State::leaving && entry.second->made <= then;
    });
    if (is_later) let_all_go();
}

void Spares::reconnected() {
    let_all_go();
    for (const auto& [unit, spare] : spares_) look_at_leaving(unit);
}

// What was told of it may not have been heard.
void Spares::look_at_leaving(const std::string& unit) {
    services_.state(
        unit, [weak = std::weak_ptr<Spares*>(self_), unit](const std::optional<UnitState>& state) {
            const auto self = weak.lock();
            // Without an answer the connection broke, and will be there again.
            if (!self || !state) return;
            Spares& spares = **self;
            const auto entry = spares.spares_.find(unit);
            if (entry == spares.spares_.end()) return;
            entry->second->view.take(*state);
            if (entry->second->view.phase() == UnitView::Phase::gone) return spares.forget(entry);
            spares.ask_to_go(*entry->second);
        });
}

void Spares::forget_left() {
    const Directory folder(opendir(folder_.c_str()));
    while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
        const std::string name(static_cast<const char*>(entry->d_name));
        if (name.starts_with('.')) continue;
        const std::string marker = folder_ + "/" + name;
        const JobId id(name);
        if (host_.records().read(id)) {
            // It had become a job.
            unlink(marker.c_str());
            continue;
        }
        auto spare = std::make_unique<Spare>();
        spare->id = id;
        spare->unit = job_unit(id);
        spare->state = Spare::State::leaving;
        spare->marker = marker;
        const std::string unit = spare->unit;
        spares_.emplace(unit, std::move(spare));
        look_at_leaving(unit);
    }
}

}  // namespace postern::jobs
