// The smallest server that systemd can start by a socket unit: sends back whatever comes. What a
// cold start of the daemon is measured against.
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

int main() {
    if (sd_listen_fds(1) != 1) return 1;
    char buffer[4096];
    for (;;) {
        const int connection = accept4(SD_LISTEN_FDS_START, nullptr, nullptr, SOCK_CLOEXEC);
        const ssize_t size = recv(connection, buffer, sizeof buffer, 0);
        if (size > 0) (void)send(connection, buffer, static_cast<size_t>(size), MSG_NOSIGNAL);
        close(connection);
    }
}
