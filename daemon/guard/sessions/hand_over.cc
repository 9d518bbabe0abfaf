#include "daemon/guard/sessions/hand_over.h"

#include <sys/socket.h>

#include <cassert>
#include <cerrno>

#include "base/control_data.h"

namespace postern {

bool give_to_client(int connection, const std::string& bytes,
                    const std::vector<UniqueFd>& descriptors) {
    constexpr std::size_t most = 2;
    assert(descriptors.size() <= most);
    std::vector<int> numbers;
    numbers.reserve(descriptors.size());
    for (const UniqueFd& descriptor : descriptors) numbers.push_back(descriptor.get());
    // sendmsg() reads only; iovec just has no const.
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    DescriptorSpace<most> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    put_descriptors(message, control.bytes, numbers);
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == static_cast<ssize_t>(bytes.size());
}

}  // namespace postern
