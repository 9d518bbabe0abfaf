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

// Whoever sends descriptors to this socket gets EPERM, where the kernel can do that; accepted
// sockets inherit it. Elsewhere they arrive, and whoever receives must close them.
inline void refuse_descriptors(int socket) {
    const int off = 0;
    (void)::setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof off);
}

// Each datagram is received with the uid, gid and pid of its sender (unix(7), SCM_CREDENTIALS) and,
// where the kernel can do that, with a pidfd of it. False: the first could not be had.
inline bool ask_for_senders(int socket) {
    const int on = 1;
    (void)::setsockopt(socket, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on);
    return ::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

}  // namespace postern
