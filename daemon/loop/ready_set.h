// What callers set going, in one epoll(7) of its own that is one source of the loop: new
// connections, what sessions say. The loop gives one source a turn, and asks the kernel two or
// three times for each; this takes all that is ready at once, so that what is done for one owner is
// chosen among all that wait.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"

namespace postern {

class ReadySet {
  public:
    // `turn` is called from the loop when something is ready, and then calls dispatch(); without
    // it, that is all. Error: no descriptor to be had, or the loop takes no more sources.
    static Result<std::unique_ptr<ReadySet>> create(sd_event* event,
                                                    std::function<void()> turn = {});
    ~ReadySet() = default;
    ReadySet(const ReadySet&) = delete;
    ReadySet& operator=(const ReadySet&) = delete;

    // A descriptor that is looked at, until this goes: before the descriptor is closed.
    class Source {
      public:
        Source() = default;
        ~Source() { reset(); }
        Source(Source&& other) noexcept { *this = std::move(other); }
        Source& operator=(Source&& other) noexcept;
        Source(const Source&) = delete;
        Source& operator=(const Source&) = delete;

        void reset();
        // Other events than before; 0: none. To name the same ones again makes the kernel look
        // anew (EPOLL_CTL_MOD).
        void change(std::uint32_t events) const;

      private:
        friend ReadySet;
        ReadySet* set_ = nullptr;
        std::uint64_t number_ = 0;
        int fd_ = -1;
    };

    // `what` gets the events of epoll_ctl(2) that happened. It does little, since all others wait
    // meanwhile, and may let sources go, its own too. Returns 0 or a negative errno; then `source`
    // is as it was.
    int add(Source& source, int fd, std::uint32_t events,
            std::function<void(std::uint32_t revents)> what);

    // Does what is ready, without waiting for it.
    void dispatch();

    // The loop that this is a source of.
    [[nodiscard]] sd_event* event() const { return event_; }

  private:
    using What = std::function<void(std::uint32_t)>;

    explicit ReadySet(sd_event* event) : event_(event) {}

    sd_event* event_;
    UniqueFd epoll_;
    // By their numbers, of which none is used twice: what has gone since it was found ready is not
    // there any more. Shared, so that one stays until it has returned.
    std::unordered_map<std::uint64_t, std::shared_ptr<const What>> sources_;
    std::uint64_t last_ = 0;
    EventSource source_;
};

}  // namespace postern
