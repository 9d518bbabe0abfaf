#include "daemon/guard/upkeep.h"

#include <cstring>

namespace postern {
namespace {

constexpr std::chrono::seconds look_interval{5};

}  // namespace

Status Upkeep::start(sd_event* event) {
    active_ = true;
    sockets_->start();
    look();
    const auto after_others = [this] {
        if (std::chrono::steady_clock::now() - looked_ >= look_interval) look();
    };
    if (const int r = add_post(event, after_others_, after_others); r < 0) {
        return fail(std::string("event loop: ") + std::strerror(-r));
    }
    return {};
}

void Upkeep::stop() {
    active_ = false;
    after_others_.reset();
    sockets_.reset();
}

void Upkeep::look() {
    if (!active_) return;
    looked_ = std::chrono::steady_clock::now();
    sockets_->look();
    // Each says in the log what has changed.
    static_cast<void>(jobs_.state_problem());
    static_cast<void>(audit_.ready());
}

std::vector<ProblemReport> Upkeep::problems() {
    std::vector<ProblemReport> problems;
    if (!active_) return problems;
    look();
    for (std::string& problem : sockets_->problems()) {
        problems.push_back({"socket", std::move(problem)});
    }
    if (std::string problem = jobs_.state_problem(); !problem.empty()) {
        problems.push_back({"state", std::move(problem)});
    }
    if (Status ready = audit_.ready(); !ready) {
        problems.push_back({"audit", std::move(ready).error().message});
    }
    return problems;
}

}  // namespace postern
