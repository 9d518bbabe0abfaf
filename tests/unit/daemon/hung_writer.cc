#include "tests/unit/daemon/hung_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace postern {
namespace {

constexpr std::size_t page = 4096;

UniqueFd open_faults() {
    return UniqueFd(static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC)));
}

}  // namespace

bool HungWriter::is_possible() {
    return static_cast<bool>(open_faults());
}

HungWriter::HungWriter(int pipe, std::string bytes)
    : faults_(open_faults()), bytes_(std::move(bytes)) {
    uffdio_api api{};
    api.api = UFFD_API;
    EXPECT_EQ(::ioctl(faults_.get(), UFFDIO_API, &api), 0);
    size_ = (bytes_.size() + page - 1) / page * page;
    memory_ = static_cast<char*>(
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    bytes_.copy(memory_, size_ - page);
    uffdio_register range{};
    range.range = {reinterpret_cast<std::uintptr_t>(memory_ + size_ - page), page};
    range.mode = UFFDIO_REGISTER_MODE_MISSING;
    EXPECT_EQ(::ioctl(faults_.get(), UFFDIO_REGISTER, &range), 0);
    writer_ = std::thread([this, pipe] {
        EXPECT_EQ(::write(pipe, memory_, bytes_.size()), static_cast<ssize_t>(bytes_.size()));
    });
    // Once it asks for the memory it has the lock.
    uffd_msg message{};
    EXPECT_EQ(::read(faults_.get(), &message, sizeof message),
              static_cast<ssize_t>(sizeof message));
    EXPECT_EQ(message.event, UFFD_EVENT_PAGEFAULT);
}

void HungWriter::go_on() {
    if (!writer_.joinable()) return;
    std::string content = bytes_.substr(size_ - page);
    content.resize(page);
    uffdio_copy copy{};
    copy.dst = reinterpret_cast<std::uintptr_t>(memory_ + size_ - page);
    copy.src = reinterpret_cast<std::uintptr_t>(content.data());
    copy.len = page;
    EXPECT_EQ(::ioctl(faults_.get(), UFFDIO_COPY, &copy), 0);
    writer_.join();
    ::munmap(memory_, size_);
}

}  // namespace postern
