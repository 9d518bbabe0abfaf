// What lies in a folder of action files, by the names alone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/policy/snapshot.h"

namespace postern::policy {

struct FolderListing {
    std::vector<std::string> files;  // of actions, by their names; ascending
    std::vector<PassedOver> passed_over;
};

// `path`: of the open folder, for messages. The error is PATH can't be read: why.
Result<FolderListing> list_folder(const UniqueFd& folder, const std::string& path);

// The same of a folder that is not installed: whose it is and who may write to it does not count.
// Absent: the path is not a folder's.
Result<std::optional<FolderListing>> list_any_folder(const std::string& path);

// FOLDER/NAME
std::string path_in(const std::string& folder, const std::string& name);

}  // namespace postern::policy
