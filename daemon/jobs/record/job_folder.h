// What is in the folder of a job, on the disk: STATE/jobs/<job>/ with its record and what it wrote.
// Any of these functions may wait for the disk.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "model/job.h"

namespace postern::jobs {

inline constexpr const char* record_name = "record.json";
inline constexpr const char* bad_record_name = "record.json.bad";
inline constexpr std::array<const char*, 2> output_names = {"stdout", "stderr"};

// Invalid: errno.
UniqueFd open_job_folder(int jobs, const JobId& job);

// In the place of the file before, whole. Synchronized, file and name are on the disk, and with
// them the folders above, which were made before (a journal or log is in order). 0 or errno.
int replace_file(int folder, const std::string& name, const std::string& new_name,
                 std::string_view text, bool synchronize);

// The record of a job, to the disk. `last`: if there is no room, it is written over the old one, in
// its own block. 0 or errno.
int put_record(int jobs, const JobId& job, std::string_view text, bool last, bool synchronize);

// All that a guard has made in it, and the folder. 0 or errno.
int remove_job_folder(int jobs, const JobId& job);

// Frees what the output files occupy, at once, whoever has them open: an unlinked file would occupy
// it as long as somebody has it open. The files keep their sizes, all of it a hole, so that readers
// learn how much they miss.
void empty_output(int folder);

// Whether another process has an output file open. False also where the file system does not tell.
bool is_output_open(int jobs, const JobId& job);

// What the files occupy on the disk, in bytes (st_blocks): holes take none.
struct Occupied {
    std::uint64_t output = 0;
    std::uint64_t rest = 0;  // record and folder
    [[nodiscard]] std::uint64_t all() const { return output + rest; }
};
// `record_bytes`: of the newest record, which need not be on the disk yet.
Occupied occupied_by(int jobs, const JobId& job, std::uint64_t record_bytes);

}  // namespace postern::jobs
