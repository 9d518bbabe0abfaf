// What a job writes, out of the replies of Run and Follow: each stream to its own descriptor, byte
// for byte. It knows how far each stream has come, and says what of it is missing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace postern::ctl {

// The fields of a reply that carry one stream of the job.
struct OutputStream {
    const char* text;
    const char* base64;
    const char* missed;
    const char* offset;
    const char* name;
};
inline constexpr std::array output_streams = {
    OutputStream{"stdout", "stdoutBase64", "stdoutMissed", "stdoutOffset", "standard output"},
    OutputStream{"stderr", "stderrBase64", "stderrMissed", "stderrOffset", "standard error"},
};

// Why output was not taken.
struct NotTaken {
    enum class Why : std::uint8_t {
        interrupted,  // while it was written
        unwritable,
        nonsense,  // the reply is not what the interface promises
    };
    Why why = Why::interrupted;
    std::string message;  // one line; empty for `interrupted`
};

class JobOutput {
  public:
    using Where = std::array<int, output_streams.size()>;

    // `to`: where stdout and stderr go; -1: nowhere, and nobody misses it. `json`: replies are
    // printed as they come, and here only counted. `interrupt`: a descriptor, or -1.
    JobOutput(Where to, bool json, int interrupt) : to_(to), json_(json), interrupt_(interrupt) {}

    // The action's name, for what is said of missing bytes.
    void set_action(std::string action) { action_ = std::move(action); }

    Result<void, NotTaken> take(const std::array<std::string, output_streams.size()>& output);
    Result<void, NotTaken> take(const nlohmann::json& parameters);

    // Bytes of each stream up to here have come, those that were missing counted.
    [[nodiscard]] const std::array<std::uint64_t, output_streams.size()>& offsets() const {
        return offsets_;
    }

    [[nodiscard]] bool wants(std::size_t which) const { return to_.at(which) >= 0; }
    // At once, where it is missing, and under --json too: a log of both streams shows the place.
    void say_missing(const std::string& what);
    // Something of them was missing, and that was said.
    [[nodiscard]] bool incomplete() const { return incomplete_; }
    // After the last byte: what some file systems say only now is said to be missing. Whether all
    // was written.
    bool end();

  private:
    Result<void, NotTaken> take(const nlohmann::json& parameters, std::size_t which);
    Result<void, NotTaken> write(std::size_t which, std::string_view bytes);

    Where to_;
    bool json_;
    int interrupt_;
    std::string action_;
    std::array<std::uint64_t, output_streams.size()> offsets_{};
    bool incomplete_ = false;
};

}  // namespace postern::ctl
