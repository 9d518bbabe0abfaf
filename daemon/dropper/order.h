// What postern-dropper is told, and by which way (daemon/loop/dropper.h).
#pragma once

namespace postern {

// Where it finds its channel.
inline constexpr int dropper_channel_fd = 3;

// A message of one byte. It answers with a byte when it is done.
enum class DropperOrder : char {
    // Closes the descriptors that come with it, once `go` says that the sender has closed its own
    // copy.
    close = 'c',
    go = 'g',
    // Takes the next packet off the datagram socket that comes with it (SO_PASSCRED), if it carries
    // descriptors.
    packet = 'p',
};

}  // namespace postern
