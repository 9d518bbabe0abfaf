// The real postern-output, and a guard that says what a test has it say.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/channel/transport.h"
#include "daemon/output/keeper/guard_listener.h"
#include "daemon/output/message.h"
#include "tests/unit/daemon/output/keeper/streams.h"

namespace postern::output::test {

struct Heard {
    Message message;
    std::vector<UniqueFd> descriptors;
};

// One end of the channel.
class Guard {
  public:
    Guard() = default;
    explicit Guard(UniqueFd channel) : channel_(std::move(channel)) {}

    void say(const Message& message, std::span<const int> descriptors = {}) const;
    void say_bytes(std::span<const std::uint8_t> bytes,
                   std::span<const int> descriptors = {}) const;
    // What comes next; the test fails where nothing does.
    Heard hear();
    // The keeper has ended the connection.
    bool ended();
    // What the keeper had before; and which jobs had finished.
    std::vector<Heard> greet(std::uint64_t window = 1 << 20, std::uint64_t stall = 60'000'000,
                             std::uint64_t owner = 1);
    void greet(std::vector<Heard>& kept, std::vector<Heard>& finished,
               std::uint64_t window = 1 << 20, std::uint64_t stall = 60'000'000,
               std::uint64_t owner = 1);
    Pipe want_pipe();
    void keep(const JobId& job, std::uint8_t stream, const Pipe& pipe, const File& file,
              std::uint64_t stored, std::uint64_t floor = none) const;
    void watch(const JobId& job, std::uint8_t stream, std::uint64_t stored, std::uint64_t floor,
               std::uint64_t awaited = none) const;
    // Sends `finish`; its answer.
    std::array<std::uint64_t, streams> finish(const JobId& job);
    void close() { channel_.reset(); }
    [[nodiscard]] int channel() const { return channel_.get(); }

  private:
    UniqueFd channel_;
    std::unique_ptr<channel::Receiver> receiver_ =
        std::make_unique<channel::Receiver>(channel::Descriptors::taken);
};

Message message(Kind kind, const JobId& job = {}, std::uint8_t stream = 0);

// Writes so many numbered bytes from a process of its own, which exits with 0.
pid_t write_numbered(const Pipe& pipe, std::uint64_t length);

// A process; killed at the end where it has not ended.
class Process {
  public:
    explicit Process(pid_t pid) : pid_(pid) {}
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() { kill(); }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void kill();
    void signal(int number) const;
    // Its exit code; minus the signal that ended it.
    int end();

  private:
    pid_t pid_;
};

// The guard's child.
struct KeeperChild {
    KeeperChild();
    Guard guard;
    std::unique_ptr<Process> process;
};

// A service: of a manager that the test plays.
class KeeperService {
  public:
    // Below `directory`, which is made its own. `stored`: name and descriptor of what it finds.
    // `descriptors`: how many it may have; 0: as many as the test.
    explicit KeeperService(const std::string& directory,
                           std::vector<std::pair<std::string, int>> stored = {},
                           std::chrono::microseconds watchdog = {}, std::size_t descriptors = 0);
    [[nodiscard]] Guard connect() const;
    // Whether anybody takes connections.
    [[nodiscard]] bool listens() const;
    // What the manager is told next, and what comes with it.
    struct Notice {
        std::string text;
        std::vector<UniqueFd> descriptors;
    };
    Notice notice();
    Process& process() { return *process_; }
    // What it said on standard error, once it has ended.
    [[nodiscard]] std::string said() const;

  private:
    std::string directory_;
    UniqueFd notices_;
    std::unique_ptr<Process> process_;
};

}  // namespace postern::output::test
