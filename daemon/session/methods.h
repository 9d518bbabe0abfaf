// The methods that clients may call: one table, and one place where access is checked.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "daemon/session/answer.h"
#include "daemon/session/caller.h"
#include "protocol/small_call.h"

namespace postern::session {

// What a method is told besides its parameters.
struct Context {
    const Caller& caller;
    const Granted& granted;
    // Of the connection: its client's process, and its systemd unit (empty: not known; null: the
    // guard is to be asked).
    std::int32_t pid = 0;
    const std::string* unit = nullptr;
    bool administrator = false;  // the connection is
    bool datagram = false;       // there is no connection: the call is a packet
    // How it is called.
    bool more = false;
    bool oneway = false;
};

// Who may call a method. Being connected is what `everyone` needs, being connected to the
// administrator's socket what `administrator` does. (The guard looks again.)
enum class Access : std::uint8_t { everyone, administrator };

// How a method may be called: over a connection, or by a packet of the datagram socket too.
enum class By : std::uint8_t { connection, packet };

// One row of the table. `serve` decodes the parameters and handles the call; it is made from a
// decoder and a handler, or from a decoder and what the guard's answers make of the call, and runs
// only after the access check.
//
// `serve_small` is for what is called often and answered at once. It adds the same reply, with its
// terminator, to what goes to the client. False: it added nothing, and `serve` says what of it.
class Method {
  public:
    using Serve = Answer (*)(const Context& context, const nlohmann::json& parameters);
    using ServeSmall = bool (*)(const protocol::SmallCall& call, char terminator, std::string& to);

    // All or it does not compile: a row without access is no row.
    constexpr Method(std::string_view name, Access access, Serve serve, By by = By::connection,
                     ServeSmall serve_small = nullptr)
        : name_(name), access_(access), by_(by), serve_(serve), serve_small_(serve_small) {}

    [[nodiscard]] constexpr std::string_view name() const { return name_; }
    [[nodiscard]] constexpr Access access() const { return access_; }
    [[nodiscard]] constexpr By by() const { return by_; }

  private:
    friend Answer dispatch(std::span<const Method> methods, const Context& context,
                           std::string_view method, const nlohmann::json& parameters);
    friend bool serve_small(std::span<const Method> methods, const Context& context,
                            const protocol::SmallCall& call, char terminator, std::string& to);
    std::string_view name_;
    Access access_;
    By by_;
    Serve serve_;
    ServeSmall serve_small_;
};

// The real table. All tables are by name, ascending.
std::span<const Method> methods();

// Finds the method, checks the access, serves the call. `parameters` is an object.
Answer dispatch(std::span<const Method> methods, const Context& context, std::string_view method,
                const nlohmann::json& parameters);

// The same, for what can be answered at once and without a JSON value. False: dispatch() it.
bool serve_small(std::span<const Method> methods, const Context& context,
                 const protocol::SmallCall& call, char terminator, std::string& to);

}  // namespace postern::session
