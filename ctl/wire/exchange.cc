#include "ctl/wire/exchange.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "ctl/text/accounts.h"
#include "ctl/text/exit_codes.h"
#include "ctl/text/json_fields.h"
#include "ctl/text/output.h"
#include "ctl/wire/connect.h"
#include "model/turned_away.h"

namespace postern::ctl {
namespace {

// What is asked for is a method of the administrator's at another socket.
std::string wrong_socket(const Target& target) {
    const std::string here = printable(target.socket) + " is the socket for callers; ";
    if (target.administrator_socket.empty()) {
        return here +
               "only the administration socket answers this: name it with --socket PATH "
               "(posternd's "
               "--admin-socket)";
    }
    return here +
           "only the administration socket answers this: " + printable(target.administrator_socket);
}

// Root has copied the id of somebody else's job, from the journal perhaps.
std::string way_to_all_jobs(const Target& target) {
    if (geteuid() != 0 || target.administrator_socket.empty()) return {};
    return "; --all finds jobs of all users";
}

void complain_lines(std::string_view text) {
    for (;;) {
        const auto end = text.find('\n');
        complain(text.substr(0, end));
        if (end == std::string_view::npos) return;
        text.remove_prefix(end + 1);
    }
}

}  // namespace

Result<Connection, Failed> open_connection(const Target& target) {
    auto socket = connect_to(target.socket, connect_patience);
    if (!socket) {
        complain(socket.error().message);
        return Unexpected(Failed{exit_code::broken});
    }
    return Connection(std::move(*socket), target.socket);
}

Result<Message, NoReply> ask_twice(Connection& connection, const Target& target,
                                   const std::string& call) {
    connection.queue(call);
    auto message = connection.wait(answer_patience, -1);
    if (message ? is_retryable(message->reply) : message.error().why == NoReply::Why::ended) {
        // A daemon that was just leaving: the one that comes after it answers.
        if (auto socket = connect_to(target.socket, connect_patience)) {
            connection = Connection(std::move(*socket), target.socket);
            connection.queue(call);
            message = connection.wait(answer_patience, -1);
        }
    }
    return message;
}

Result<nlohmann::json, Failed> ask(Connection& connection, const Target& target,
                                   std::string_view method, const nlohmann::json& parameters) {
    auto message = ask_twice(connection, target, protocol::encode_call(method, parameters));
    if (!message) return Unexpected(report(message.error()));
    if (!message->reply.error.empty()) return Unexpected(report(target, message->reply));
    return std::move(message->reply.parameters);
}

Failed report(const NoReply& none) {
    complain(none.message);
    return {exit_code::broken};
}

Failed report(const Target& target, const protocol::Reply& error) {
    const Failed failed{exit_code_of_error(error.error)};
    if (!target.json) {
        const auto text = error_text(error, target);
        // Only there each line is something else that is wrong.
        if (error.error == "org.postern.Actions.InvalidArgument") {
            complain_lines(text);
        } else {
            complain(text);
        }
        return failed;
    }
    const int printed = finish_json({{"error", error.error}, {"parameters", error.parameters}});
    return printed == exit_code::success ? failed : Failed{printed};
}

bool is_retryable(const protocol::Reply& reply) {
    return reply.error == "org.postern.Actions.Unavailable" &&
           flag_field(reply.parameters, "retryable");
}

bool is_turned_away(const protocol::Reply& reply) {
    return reply.error == "org.postern.Actions.LimitReached" &&
           find_turned_away(string_field(reply.parameters, "limit").value_or("")) != nullptr;
}

bool needs_new_connection(const protocol::Reply& reply) {
    return reply.error == "org.postern.Actions.LimitReached" &&
           string_field(reply.parameters, "limit") == "connection";
}

std::string error_text(const protocol::Reply& error, const Target& target) {
    if (const auto message = string_field(error.parameters, "message")) {
        if (error.error == "org.postern.Jobs.NoSuchJob") return *message + way_to_all_jobs(target);
        return error.error == "org.postern.Actions.NotGranted" ? with_names(*message) : *message;
    }
    if (error.error == "org.varlink.service.PermissionDenied") return wrong_socket(target);
    const auto named = [&error](const char* key) {
        return in_quotes(string_field(error.parameters, key).value_or("?"));
    };
    if (error.error == "org.varlink.service.InvalidParameter") {
        return "the daemon rejected the parameter " + named("parameter") +
               ": it is unknown, not valid, or required and not given";
    }
    if (error.error == "org.varlink.service.MethodNotFound") {
        return "the daemon has no method " + named("method") +
               "; it may be older than this posternctl";
    }
    if (error.error == "org.varlink.service.InterfaceNotFound") {
        return "the daemon has no interface " + named("interface") +
               "; it may be older than this posternctl";
    }
    return "the daemon answered with the error " + error.error + " " + safe_json(error.parameters);
}

int finish(std::string_view text) {
    const auto printed = print(text);
    if (printed.has_value()) return exit_code::success;
    complain(printed.error().message);
    return exit_code::broken;
}

int finish_json(const nlohmann::json& value) {
    return finish(safe_json(value) + "\n");
}

Failed nonsense(const Connection& connection, std::string_view what) {
    return nonsense(connection.path(), what);
}

Failed nonsense(std::string_view path, std::string_view what) {
    complain(std::string(path) + ": the daemon's answer can't be understood: " + std::string(what));
    return {exit_code::broken};
}

}  // namespace postern::ctl
