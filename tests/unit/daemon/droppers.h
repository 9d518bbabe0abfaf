// What droppers are started with in a test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "base/unique_fd.h"
#include "daemon/loop/dropper.h"
#include "daemon/loop/spawner.h"

namespace postern {

class Droppers {
  public:
    explicit Droppers(const char* program = POSTERN_DROPPER)
        : program_(::open(program, O_PATH | O_CLOEXEC)) {
        EXPECT_TRUE(program_) << program;
    }
    [[nodiscard]] Dropper::Source source() const { return {spawner_.get(), program_.get()}; }

  private:
    UniqueFd program_;
    std::unique_ptr<Spawner> spawner_ = std::move(Spawner::create()).value();
};

}  // namespace postern
