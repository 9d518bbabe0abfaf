// How much is kept of jobs that are over; the oldest go. The newest of a uid stays, whatever its
// size.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::jobs {

struct Retention {
    std::size_t records_per_uid = 256;
    std::size_t records = 4096;
    // What the output files of one uid (the requester's) occupy on the disk.
    std::uint64_t output_bytes_per_uid = 1ULL << 30;
};

}  // namespace postern::jobs
