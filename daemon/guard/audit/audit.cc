#include "daemon/guard/audit/audit.h"

#include <array>
#include <chrono>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "daemon/guard/audit/audit_change.h"
#include "daemon/guard/audit/audit_message.h"

namespace postern {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr const char* journal_socket = "/run/systemd/journal/socket";
// Groups that one record names; a caller may have 65,536.
constexpr std::size_t most_groups_told = 64;
// What each kind is called, and its entry in systemd/postern.catalog (journald.conf(5),
// MESSAGE_ID): never changed, since administrators search and filter by both.
struct KindRow {
    const char* name;
    const char* message_id;
};
constexpr std::array<KindRow, 17> kinds = {{
    {"connection-refused", "aa15b49c6ea640088af83ea8898a474a"},
    {"call-denied", "55f44c30b6c44a50b6a8b611d7fc3464"},
    {"call-refused", "592e2ce021e04776965e6034a8add664"},
    {"job-started", "42378e8a558841e5b04467a7f6d98975"},
    {"job-ended", "02750be9bbed4e119ff7008a83b8ee12"},
    {"job-not-started", "719058d90aa34d60a01d9f38f0f22322"},
    {"job-lost", "f86f6c6ec6104623affcb14f5ddb7089"},
    {"packet-refused", "2bd9766abc1d4b7697c7c88ac66d8ddd"},
    {"session-failed", "a2222a665779457a9a32cd6ea56510a7"},
    {"connection-dropped", "4d7e0c4bb9b44a0f8f0f4d2a1c6e5b93"},
    {"job-evicted", "c69ee4f7b68c4583818af311f92688da"},
    {"disk-full", "4aba679f8d6c4d62acaa248b71c8c141"},
    {"disk-has-room", "56ea7285cb114fe2994245fe2cd91588"},
    {"action-off", "c7a4f1d2b0a94e1c8f4d6a53be9217f4"},
    {"actions-changed", "8d1f0c6be7a34b6c9f5e2a70d4c3b918"},
    {"job-cancelled", "b0c049af56fb4e21bd995f9181d110da"},
    {"log-level-changed", "eabdecec013048d8a875ef8ead0a5a25"},
}};
static_assert(static_cast<std::size_t>(AuditEvent::Kind::log_level_changed) + 1 == kinds.size());
constexpr KindRow denials_summed = {"denials-summed", "b73acb796e064f01a07e80bbd189c1a8"};
constexpr KindRow records_lost = {"records-lost", "0ba7609c584c4ca48bdad568d0802db6"};

const char* name(AuditEvent::Kind kind) {
    return kinds.at(static_cast<std::size_t>(kind)).name;
}

bool is_denial(AuditEvent::Kind kind) {
    return kind == AuditEvent::Kind::connection_refused || kind == AuditEvent::Kind::call_denied ||
           kind == AuditEvent::Kind::call_refused || kind == AuditEvent::Kind::packet_refused ||
           kind == AuditEvent::Kind::session_failed || kind == AuditEvent::Kind::connection_dropped;
}

// syslog(3): 3 is an error, 5 is notice, 6 is informational.
const char* priority(AuditEvent::Kind kind) {
    using Kind = AuditEvent::Kind;
    if (kind == Kind::action_off || kind == Kind::disk_full) return "3";
    const bool is_notice = kind == Kind::disk_has_room || kind == Kind::actions_changed ||
                           kind == Kind::job_cancelled || kind == Kind::log_level_changed;
    return is_denial(kind) || is_notice ? "5" : "6";
}

// What became of a job whose start is recorded.
AuditRoom room_of(AuditEvent::Kind kind) {
    using Kind = AuditEvent::Kind;
    if (kind == Kind::job_started) return AuditRoom::starts;
    const bool ends = kind == Kind::job_ended || kind == Kind::job_not_started ||
                      kind == Kind::job_lost || kind == Kind::job_evicted ||
                      kind == Kind::disk_full || kind == Kind::disk_has_room;
    return ends ? AuditRoom::ends : AuditRoom::common;
}

std::string timestamp(std::chrono::system_clock::time_point time) {
    const auto usec =
        std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
    const auto seconds = static_cast<std::time_t>(usec / 1'000'000);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> date{};
    std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    std::string fraction = std::to_string(usec % 1'000'000);
    fraction.insert(0, 6 - fraction.size(), '0');
    return std::string(date.data()) + '.' + fraction + 'Z';
}

// Everything outside printable ASCII becomes \uXXXX, so that no field can end a record, forge
// another, or move a terminal's cursor.
std::string dump(const OrderedJson& json) {
    return json.dump(-1, ' ', true, OrderedJson::error_handler_t::replace);
}

std::string escaped(const std::string& text) {
    const std::string quoted = dump(text);
    return quoted.substr(1, quoted.size() - 2);
}

OrderedJson to_json(const JobResult& result) {
    OrderedJson json;
    json["outcome"] = outcome_word(result);
    if (result.by_signal) {
        json["signal"] = result.status;
    } else if (result.outcome != Outcome::lost) {
        json["exitCode"] = result.status;
    }
    json["startedAt"] = usec_of(result.started);
    json["endedAt"] = usec_of(result.ended);
    json["cpuMicroseconds"] = result.cpu.count();
    json["maxResidentKiB"] = result.max_resident_kib;
    if (result.ended_processes > 0) json["endedProcesses"] = result.ended_processes;
    return json;
}

OrderedJson to_json(const std::vector<AuditArgument>& arguments) {
    OrderedJson json = OrderedJson::object();
    for (const AuditArgument& argument : arguments) {
        if (!argument.whole) {
            json[argument.name] = argument.text;
            continue;
        }
        json[argument.name] = {{"start", argument.text},
                               {"bytes", argument.whole->bytes},
                               {"sha256", argument.whole->sha256}};
    }
    return json;
}

// The names are in the order of the groups; null is one without a name.
void put_groups(OrderedJson& json, const policy::Caller& caller, const AccountNames& names) {
    if (caller.groups.empty()) return;
    OrderedJson groups = OrderedJson::array();
    OrderedJson group_names = OrderedJson::array();
    bool any_name = false;
    for (const gid_t group : caller.groups) {
        if (groups.size() == most_groups_told) break;
        groups.push_back(group);
        const std::string name = names.group(group);
        group_names.push_back(name.empty() ? OrderedJson() : OrderedJson(name));
        any_name = any_name || !name.empty();
    }
    const bool all = groups.size() == caller.groups.size();
    json["groups"] = std::move(groups);
    if (any_name) json["groupNames"] = std::move(group_names);
    if (!all) json["groupCount"] = caller.groups.size();
}

std::string signal_name(int signal) {
    const char* const name = ::sigabbrev_np(signal);
    return name != nullptr ? name : std::to_string(signal);
}

// Of POSTERN_STATUS alone nobody could tell which of both it is.
template <typename Put>
void put_status(Put put, const JobResult& result) {
    if (result.by_signal) {
        put("POSTERN_SIGNAL", signal_name(result.status));
    } else if (result.outcome == Outcome::exited) {
        put("POSTERN_EXIT_CODE", std::to_string(result.status));
    }
    if (result.ended_processes > 0) {
        put("POSTERN_ENDED_PROCESSES", std::to_string(result.ended_processes));
    }
}

}  // namespace

