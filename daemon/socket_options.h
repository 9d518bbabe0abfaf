// Socket options that the headers of Debian 12 or 13 lack. The numbers are those of
// include/uapi/asm-generic/socket.h, which every architecture of these releases uses.
#pragma once

#include <sys/socket.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
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

}  // namespace postern
