// A list of texts as execve(2) takes it.
#pragma once

#include <string>
#include <vector>

namespace postern::launcher {

// It ends with a null pointer; the others point into `texts`, which has to outlive it.
inline std::vector<char*> exec_list(std::vector<std::string>& texts) {
    std::vector<char*> list;
    list.reserve(texts.size() + 1);
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
}

}  // namespace postern::launcher
