// What postern-dropper is told, and by which way (daemon/loop/dropper.h).
#pragma once

namespace postern {

// Where it finds its channel.
inline constexpr int dropper_channel_fd = 3;

// A message of one byte. It answers with a byte when it is done, and does nothing of an order that
// is not followed by `go`.
enum class DropperOrder : char {
    // Closes the descriptors that come with it, once `go` says that the sender has closed its own
    // copy.
    close = 'c',
    // Takes the next packet off the datagram socket that comes with it (SO_PASSCRED), if it carries
    // descriptors. It answers first when it can begin, and begins once `go` says that it is still
    // to: what it was not told to do by then, the guard may do itself.
    packet = 'p',
    go = 'g',
};

}  // namespace postern
