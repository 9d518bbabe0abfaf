#include "daemon/guard/sessions/session_call.h"

#include <utility>
#include <variant>

#include "daemon/guard/sessions/session_process.h"

namespace postern {

void SessionCall::answer(CallAnswer answer, std::vector<UniqueFd> files) {
    const auto session = session_.lock();
    if (!session || session->connection(connection_) == nullptr) return;
    channel::ToSession body =
        std::visit([](auto& one) { return channel::ToSession(std::move(one)); }, answer);
    session->send({connection_, request_, std::move(body)}, std::move(files));
}

void SessionCall::violated(const std::string& how) {
    if (const auto session = session_.lock()) session->end(how);
}

void SessionCall::keep(std::unique_ptr<OngoingCall> call) {
    const auto session = session_.lock();
    if (!session || session->connection(connection_) == nullptr) {
        return call->left(jobs::Leaving::interrupted);
    }
    session->keep(connection_, request_, std::move(call));
}

void SessionCall::forget() {
    const auto session = session_.lock();
    if (session && session->connection(connection_) != nullptr) {
        session->forget(connection_, request_);
    }
}

OngoingCall* SessionCall::kept() {
    const auto session = session_.lock();
    const ConnectionInfo* const connection = session ? session->connection(connection_) : nullptr;
    if (connection == nullptr || !connection->ongoing) return nullptr;
    const auto found = connection->ongoing->find(request_);
    return found == connection->ongoing->end() ? nullptr : found->second.get();
}

std::size_t SessionCall::kept_by_connection() const {
    const auto session = session_.lock();
    const ConnectionInfo* const connection = session ? session->connection(connection_) : nullptr;
    return connection == nullptr || !connection->ongoing ? 0 : connection->ongoing->size();
}

bool SessionCall::take_hand_over() {
    const auto session = session_.lock();
    return session && session->connection(connection_) != nullptr &&
           session->take_hand_over(connection_);
}

bool SessionCall::hand_over(const std::string& bytes, const std::vector<UniqueFd>& descriptors) {
    const auto session = session_.lock();
    return session && session->connection(connection_) != nullptr &&
           session->hand_over(connection_, bytes, descriptors);
}

}  // namespace postern
