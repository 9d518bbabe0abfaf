// How much is kept of jobs that are over, of each payer (Requester::payer) and in all. The oldest
// go: in all, those of the payer that has most. The newest of a payer stays, whatever its size.
//
// A key is known for limits::key_memory after the end of its job, whatever the bounds: until then
// its record stays where it would have gone, without output and arguments, and there is room for
// limits::keys_per_record times as many of these.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::jobs {

struct Retention {
    std::size_t records_per_payer = 256;
    std::size_t records = 4096;
    // What the output files of one payer occupy on the disk.
    std::uint64_t output_bytes_per_payer = 1ULL << 30;
};

}  // namespace postern::jobs
