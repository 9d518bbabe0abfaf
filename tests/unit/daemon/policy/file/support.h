// What the tests of daemon/policy/ share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "daemon/policy/file/action_parser.h"
#include "daemon/policy/file/load_options.h"

namespace postern::policy {

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
