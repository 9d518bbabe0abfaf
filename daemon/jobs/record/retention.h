// How much is kept of jobs, of each payer (Requester::payer) and in all.
//
// Beyond a number of records, the oldest of ended jobs are removed: in all, those of the payer that
// has most. The newest of a payer stays. Beyond an amount of what jobs have stored (outputs and
// records, by what they occupy on the disk, running jobs included), the oldest ended jobs of the
// payer that has most are removed. Of one payer's, those whose output is being read are last.
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
    // Bytes on the disk. 0: half of `output_bytes`.
    std::uint64_t output_bytes_per_payer = 0;
    // 0: 1 GiB, or a tenth of the file system if that is less.
    std::uint64_t output_bytes = 0;
};

// With the defaults for a file system of this size instead of 0.
Retention with_defaults(Retention retention, std::uint64_t disk_size);

}  // namespace postern::jobs
