// What the tests of daemon/policy/ share.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "daemon/policy/file/action_parser.h"
#include "daemon/policy/file/load_options.h"

namespace postern::policy {

// A folder below /tmp (sticky and root's, so safe) that goes with its owner.
class TemporaryFolder {
  public:
    TemporaryFolder() {
        std::string pattern = "/tmp/postern-policy-XXXXXX";
        if (mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "mkdtemp failed";
        path_ = pattern;
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path_ + '/' + name;
    }

    // Makes a file with exactly this mode, whatever the umask.
    std::string write(const std::string& name, const std::string& text, mode_t mode = 0644) const {
        const std::string file = path_ + '/' + name;
        std::ofstream(file, std::ios::binary) << text;
        EXPECT_EQ(chmod(file.c_str(), mode), 0) << file;
        return file;
    }
    std::string make_folder(const std::string& name, mode_t mode = 0755) const {
        const std::string folder = path_ + '/' + name;
        EXPECT_EQ(mkdir(folder.c_str(), 0700), 0) << folder;
        EXPECT_EQ(chmod(folder.c_str(), mode), 0) << folder;
        return folder;
    }

  private:
    std::string path_;
};

// As the guard of whoever runs the tests.
inline LoadOptions own_options() {
    LoadOptions options;
    options.owner = geteuid();
    return options;
}

// As root's guard.
inline LoadOptions root_options() {
    LoadOptions options;
    options.owner = 0;
    return options;
}

// As the guard of an ordinary user, whoever runs the tests.
inline LoadOptions user_options() {
    LoadOptions options;
    options.owner = 1000;
    options.gid = 1000;
    options.groups = {27, 1000};
    return options;
}

// An action that is valid, with more members where `more` is not empty ("key": value, ...).
inline std::string action_text(const std::string& more = {}) {
    return R"({"summary": "s", "exec": ["/usr/bin/true"], "allow": [{"everyone": true}])" +
           (more.empty() ? "" : ", " + more) + "}";
}

// What is said of a file with this text.
inline std::string error_of(const std::string& text) {
    const auto action = parse_action("a", "/f.json", text, own_options());
    return action ? "accepted" : action.error().message;
}

struct ErrorRow {
    std::string text;
    std::string error;
};

inline void expect_errors(const std::vector<ErrorRow>& rows) {
    for (const ErrorRow& row : rows) EXPECT_EQ(error_of(row.text), row.error) << row.text;
}

}  // namespace postern::policy
