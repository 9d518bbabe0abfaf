// The files that hold what jobs write: the offset of a byte is its offset in the stream, the size
// is how many bytes the job wrote, and what is not kept any more is a hole at the front.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::output {

// Whole blocks alone become a hole: a part of one would not be freed but zeroed, and nobody could
// tell those zeros from the job's. How large they are differs: 4 KiB mostly, a page of the machine,
// a record of ZFS, which grows with the file as long as it has one alone (so ask each time).
// st_blksize tells (stat(3type)); it is taken between these bounds, as a power of two.
inline constexpr std::uint64_t least_block_bytes = 4096;
inline constexpr std::uint64_t most_block_bytes = std::uint64_t{16} << 20;
std::uint64_t block_bytes_of(int file);
// The same of what st_blksize says.
std::uint64_t block_bytes_for(std::uint64_t preferred);

// Frees the whole blocks before `until`, an offset. Returns 0 or errno (EOPNOTSUPP: the file system
// can't).
int free_front(int file, std::uint64_t until);

// Where the hole at the front ends: the size where nothing is kept, 0 where the file system does
// not tell.
std::uint64_t stored_from(int file);

// Both move the position of the file, which nothing goes by.
std::uint64_t size_of(int file);

}  // namespace postern::output