std::string audit_json(const AuditEvent& event, std::chrono::system_clock::time_point time,
                       std::uint64_t count, const AccountNames& names) {
    OrderedJson json;
    json["time"] = timestamp(time);
    json["event"] = name(event.kind);
    if (count > 0) {
        json["event"] = denials_summed.name;
        json["of"] = name(event.kind);
        json["count"] = count;
    }
    const auto put = [&json](const char* key, const std::string& value) {
        if (!value.empty()) json[key] = value;
    };
    if (event.caller != nullptr) {
        const policy::Caller& caller = *event.caller;
        json["uid"] = caller.uid;
        put("user", names.user(caller.uid));
        if (caller.payer() != caller.uid) {
            json["owner"] = caller.payer();
            put("ownerUser", names.user(caller.payer()));
        }
        json["gid"] = caller.gid;
        put("group", names.group(caller.gid));
        put_groups(json, caller, names);
        if (event.pid > 0) json["pid"] = event.pid;
        if (event.unit) json["unit"] = *event.unit;
    }
    put("listener", event.listener);
    put("action", event.action);
    put("rule", event.rule);
    put("place", event.place);
    put("reason", event.reason);
    put("job", event.job);
    if (event.kind == AuditEvent::Kind::job_started) {
        json["arguments"] = to_json(event.arguments);
    }
    if (event.signal > 0) json["signal"] = event.signal;
    put("level", event.level);
    if (event.cancelled_by) {
        json["cancelledBy"]["uid"] = event.cancelled_by->uid;
        if (const std::string& user = event.cancelled_by->user; !user.empty()) {
            json["cancelledBy"]["user"] = user;
        }
    }
    if (event.result) json["result"] = to_json(*event.result);
    for (const ChangeRow& row : change_rows) {
        if (event.change == nullptr || (event.change->*row.names).empty()) continue;
        const auto& actions = event.change->*row.names;
        json[row.key] = first_actions_of(actions);
        if (actions.size() > most_actions_told) {
            json[row.key + std::string("Count")] = actions.size();
        }
    }
    return dump(json);
}

