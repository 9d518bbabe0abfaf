// A directory for the files and sockets of one test.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace postern {

// Below /tmp or another such place (sticky and root's, so safe), with exactly this mode; goes with
// its owner, with all that is in it.
class TemporaryDirectory {
  public:
    explicit TemporaryDirectory(mode_t mode = 0700, const std::string& below = "/tmp")
        : path_(below + "/postern-unit-XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << "mkdtemp failed";
        EXPECT_EQ(::chmod(path_.c_str(), mode), 0) << path_;
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    ~TemporaryDirectory() {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
        EXPECT_FALSE(error) << path_ << ": " << error.message();
    }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path_ + '/' + name;
    }

    // Makes a file with exactly this mode, whatever the umask.
    std::string write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
        const std::string file = *this / name;
        std::ofstream(file, std::ios::binary) << text;
        EXPECT_EQ(::chmod(file.c_str(), mode), 0) << file;
        return file;
    }
    std::string make_folder(const std::string& name, mode_t mode = 0755) const {
        const std::string folder = *this / name;
        EXPECT_EQ(::mkdir(folder.c_str(), 0700), 0) << folder;
        EXPECT_EQ(::chmod(folder.c_str(), mode), 0) << folder;
        return folder;
    }

  private:
    std::string path_;
};

}  // namespace postern
