// Sends the replies to packets, beside the loop, each as nobody but whoever sent the packet.
//
// A sender's address is a path, and by the time of the reply it may lead anywhere: the sender can
// put a symbolic link there, or mount a file system that never answers. So a reply is sent with the
// sender's fsuid and fsgid, no supplementary group and no capability that opens doors
// (path_resolution(7)), to a socket that is the sender's own file, and so reaches only what the
// sender could have reached; and without waiting for anybody (datagram_sender.h). It is a thread of
// its own because those ids are a thread's own. At once or never: where the receiver's queue is
// full, there is no reply.
//
// The replies to one identity are sent one after the other, so they stay in their order; identities
// take turns.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern {

struct DatagramReply {
    std::size_t socket = 0;  // from which one of the sockets: the one that the packet came to
    uid_t uid = 0;
    gid_t gid = 0;
    std::string path;  // absolute
    std::string bytes;
};

class DatagramReplier {
  public:
    // `sockets`: datagram sockets, of which it keeps copies. `own`: a guard of an ordinary user,
    // which replies to that user alone and as itself. Errors: no descriptor or thread to be had;
    // what the thread has to give up can't be given up.
    static Result<std::unique_ptr<DatagramReplier>> create(const std::vector<int>& sockets,
                                                           bool own);
    // What has not been sent is not sent any more.
    ~DatagramReplier();
    DatagramReplier(const DatagramReplier&) = delete;
    DatagramReplier& operator=(const DatagramReplier&) = delete;

    // One more of the sockets: its number is the next one. Error: no descriptor to be had.
    Status add(int socket);

    // It is sent after the next send(). False: too many wait for this identity already, this one is
    // dropped.
    bool add(DatagramReply reply);
    // Has all that were added sent; waits for none. What came of those that could not be sent since
    // the last time, for the log: a bounded number.
    std::vector<std::string> send();

    // Replies that have been neither sent nor given up.
    [[nodiscard]] std::size_t pending() const;

  private:
    struct State;
    explicit DatagramReplier(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace postern
