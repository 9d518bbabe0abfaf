#include "ctl/wire/peer.h"

#include <csignal>
#include <nlohmann/json.hpp>

#include "ctl/text/exit_codes.h"
#include "ctl/text/output.h"

namespace postern::ctl {

Result<Peer, Failed> Peer::open(const Target& target) {
    Peer peer(target);
    if (target.datagram) {
        auto interrupt = Interrupt::watch();
        if (!interrupt) {
            complain(interrupt.error().message);
            return Unexpected(Failed{exit_code::broken});
        }
        peer.interrupt_.emplace(std::move(*interrupt));
        return peer;
    }
    POSTERN_TRY(auto connection, open_connection(target));
    peer.connection_.emplace(std::move(connection));
    return peer;
}

Result<Message, NoAnswer> Peer::call(std::string_view method, const nlohmann::json& parameters) {
    auto text = protocol::encode_call(method, parameters);
    if (connection_) {
        auto message = ask_twice(*connection_, *target_, text);
        if (message) return std::move(*message);
        return Unexpected(NoAnswer{exit_code::broken, message.error().message, true});
    }
    text.pop_back();  // a packet needs no terminator
    const int interrupt = interrupt_ ? interrupt_->fd() : -1;
    auto message = ask_by_datagram(
        target_->socket, text, {.send = connect_patience, .answer = answer_patience}, interrupt);
    if (message || !message.error().message.empty()) return message;
    return Unexpected(NoAnswer{exit_code_of_signal(Interrupt::signal()), {}, message.error().sent});
}

Result<nlohmann::json, Failed> Peer::ask(std::string_view method,
                                         const nlohmann::json& parameters) {
    auto message = call(method, parameters);
    const int late_signal = close();
    if (!message) return Unexpected(report(message.error()));
    if (late_signal != 0) ::raise(late_signal);
    if (!message->reply.error.empty()) return Unexpected(report(*target_, message->reply));
    return std::move(message->reply.parameters);
}

int Peer::close() {
    if (!interrupt_) return 0;
    // Held back meanwhile, so that none is noted that nobody looks for any more.
    sigset_t held_back;
    sigset_t before;
    sigemptyset(&held_back);
    for (const int noted : Interrupt::signals) sigaddset(&held_back, noted);
    sigprocmask(SIG_BLOCK, &held_back, &before);
    const int signal = Interrupt::signal();
    interrupt_.reset();
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return signal;
}

Result<nlohmann::json, Failed> ask_once(const Target& target, std::string_view method,
                                        const nlohmann::json& parameters) {
    POSTERN_TRY(auto peer, Peer::open(target));
    return peer.ask(method, parameters);
}

Failed report(const NoAnswer& none, std::string_view meaning) {
    const bool interrupted = none.message.empty();
    std::string line = interrupted ? "interrupted" : none.message;
    if (!meaning.empty()) line += (interrupted ? ": " : "; ") + std::string(meaning);
    if (interrupted && (none.sent || meaning.empty())) {
        line += (meaning.empty() ? ": " : ", ") + std::string("no answer had come");
    }
    complain(line);
    return {none.code};
}

}  // namespace postern::ctl
