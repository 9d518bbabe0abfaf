#include "tests/unit/daemon/output/keeper/streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "daemon/output/stored_file.h"

namespace postern::output::test {

Pipe::Pipe() {
    std::array<int, 2> ends{-1, -1};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
}

void Pipe::put(std::string_view bytes) const {
    ASSERT_EQ(::write(write.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
}

File::File() : file_(::memfd_create("stream", MFD_CLOEXEC)) {
    EXPECT_TRUE(file_);
}

UniqueFd again(const UniqueFd& descriptor) {
    return duplicate(descriptor.get());
}

UniqueFd File::again() const {
    return test::again(file_);
}

std::uint64_t File::size() const {
    return size_of(file_.get());
}

std::string File::stored(std::uint64_t from) const {
    EXPECT_LE(stored_from(file_.get()), from);
    std::string bytes(size() - from, '?');
    std::size_t count = 0;
    while (count < bytes.size()) {
        const ssize_t more = ::pread(file_.get(), bytes.data() + count, bytes.size() - count,
                                     static_cast<off_t>(from + count));
        if (more <= 0) break;
        count += static_cast<std::size_t>(more);
    }
    EXPECT_EQ(count, bytes.size());
    return bytes;
}

void File::await_size(std::uint64_t size) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(50);
    while (this->size() < size) {
        ASSERT_LT(std::chrono::steady_clock::now(), end) << this->size() << " of " << size;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::string numbered(std::uint64_t from, std::size_t length) {
    std::string bytes(length, '\0');
    for (std::size_t at = 0; at < length; at += sizeof from) {
        const std::uint64_t number = from + at;
        std::memcpy(bytes.data() + at, &number, sizeof number);
    }
    return bytes;
}

JobId job(unsigned number) {
    std::string text(32, '0');
    for (std::size_t at = text.size(); number > 0; number /= 10) {
        text.at(--at) = static_cast<char>('0' + number % 10);
    }
    return JobId(text);
}

}  // namespace postern::output::test
