// Starting a thread that has to get something first, without which it is of no use.
#pragma once

#include <functional>
#include <future>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/result.h"

namespace postern {

// Returns when `run`, in the thread, has said by the promise whether it can do its work; after an
// error it returns as well. Errors: what it said, or there is no thread to be had.
inline Result<std::thread> start_thread(std::function<void(std::promise<Status> begun)> run) {
    std::promise<Status> begun;
    auto said = begun.get_future();
    std::thread thread;
    try {
        thread = std::thread(std::move(run), std::move(begun));
    } catch (const std::system_error& error) {
        return fail(std::string("no thread: ") + error.what());
    }
    if (Status status = said.get(); !status) {
        thread.join();
        return Unexpected(std::move(status).error());
    }
    return thread;
}

}  // namespace postern
