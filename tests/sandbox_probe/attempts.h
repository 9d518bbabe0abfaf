// What a session that its caller has taken over would like to do.
#pragma once

#include <span>
#include <string_view>

namespace postern::test {

struct Attempt {
    std::string_view name;
    // Returns if the kernel let it: with success or with an error, that is the same.
    void (*make)();
};

std::span<const Attempt> attempts();

}  // namespace postern::test
