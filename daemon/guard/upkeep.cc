#include "daemon/guard/upkeep.h"

namespace postern {
namespace {

constexpr std::chrono::seconds look_interval{5};

}  // namespace

void Upkeep::start() {
    active_ = true;
    sockets_->start();
    look();
}

void Upkeep::look_now_and_then() {
    if (std::chrono::steady_clock::now() - looked_ >= look_interval) look();
}

void Upkeep::stop() {
    active_ = false;
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
