#include "daemon/jobs/record/record.h"

#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

namespace postern::jobs {
namespace {

using nlohmann::json;

// What is written. Another number, but for the one before: written in a way that this version does
// not understand.
constexpr std::uint64_t version = 2;
// Version 0.1.0, whose members are spelled created_usec where we write createdUsec.
constexpr std::uint64_t version_before = 1;

std::string spelling_before(std::string_view name) {
    std::string old;
    for (const char c : name) {
        if (c >= 'A' && c <= 'Z') old += '_';
        old += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return old;
}

constexpr std::array<std::pair<RecordState, std::string_view>, 5> states = {{
    {RecordState::starting, "starting"},
    {RecordState::running, "running"},
    {RecordState::ended, "ended"},
    {RecordState::failed, "failed"},
    {RecordState::lost, "lost"},
}};

// Of the requester, where they are known.
constexpr std::array<std::pair<const char*, std::string Requester::*>, 4> optional_texts = {{
    {"user", &Requester::user},
    {"listener", &Requester::listener},
    {"rule", &Requester::rule},
    {"rulePlace", &Requester::rule_place},
}};

// Where the end of stdout and of stderr is lost.
constexpr std::array lost_from_names = {"stdoutLostFrom", "stderrLostFrom"};

template <typename Enum, std::size_t size>
std::string_view name_in(const std::array<std::pair<Enum, std::string_view>, size>& table,
                         Enum value) {
    for (const auto& [known, name] : table) {
        if (known == value) return name;
    }
    return {};
}

// Takes typed members out of one object; the first that is missing or of another type is the error.
class Fields {
  public:
    Fields(const json& object, std::string& error) : object_(object), error_(error) {
        if (!object.is_object()) fails("it", "is not an object");
    }

    const json* member(const char* name) {
        if (!object_.is_object()) return nullptr;
        auto found = object_.find(name);
        if (found == object_.end()) found = object_.find(spelling_before(name));
        if (found == object_.end()) {
            fails(name, "is required");
            return nullptr;
        }
        return &*found;
    }
    std::string text(const char* name) {
        const json* value = member(name);
        if (value != nullptr && !value->is_string()) fails(name, "is not a string");
        return value != nullptr && value->is_string() ? value->get<std::string>() : std::string();
    }
    template <typename Integer>
    Integer number(const char* name) {
        const json* value = member(name);
        if (value == nullptr) return 0;
        if (!value->is_number_unsigned() ||
            value->get<std::uint64_t>() >
                static_cast<std::uint64_t>(std::numeric_limits<Integer>::max())) {
            fails(name, "is not a number of its kind");
            return 0;
        }
        return static_cast<Integer>(value->get<std::uint64_t>());
    }
    Time time(const char* name) { return time_of(number<std::uint64_t>(name)); }
    bool boolean(const char* name) {
        const json* value = member(name);
        if (value != nullptr && !value->is_boolean()) fails(name, "is neither true nor false");
        return value != nullptr && value->is_boolean() && value->get<bool>();
    }
    template <typename Enum, std::size_t size>
    Enum one_of(const char* name,
                const std::array<std::pair<Enum, std::string_view>, size>& table) {
        const std::string found = text(name);
        for (const auto& [value, known] : table) {
            if (known == found) return value;
        }
        fails(name, "has an unknown value");
        return Enum{};
    }
    // A word that a later version may have, whose meaning is not known here, is kept.
    Outcome outcome(const char* name, std::string& other) {
        const std::string word = text(name);
        for (const auto& [value, known] : outcome_names) {
            if (known == word) return value;
        }
        other = word;
        return Outcome::other;
    }
    Canceller canceller() {
        Canceller who{number<std::uint32_t>("uid")};
        if (object_.contains("user")) who.user = text("user");
        return who;
    }
    void fails(const char* name, const char* why) {
        if (error_.empty()) error_ = std::string("\"") + name + "\" " + why;
    }

  private:
    const json& object_;
    std::string& error_;
};

json canceller_json(const Canceller& who) {
    json object = {{"uid", who.uid}};
    if (!who.user.empty()) object["user"] = who.user;
    return object;
}

}  // namespace

bool is_over(RecordState state) {
    return state != RecordState::starting && state != RecordState::running;
}

bool keeps_nothing(const Record& record) {
    return record.pipes > 0 && record.stored_output == 0;
}

std::string_view name_of(Outcome outcome) {
    return name_in(outcome_names, outcome);
}

Owner owner_of(const Requester& requester) {
    return {requester.uid, requester.gid, requester.groups, requester.groups_known, requester.key};
}

std::string to_json(const Record& record) {
    json arguments = json::object();
    for (const auto& [name, text] : record.arguments) arguments[name] = text;
    json object = {
        {"version", version},
        {"job", record.job.text()},
        {"action", record.action},
        {"state", name_in(states, record.state)},
        {"boot", record.boot},
        {"requester",
         {{"uid", record.requester.uid},
          {"gid", record.requester.gid},
          {"pid", static_cast<std::uint32_t>(record.requester.pid)},
          {"groups", record.requester.groups},
          {"groupsKnown", record.requester.groups_known},
          {"key", record.requester.key}}},
        {"uid", record.uid},
        {"gid", record.gid},
        {"arguments", std::move(arguments)},
        {"createdUsec", usec_of(record.created)},
        {"pid", static_cast<std::uint32_t>(record.pid)},
        {"pidStart", record.pid_start},
        {"cgroup", record.cgroup},
        {"unit", record.unit},
        {"killOnDisconnect", record.kill_on_disconnect},
        {"message", record.message},
        {"told", record.told},
        {"again", record.again},
    };
    if (record.requester.unit) object["requester"]["unit"] = *record.requester.unit;
    for (const auto& [name, member] : optional_texts) {
        const std::string& value = record.requester.*member;
        if (!value.empty()) object["requester"][name] = value;
    }
    if (record.requester.call) object["requester"]["call"] = *record.requester.call;
    if (record.requester.paid_by) object["requester"]["payer"] = *record.requester.paid_by;
    if (!record.file_version.empty()) object["fileVersion"] = record.file_version;
    if (!record.lists.empty()) object["lists"] = record.lists;
    if (record.pipes > 0) object["pipes"] = record.pipes;
    if (record.pipes > 0) object["storedOutput"] = record.stored_output;
    if (record.stdout_not_kept) object["stdoutNotKept"] = true;
    if (record.spare) object["spareTimeoutUsec"] = record.timeout.count();
    if (record.unit_counts) object["unitCounts"] = true;
    if (record.ending) {
        object["ending"] = *record.ending == Outcome::other ? record.result.other_outcome
                                                            : std::string(name_of(*record.ending));
    }
    if (record.cancelling) {
        object["cancelling"] = canceller_json(record.cancelling->by);
        object["cancelling"]["signal"] = static_cast<std::uint32_t>(record.cancelling->signal);
        object["cancelling"]["now"] = record.cancelling->now;
    }
    if (record.state != RecordState::starting) {
        object["startedUsec"] = usec_of(record.result.started);
    }
    if (is_over(record.state) || record.result_known) {
        object["result"] = {
            {"outcome", outcome_word(record.result)},
            {"bySignal", record.result.by_signal},
            {"status", static_cast<std::uint32_t>(record.result.status)},
            {"endedUsec", usec_of(record.result.ended)},
            {"cpuUsec", record.result.cpu.count()},
            {"maxResidentKib", record.result.max_resident_kib},
        };
        if (record.result.ended_processes > 0) {
            object["result"]["endedProcesses"] = record.result.ended_processes;
        }
        if (record.result.cancelled_by) {
            object["result"]["cancelledBy"] = canceller_json(*record.result.cancelled_by);
        }
        for (std::size_t stream = 0; stream < lost_from_names.size(); ++stream) {
            const auto& from = record.result.lost_from[stream];
            if (from) object["result"][lost_from_names[stream]] = *from;
        }
    }
    constexpr int indent = 2;
    // `replace`: a path or argument may be no UTF-8, and that must not throw.
    return object.dump(indent, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Record> from_json(std::string_view text) {
    const json object = json::parse(text, nullptr, false);
    if (object.is_discarded()) return fail("it is not valid JSON");
    std::string error;
    Fields fields(object, error);
    const auto written_by = fields.number<std::uint64_t>("version");
    if (written_by != version && written_by != version_before && error.empty()) {
        return fail("it is of another version of Postern");
    }
    Record record;
    record.job = JobId(fields.text("job"));
    record.action = fields.text("action");
    record.state = fields.one_of("state", states);
    record.boot = fields.text("boot");
    record.uid = fields.number<uid_t>("uid");
    record.gid = fields.number<gid_t>("gid");
    record.created = fields.time("createdUsec");
    record.pid = fields.number<pid_t>("pid");
    record.pid_start = fields.number<std::uint64_t>("pidStart");
    record.cgroup = fields.text("cgroup");
    record.unit = fields.text("unit");
    if (object.contains("fileVersion")) record.file_version = fields.text("fileVersion");
    if (object.contains("pipes")) {
        record.pipes = fields.number<std::uint32_t>("pipes");
        record.stored_output = fields.number<std::uint64_t>("storedOutput");
    }
    if (object.contains("stdoutNotKept")) record.stdout_not_kept = fields.boolean("stdoutNotKept");
    if (object.contains("spareTimeoutUsec")) {
        record.spare = true;
        record.timeout = fields.time("spareTimeoutUsec").time_since_epoch();
    }
    if (object.contains("unitCounts")) record.unit_counts = fields.boolean("unitCounts");
    if (object.contains("ending")) {
        record.ending = fields.outcome("ending", record.result.other_outcome);
    }
    if (object.contains("cancelling")) {
        Fields how(object["cancelling"], error);
        record.cancelling =
            Cancellation{how.canceller(), how.number<int>("signal"), how.boolean("now")};
        record.result.cancelled_by = record.cancelling->by;
    }
    record.kill_on_disconnect = fields.boolean("killOnDisconnect");
    record.message = fields.text("message");
    record.told = fields.text("told");
    record.again = fields.boolean("again");
    if (const json* requester = fields.member("requester")) {
        Fields who(*requester, error);
        record.requester.uid = who.number<uid_t>("uid");
        record.requester.gid = who.number<gid_t>("gid");
        record.requester.pid = who.number<pid_t>("pid");
        record.requester.groups = who.number<std::uint64_t>("groups");
        record.requester.groups_known = who.boolean("groupsKnown");
        record.requester.key = who.text("key");
        if (requester->contains("unit")) record.requester.unit = who.text("unit");
        for (const auto& [name, member] : optional_texts) {
            if (requester->contains(name)) record.requester.*member = who.text(name);
        }
        if (requester->contains("call")) {
            record.requester.call = who.number<std::uint64_t>("call");
        }
        if (requester->contains("payer")) record.requester.paid_by = who.number<uid_t>("payer");
    }
    const json* arguments = fields.member("arguments");
    if (arguments != nullptr && arguments->is_object()) {
        for (const auto& [name, value] : arguments->items()) {
            if (!value.is_string()) return fail("an argument is not a string");
            record.arguments.emplace_back(name, value.get<std::string>());
        }
    } else if (arguments != nullptr) {
        fields.fails("arguments", "is not an object");
    }
    if (object.contains("lists")) {
        const json& lists = object["lists"];
        if (!lists.is_array()) fields.fails("lists", "is not a list");
        for (const json& name : lists) {
            if (!name.is_string()) return fail("the name of a list is not a string");
            record.lists.push_back(name.get<std::string>());
        }
    }
    if (record.state != RecordState::starting && error.empty()) {
        record.result.started = fields.time("startedUsec");
    }
    record.result_known = record.state == RecordState::running && object.contains("result");
    if ((is_over(record.state) || record.result_known) && error.empty()) {
        if (const json* result = fields.member("result")) {
            Fields how(*result, error);
            record.result.outcome = how.outcome("outcome", record.result.other_outcome);
            record.result.by_signal = how.boolean("bySignal");
            record.result.status = how.number<std::int32_t>("status");
            record.result.ended = how.time("endedUsec");
            record.result.cpu = how.time("cpuUsec").time_since_epoch();
            record.result.max_resident_kib = how.number<std::uint64_t>("maxResidentKib");
            if (result->contains("endedProcesses")) {
                record.result.ended_processes = how.number<std::uint32_t>("endedProcesses");
            }
            if (result->contains("cancelledBy")) {
                record.result.cancelled_by = Fields((*result)["cancelledBy"], error).canceller();
            }
            for (std::size_t stream = 0; stream < lost_from_names.size(); ++stream) {
                const char* const name = lost_from_names[stream];
                if (!result->contains(name)) continue;
                record.result.lost_from[stream] = how.number<std::uint64_t>(name);
            }
        }
    }
    if (!error.empty()) return fail(error);
    return record;
}

}  // namespace postern::jobs
