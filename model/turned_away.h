// A connection that a limit turns away: the limit, and what its client is told before the end.
//
// The guard sends it, which does not know the language of its callers: these are constant bytes to
// it, the same whoever calls. (A test holds them against the protocol's own encoder.)
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace postern {

struct TurnedAway {
    std::string_view limit;  // its name, as in Limits
    std::string_view message;
};

inline constexpr auto turned_away = std::to_array<TurnedAway>({
    {"connectionsPerUser",
     "you have too many connections to the daemon (limit connectionsPerUser); close some of them, "
     "or try again later"},
    {"connections",
     "too many callers are connected to the daemon (limit connections); try again later"},
    {"sessionsPerUser",
     "you are connected to the daemon with too many different groups or from too many units (limit "
     "sessionsPerUser); close some of these connections, or try again later"},
    {"sessions",
     "too many different callers are connected to the daemon (limit sessions); try again later"},
});

// nullptr: it turns no connections away.
constexpr const TurnedAway* find_turned_away(std::string_view limit) {
    for (const TurnedAway& row : turned_away) {
        if (row.limit == limit) return &row;
    }
    return nullptr;
}

// The whole reply, with its terminator: the error org.postern.Actions.LimitReached.
inline std::string reply_of(const TurnedAway& row) {
    std::string reply = R"({"error":"org.postern.Actions.LimitReached","parameters":{"limit":")";
    reply.append(row.limit).append(R"(","message":")").append(row.message).append(R"("}})");
    reply += '\0';
    return reply;
}

}  // namespace postern
