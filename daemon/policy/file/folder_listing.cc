#include "daemon/policy/file/folder_listing.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "base/counted.h"
#include "base/utf8.h"
#include "daemon/policy/file/file_names.h"
#include "host/directory.h"

namespace postern::policy {
namespace {

// Whether an entry is a folder, or a link to one.
bool is_folder(int folder, const dirent& entry) {
    if (entry.d_type == DT_DIR || entry.d_type == DT_REG) return entry.d_type == DT_DIR;
    struct stat status{};
    return fstatat(folder, static_cast<const char*>(entry.d_name), &status, 0) == 0 &&
           S_ISDIR(status.st_mode);
}

// Nobody reads more, and a folder may be full of them.
constexpr std::size_t most_told = 20;

// `others`: names that are no files of actions, each with whether it is a folder.
std::vector<PassedOver> tell_passed_over(const std::string& path,
                                         const std::map<std::string, bool>& others,
                                         const std::set<std::string, std::less<>>& all) {
    std::vector<PassedOver> told;
    for (const auto& [name, is_folder] : others) {
        if (told.size() == most_told) {
            told.push_back({printable(path),
                            printable(path) + ": " +
                                counted_is(others.size() - most_told, "more file") +
                                " ignored; move " +
                                (others.size() == most_told + 1 ? "it" : "them") + " elsewhere"});
            break;
        }
        const std::string file = printable(path_in(path, name));
        const std::string why =
            is_folder ? "it is a directory; move the files in it to " + path
                      : "its name does not end in .json; " + how_it_would_count(name, all);
        told.push_back({file, file + ": is ignored, because " + printable(why)});
    }
    return told;
}

}  // namespace

std::string path_in(const std::string& folder, const std::string& name) {
    return folder.ends_with('/') ? folder + name : folder + '/' + name;
}

Result<FolderListing> list_folder(const UniqueFd& folder, const std::string& path) {
    const auto failed = [&path](int error) {
        return fail(path + " can't be read: " + std::generic_category().message(error));
    };
    UniqueFd copy = duplicate(folder.get());
    if (!copy) return failed(errno);
    const Directory stream(fdopendir(copy.get()));
    if (!stream) return failed(errno);
    static_cast<void>(copy.release());  // closedir() closes it

    std::set<std::string, std::less<>> files;
    std::map<std::string, bool> others;
    while (true) {
        errno = 0;
        const dirent* const entry = readdir(stream.get());
        if (entry == nullptr && errno != 0) return failed(errno);
        if (entry == nullptr) break;
        std::string name = static_cast<const char*>(entry->d_name);
        switch (kind_of_name(name)) {
            case NameKind::action:
                files.insert(std::move(name));
                break;
            case NameKind::passed_over:
                others.emplace(std::move(name), is_folder(folder.get(), *entry));
                break;
            case NameKind::leftover:
                break;
        }
    }
    std::vector<PassedOver> told = tell_passed_over(path, others, files);
    return FolderListing{{files.begin(), files.end()}, std::move(told)};
}

Result<std::optional<FolderListing>> list_any_folder(const std::string& path) {
    const UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder) {
        POSTERN_TRY(FolderListing listing, list_folder(folder, path));
        return std::optional(std::move(listing));
    }
    // What else is wrong is for whoever reads it as a file to say.
    if (errno != EACCES) return std::optional<FolderListing>();
    return fail(printable(path) + ": can't be read: " + std::generic_category().message(errno));
}

}  // namespace postern::policy
