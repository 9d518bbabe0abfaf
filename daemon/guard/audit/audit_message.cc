#include "daemon/guard/audit/audit_message.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "daemon/guard/audit/audit_change.h"

namespace postern {
namespace {

// Of what a caller chose: of one text, and of all arguments together.
constexpr std::size_t most_of_text = 120;
constexpr std::size_t most_of_arguments = 800;

// In double quotes; everything outside printable ASCII as \uXXXX.
std::string in_json_quotes(std::string_view text) {
    return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

bool is_plain(std::string_view text, std::string_view signs) {
    return !text.empty() && std::ranges::all_of(text, [signs](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               signs.find(c) != std::string_view::npos;
    });
}

// `cut`: it is the beginning of a longer one.
std::string shown_word(std::string_view text, std::string_view signs, bool cut = false) {
    cut = cut || text.size() > most_of_text;
    text = text.substr(0, most_of_text);
    text.remove_suffix(incomplete_utf8_tail(text));
    if (cut) return in_json_quotes(std::string(text) + "...");
    return is_plain(text, signs) ? std::string(text) : in_json_quotes(text);
}

std::string shown_word(std::string_view text) {
    return shown_word(text, "._-");
}

// What we, or the administrator, wrote, with quotes of its own: those need no backslash.
std::string shown_text(const std::string& text) {
    const std::string whole = in_json_quotes(text);
    std::string shown;
    for (std::size_t i = 1; i + 1 < whole.size(); ++i) {
        const bool own = whole[i] == '\\' && (whole[i + 1] == '"' || whole[i + 1] == '\\');
        shown += whole[own ? ++i : i];
    }
    return shown;
}

std::string arguments_of(const AuditEvent& event) {
    std::string text;
    for (std::size_t i = 0; i < event.arguments.size(); ++i) {
        if (text.size() >= most_of_arguments) {
            return text + " and " + std::to_string(event.arguments.size() - i) + " more arguments";
        }
        const AuditArgument& argument = event.arguments[i];
        text += ' ' + shown_word(argument.name) + '=' +
                shown_word(argument.text, "._-/:@%+", argument.whole.has_value());
    }
    return text;
}

std::string user_text(uid_t uid, const std::string& name) {
    const std::string number = "uid " + std::to_string(uid);
    return name.empty() ? number : shown_word(name, "._-@$+\\") + " (" + number + ")";
}

std::string user_text(uid_t uid, const AccountNames& names) {
    return user_text(uid, names.user(uid));
}

std::string caller_text(const AuditEvent& event, const AccountNames& names) {
    const policy::Caller& caller = *event.caller;
    std::string text = ", by " + user_text(caller.uid, names);
    if (caller.payer() != caller.uid) text += " of " + user_text(caller.payer(), names);
    if (event.unit) text += " unit " + shown_word(*event.unit, "._-@:\\");
    if (event.pid > 0) text += ", pid " + std::to_string(event.pid);
    return text;
}

std::string signal_text(int signal) {
    const char* const name = ::sigabbrev_np(signal);
    return "signal " + std::to_string(signal) +
           (name != nullptr ? " (" + std::string(name) + ")" : std::string());
}

}  // namespace

std::string describe(const JobResult& result) {
    if (result.outcome == Outcome::exited) return "exit code " + std::to_string(result.status);
    if (result.outcome == Outcome::signaled) return signal_text(result.status);
    std::string text(outcome_word(result));
    if (result.by_signal) text += ", " + signal_text(result.status);
    return text;
}

std::string audit_message(std::string_view kind, const AuditEvent& event, std::uint64_t count,
                          const AccountNames& names) {
    std::string text(kind);
    if (count > 0) text += ": " + std::to_string(count) + " more within 10 s";
    if (!event.action.empty()) text += ": " + shown_word(event.action);
    if (event.kind == AuditEvent::Kind::job_started) text += arguments_of(event);
    if (!event.job.empty()) text += ", job " + shown_word(event.job);
    if (event.caller != nullptr) text += caller_text(event, names);
    if (event.result) {
        text += ": " + describe(*event.result);
        if (const auto ended = event.result->ended_processes; ended > 0) {
            text += "; " + std::to_string(ended) +
                    (ended == 1 ? " background process was" : " background processes were") +
                    " ended with it";
        }
    }
    if (event.signal > 0) text += ": " + signal_text(event.signal);
    if (!event.level.empty()) text += ": " + event.level;
    if (const auto& who = event.cancelled_by; who && event.reason.empty()) {
        text += "; cancelled by " + user_text(who->uid, who->user);
    }
    if (event.change != nullptr) text += ": " + in_words(*event.change);
    // The reason has the file with its line.
    const bool off = event.kind == AuditEvent::Kind::action_off;
    for (const std::string* const part : {&event.reason, &event.rule}) {
        if (!part->empty()) text += ": " + shown_text(*part);
    }
    if (!event.place.empty() && !off) text += " (" + shown_text(event.place) + ")";
    return text;
}

}  // namespace postern
