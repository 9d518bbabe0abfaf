// The files that hold what jobs write: the offset of a byte is its offset in the stream, the size
// is how many bytes the job wrote, and what is no longer kept is a hole at the front.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::output {

// Only whole blocks become a hole: a part of one would not be freed but zeroed, and nobody could
// tell those zeros from the job's. Their size differs: mostly 4 KiB; a page of the machine; a
// record of ZFS, which grows with the file while it has only one (so ask each time). st_blksize
// tells (stat(3type)); it is kept within these bounds, as a power of two.
inline constexpr std::uint64_t least_block_bytes = 4096;
inline constexpr std::uint64_t most_block_bytes = std::uint64_t{16} << 20;
std::uint64_t block_bytes_of(int file);
// The same for a given st_blksize.
std::uint64_t block_bytes_for(std::uint64_t preferred);

// Frees the whole blocks before `until`, an offset. Returns 0 or errno (EOPNOTSUPP: the file system
// can't).
int free_front(int file, std::uint64_t until);

// Where the hole at the front ends: the file's size if nothing is kept, 0 if the file system does
// not tell.
std::uint64_t stored_from(int file);

// Both functions move the file's position, which nothing depends on.
std::uint64_t size_of(int file);

}  // namespace postern::output
