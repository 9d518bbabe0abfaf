// postern-dropper: lets go of what strangers made, for the guard, which must not wait for that.
//
// Started by posternd with the channel on descriptor 3 (order.h, daemon/loop/dropper.h); it has
// nothing else. What it drops may linger, which a timer ends, or stand still for good: then so does
// this process, and nobody waits for it. Exit status: 0 the guard closed the channel; 1 something
// is broken.
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "base/control_data.h"
#include "base/stray_signals.h"
#include "daemon/dropper/order.h"
#include "daemon/dropper/thread_interrupt.h"

namespace {

using postern::dropper_channel_fd;
using postern::DropperOrder;

// Looked at first: one that carries none is not ours to drop.
bool carries_descriptors(int socket) {
    char byte = 0;
    iovec data{&byte, 1};
    // Room for its sender's ids, which it has in any case, and for nothing else.
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control;
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    return ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_PEEK) >= 0 &&
           (message.msg_flags & MSG_CTRUNC) != 0;
}

void answer() {
    const char byte = 0;
    (void)::send(dropper_channel_fd, &byte, sizeof byte, MSG_NOSIGNAL);
}

bool is_to_go() {
    return postern::receive_byte(dropper_channel_fd).length > 0;
}

// From here on it can only stand still in what it was asked for.
bool begin(DropperOrder order) {
    if (order == DropperOrder::packet) {
        answer();
        return is_to_go();
    }
    // Where the guard is gone, it may as well.
    (void)is_to_go();
    return true;
}

}  // namespace

int main() {
    ::prctl(PR_SET_NAME, "postern-dropper");
    // It ends when the guard does.
    postern::ignore_stray_signals({});
    postern::ignore_library_signals();
    if (::close_range(dropper_channel_fd + 1, UINT_MAX, 0) != 0) return 1;
    auto interrupt = postern::ThreadInterrupt::create();
    if (!interrupt) return 1;
    for (;;) {
        postern::ReceivedByte received = postern::receive_byte(dropper_channel_fd);
        if (received.length <= 0) return 0;
        const auto order = static_cast<DropperOrder>(received.byte);
        const bool drops = order == DropperOrder::packet && !received.descriptors.empty() &&
                           carries_descriptors(received.descriptors.front().get());
        if (!begin(order)) return 0;
        interrupt->arm();
        if (drops) {
            char byte = 0;
            (void)::recv(received.descriptors.front().get(), &byte, sizeof byte, MSG_DONTWAIT);
        }
        received.descriptors.clear();
        interrupt->disarm();
        answer();
    }
}
