// Socket options that the headers of Debian 12 or 13 lack. The numbers are those of
// include/uapi/asm-generic/socket.h, which every architecture of these releases uses.
#pragma once

#include <sys/socket.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76  // Linux 6.5
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04  // include/linux/socket.h, Linux 6.5
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83  // Linux 6.16
#endif

namespace postern {

// Whoever sends descriptors to this socket from now on gets EPERM, where the kernel can do that;
// accepted sockets inherit it. Elsewhere they arrive.
inline void refuse_descriptors(int socket) {
    const int off = 0;
    (void)::setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
}

// Whether that was done.
inline bool refuses_descriptors(int socket) {
    int on = 1;
    socklen_t length = sizeof on;
    return ::getsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &on, &length) == 0 && on == 0;
}

// Nothing but bytes is received from connections that this socket takes (they inherit what is asked
// of it), whatever its socket unit asked for.
inline void ask_for_bytes_alone(int socket) {
    const int off = 0;
    for (const int option : {SO_PASSCRED, SO_PASSPIDFD, SO_PASSSEC, SO_TIMESTAMP, SO_TIMESTAMPNS}) {
        (void)::setsockopt(socket, SOL_SOCKET, option, &off, sizeof off);
    }
}

// Each datagram is received with the uid, gid and pid of its sender (unix(7), SCM_CREDENTIALS), and
// with nothing that could take the room of those, whatever its socket unit asked for. False: the
// first could not be had.
inline bool ask_for_senders(int socket) {
    const int off = 0;
    for (const int option : {SO_PASSSEC, SO_TIMESTAMP, SO_TIMESTAMPNS}) {
        (void)::setsockopt(socket, SOL_SOCKET, option, &off, sizeof off);
    }
    const int on = 1;
    return ::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

}  // namespace postern
