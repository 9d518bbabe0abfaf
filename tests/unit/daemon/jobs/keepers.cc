#include "tests/unit/daemon/jobs/keepers.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <vector>

#include "daemon/channel/transport.h"
#include "daemon/loop/child.h"
#include "tests/unit/daemon/jobs/fixture.h"

namespace postern::jobs {

KeeperLink::Connect real_keeper(sd_event* event, Spawner& spawner, int program) {
    auto child = std::make_shared<std::unique_ptr<Child>>();
    return [event, &spawner, program, child]() -> Result<UniqueFd> {
        POSTERN_TRY(auto ends, channel::make_pair());
        constexpr std::uint64_t descriptors = 4096;
        std::vector<std::string> arguments{"postern-output"};
        if (geteuid() == 0) {
            const std::string user = std::to_string(keeper_user);
            arguments.insert(arguments.end(), {"--uid", user, "--gid", user});
        }
        POSTERN_TRY(*child, Child::spawn(event, spawner, program, arguments, ends.second.get(),
                                         descriptors, [](const std::string&) {}));
        return std::move(ends.first);
    };
}

namespace {

// Makes pipes, and takes no notice of anything else.
class PipeMaker {
  public:
    PipeMaker(sd_event* event, UniqueFd channel) : channel_(std::move(channel)) {
        say(output::Kind::all_kept, {});
        EXPECT_EQ(
            add_io(event, source_, channel_.get(), EPOLLIN, [this](std::uint32_t) { hear(); }), 0);
    }

  private:
    void hear() {
        for (;;) {
            const channel::Received received = receiver_->receive(channel_.get());
            if (received.state == channel::Received::State::ended) return source_.reset();
            if (received.state != channel::Received::State::packet) return;
            const auto message = output::decode(received.packet);
            ASSERT_TRUE(message);
            if (message->kind != output::Kind::want_pipes) continue;
            for (std::uint32_t i = 0; i < message->count; ++i) {
                std::array<int, 2> pipe{-1, -1};
                ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
                const UniqueFd read_end(pipe[0]);
                const UniqueFd write_end(pipe[1]);
                say(output::Kind::pipe, pipe);
            }
        }
    }
    void say(output::Kind kind, std::span<const int> descriptors) const {
        output::Message message;
        message.kind = kind;
        EXPECT_EQ(channel::send_packet(channel_.get(), output::encode(message), descriptors),
                  channel::Sent::sent);
    }

    UniqueFd channel_;
    EventSource source_;
    std::unique_ptr<channel::Receiver> receiver_ =
        std::make_unique<channel::Receiver>(channel::Descriptors::taken);
};

}  // namespace

KeeperLink::Connect pipe_maker(sd_event* event) {
    auto maker = std::make_shared<std::unique_ptr<PipeMaker>>();
    return [event, maker]() -> Result<UniqueFd> {
        POSTERN_TRY(auto ends, channel::make_pair());
        *maker = std::make_unique<PipeMaker>(event, std::move(ends.second));
        return std::move(ends.first);
    };
}

}  // namespace postern::jobs