AuditFields audit_fields(const AuditEvent& event, std::uint64_t count, const AccountNames& names) {
    AuditFields fields;
    const auto put = [&fields](const char* key, const std::string& value) {
        if (!value.empty()) fields.emplace_back(key, escaped(value));
    };
    const KindRow& kind =
        count > 0 ? denials_summed : kinds.at(static_cast<std::size_t>(event.kind));
    fields.emplace_back("MESSAGE", audit_message(name(event.kind), event, count, names));
    put("PRIORITY", priority(event.kind));
    put("SYSLOG_IDENTIFIER", "posternd");
    put("MESSAGE_ID", kind.message_id);
    put("POSTERN_EVENT", kind.name);
    if (count > 0) {
        put("POSTERN_OF", name(event.kind));
        put("POSTERN_COUNT", std::to_string(count));
    }
    if (event.caller != nullptr) {
        const policy::Caller& caller = *event.caller;
        put("POSTERN_UID", std::to_string(caller.uid));
        put("POSTERN_USER", names.user(caller.uid));
        if (caller.payer() != caller.uid) {
            put("POSTERN_OWNER", std::to_string(caller.payer()));
            put("POSTERN_OWNER_USER", names.user(caller.payer()));
        }
        put("POSTERN_GID", std::to_string(caller.gid));
        put("POSTERN_GROUP", names.group(caller.gid));
        put("POSTERN_PID", std::to_string(event.pid));
        put("POSTERN_UNIT", event.unit.value_or(""));
    }
    put("POSTERN_ACTION", event.action);
    put("POSTERN_RULE", event.rule);
    put("POSTERN_PLACE", event.place);
    put("POSTERN_REASON", event.reason);
    put("POSTERN_JOB", event.job);
    // For the catalogue's sentence.
    if (event.kind == AuditEvent::Kind::call_denied && count == 0) {
        put("POSTERN_ASKED", event.job.empty() ? "action " + event.action : "job " + event.job);
    }
    if (event.result) {
        put("POSTERN_OUTCOME", std::string(outcome_word(*event.result)));
        put("POSTERN_STATUS", std::to_string(event.result->status));
        put_status(put, *event.result);
    }
    if (event.signal > 0) put("POSTERN_SIGNAL", signal_name(event.signal));
    put("POSTERN_LEVEL", event.level);
    if (event.cancelled_by) {
        put("POSTERN_CANCELLED_BY", std::to_string(event.cancelled_by->uid));
        put("POSTERN_CANCELLED_BY_USER", event.cancelled_by->user);
    }
    for (const ChangeRow& row : change_rows) {
        if (event.change != nullptr) put(row.field, field_of(event.change->*row.names));
    }
    if (event.kind == AuditEvent::Kind::job_started) {
        fields.emplace_back("POSTERN_ARGUMENTS", dump(to_json(event.arguments)));
    }
    return fields;
}

Result<std::unique_ptr<Audit>> Audit::create(sd_event* event,
                                             const std::optional<std::string>& file,
                                             AuditNotice notice) {
    if (file) {
        POSTERN_TRY(auto sink, open_audit_file(*file, std::move(notice)));
        return std::make_unique<Audit>(event, std::move(sink));
    }
    auto journal = open_audit_journal(event, journal_socket);
    return std::make_unique<Audit>(event, journal ? std::move(*journal) : audit_to_stderr(event));
}

Audit::Audit(sd_event* event, std::unique_ptr<AuditSink> sink)
    : sink_(std::move(sink)), timer_(event, [this] { sum_up(); }) {}

bool Audit::write(const AuditEvent& event) {
    if (is_denial(event.kind)) {
        const policy::Caller nobody;
        const policy::Caller& caller = event.caller != nullptr ? *event.caller : nobody;
        const bool was_open = denials_.open();
        const bool single =
            denials_.single(caller.payer(), caller.gid, static_cast<std::uint8_t>(event.kind),
                            std::chrono::steady_clock::now());
        // Without a timer the sum is recorded with the next window's.
        if (!was_open) (void)timer_.arm(DenialWindow::length);
        if (!single) return true;
    }
    return record(event, 0);
}

bool Audit::record(const AuditEvent& event, std::uint64_t count) {
    const std::string line = audit_json(event, std::chrono::system_clock::now(), count, names_);
    if (!sink_->write(line, audit_fields(event, count, names_), room_of(event.kind))) {
        ++lost_;
        return false;
    }
    if (lost_ > 0) {
        const std::uint64_t lost = std::exchange(lost_, 0);
        OrderedJson json;
        json["time"] = timestamp(std::chrono::system_clock::now());
        json["event"] = records_lost.name;
        json["count"] = lost;
        const AuditFields fields = {{"MESSAGE", std::to_string(lost) + " audit records were lost"},
                                    {"PRIORITY", "3"},
                                    {"SYSLOG_IDENTIFIER", "posternd"},
                                    {"MESSAGE_ID", records_lost.message_id},
                                    {"POSTERN_EVENT", records_lost.name},
                                    {"POSTERN_COUNT", std::to_string(lost)}};
        if (!sink_->write(dump(json), fields, AuditRoom::common)) lost_ = lost;
    }
    return true;
}

void Audit::sum_up() {
    for (const auto& sum : denials_.ended(std::chrono::steady_clock::now())) {
        policy::Caller caller;
        caller.uid = sum.uid;
        caller.gid = sum.gid;
        AuditEvent event;
        event.kind = static_cast<AuditEvent::Kind>(sum.kind);
        event.caller = &caller;
        record(event, sum.count);
    }
    if (denials_.open()) (void)timer_.arm(DenialWindow::length / 10);
}

}  // namespace postern
