#include "daemon/policy/file/installed.h"

#include <filesystem>
#include <system_error>

#include "base/utf8.h"
#include "host/safe_file.h"

namespace postern::policy {
namespace {

// Empty: it is not there.
std::filesystem::path real_directory(const std::filesystem::path& path) {
    std::error_code failed;
    auto found = std::filesystem::canonical(path, failed);
    return failed ? std::filesystem::path() : found;
}

}  // namespace

bool lies_in(const std::string& path, const std::string& directory) {
    const std::filesystem::path parent = std::filesystem::path(path).parent_path();
    const auto here = real_directory(parent.empty() ? "." : parent);
    return !here.empty() && here == real_directory(directory);
}

Status check_installed(const std::string& path, uid_t owner) {
    std::error_code failed;
    const auto absolute = std::filesystem::absolute(path, failed).lexically_normal().string();
    if (failed) return {};
    const auto file = open_safe(absolute, owner, Use::read);
    if (file || file.error().kind != OpenError::Kind::unsafe) return {};
    const OpenError& error = file.error();
    const bool itself = error.message == printable(absolute) + ' ' + error.problem;
    return fail(printable(path) + ": " +
                (itself ? error.problem : "is not loaded, because " + error.message));
}

}  // namespace postern::policy
