/* What a small device has of it: binds a name in /tmp, sends one packet, prints the reply.
   datagram-client SERVER MESSAGE */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char** argv) {
    struct sockaddr_un server = {.sun_family = AF_UNIX}, own = {.sun_family = AF_UNIX};
    if (argc != 3) return 2;
    snprintf(server.sun_path, sizeof server.sun_path, "%s", argv[1]);
    snprintf(own.sun_path, sizeof own.sun_path, "/tmp/client.%d", (int)getpid());
    int s = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (bind(s, (struct sockaddr*)&own, sizeof own) < 0) return perror(own.sun_path), 1;
    if (sendto(s, argv[2], strlen(argv[2]), 0, (struct sockaddr*)&server, sizeof server) < 0)
        return perror(argv[1]), unlink(own.sun_path), 1;
    char reply[65537];
    alarm(10);
    ssize_t n = recv(s, reply, sizeof reply, 0);
    unlink(own.sun_path);
    return n < 0 || fwrite(reply, 1, (size_t)n, stdout) != (size_t)n || fflush(stdout) != 0;
}
