// One output stream of a job: a file that the job itself writes.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace postern::jobs {

class OutputFile {
  public:
    // Makes the file, which must not exist, in an open folder. Mode 0622, exactly: a job of another
    // user opens it again by /dev/stderr (with 0600 that is EACCES); the folder above, 0700, keeps
    // everyone else away. Error: why not.
    static Result<OutputFile> create(int folder, const char* name);

    // The same file again, made by a guard that died.
    static Result<OutputFile> open(int folder, const char* name);

    // For writing, O_APPEND: two descriptors of it in one job never overwrite each other.
    [[nodiscard]] int fd() const { return file_.get(); }
    // A descriptor of its own, from the start, read-only.
    [[nodiscard]] UniqueFd open_reader() const;
    [[nodiscard]] std::uint64_t size() const;

    // Once more than `keep` and an eighth is stored, frees what is before the newest `keep` bytes:
    // a hole, so offsets stay what they are. Returns 0 or errno (EOPNOTSUPP: not on this file
    // system).
    int trim(std::uint64_t keep);
    // Mode 0600: whoever has it open may go on, nobody opens it again.
    void close_to_writing() const;

  private:
    explicit OutputFile(UniqueFd file) : file_(std::move(file)) {}
    UniqueFd file_;
    // As the last trim() left them.
    std::uint64_t trimmed_size_ = 0;
    std::uint64_t trimmed_occupied_ = 0;
};

}  // namespace postern::jobs
