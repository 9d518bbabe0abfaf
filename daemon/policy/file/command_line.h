// What to write for a command line, where the words of a command are wanted.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace postern::policy {

// The absolute path of the program that a shell with this PATH would start: one that is executable
// by somebody.
std::optional<std::string> find_program(const std::string& name, std::string_view search_path);

// The words of a command line as elements of a list, for advice:
// systemctl restart nginx -> "/usr/bin/systemctl", "restart", "nginx". Absent: it needs a shell, it
// is long, or it has no words.
std::optional<std::string> command_words(std::string_view line, std::string_view search_path);

}  // namespace postern::policy
