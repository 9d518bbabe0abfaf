// What stands in a file.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace postern {

// All of it; "" where it can't be read.
inline std::string read_path(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// Without their newlines.
inline std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

}  // namespace postern
