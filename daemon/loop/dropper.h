// Lets go of what strangers made in processes of its own (postern-dropper), which may stand still.
//
// The last reference to a file can wait in the kernel for whoever made it: a TCP socket lingers, a
// packet socket waits for all processors, each for some milliseconds and hundreds after one
// another; and a FUSE file whose server does not store what was written stands still for good, so
// that no signal ends the process (fuse_release() in fs/fuse/file.c; seen on 6.18). Where
// strangers' descriptors arrive at all (before Linux 6.16, and before a socket was told to refuse
// them) they lie in packets and in the unread messages of connections, and go with those.
//
// The pipes of jobs are strangers' as well: a process that writes into one from memory that a FUSE
// or network file system does not deliver holds the pipe's lock (anon_pipe_write() in fs/pipe.c),
// for which the last reference to either end waits (pipe_release()).
//
// So another process lets them go; one that stands still is left alone, and the next one continues.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/loop/spawner.h"

namespace postern {

enum class DropperOrder : char;  // daemon/dropper/order.h

class Dropper {
  public:
    // What its processes are started with; both outlive it.
    struct Source {
        Spawner* spawner = nullptr;
        int program = -1;  // postern-dropper
    };

    // For one thread. At most so many processes at a time.
    explicit Dropper(Source source, std::size_t most = most_processes)
        : source_(source), most_(most) {}
    // Kills those that stand still, and waits for none.
    ~Dropper();
    Dropper(const Dropper&) = delete;
    Dropper& operator=(const Dropper&) = delete;

    // Has these closed, at most most_with_a_byte (base/control_data.h). Waits for nothing but the
    // start of a process. False: none can be started; nothing was done; it may be tried again.
    bool close(std::span<UniqueFd> descriptors);
    bool close(UniqueFd& descriptor) { return close(std::span(&descriptor, 1)); }
    // Waits until it is done, or its process stands still after it has begun: then the packet is
    // off the socket already. False: as above, or none begins in time; the packet is still there.
    bool drop_packet(int socket);

    // Ends processes that have nothing to do, but for one. True: some still have, or have ended and
    // can't be reaped yet.
    bool tidy();

    static constexpr std::size_t most_processes = 256;

  private:
    using Clock = std::chrono::steady_clock;
    struct Process {
        pid_t pid = -1;
        UniqueFd channel;
        std::size_t orders = 0;  // that it has not answered
        bool owes_go = false;    // it could not be told yet
        Clock::time_point got_on;
        bool broken = false;
    };

    bool order(Process& process, DropperOrder what, std::span<const int> descriptors);
    void tell_go(Process& process);
    Process* idle();
    Process* for_closing();
    bool start();
    static bool take_begin(Process& process);
    static void await(const Process& process);
    void look();
    void end(Process& process);
    void drop_ended();

    Source source_;
    std::size_t most_;
    std::vector<Process> processes_;
    std::vector<pid_t> ended_;  // not reaped yet
};

}  // namespace postern
