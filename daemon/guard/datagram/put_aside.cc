#include "daemon/guard/datagram/put_aside.h"

#include <algorithm>

#include "base/limits.h"

namespace postern {
namespace {

using std::chrono::microseconds;

constexpr microseconds first_time_aside = std::chrono::seconds(1);
// Whoever was put aside is remembered for it as long again.
constexpr microseconds longest_time_aside = std::chrono::seconds(64);

}  // namespace

const char* PutAside::reason(uid_t payer, MonotonicTime now) const {
    const auto found = aside_.find(payer);
    return found != aside_.end() && now < found->second.until ? found->second.reason : nullptr;
}

void PutAside::for_its_session(uid_t payer, MonotonicTime now) {
    forget_old(now);
    constexpr microseconds span = limits::datagram_penalty;
    aside_[payer] = {now + span, span,
                     "refused for a while: a session of this user ended with datagrams unanswered"};
}

void PutAside::for_descriptors(uid_t payer, MonotonicTime now) {
    forget_old(now);
    const auto found = aside_.find(payer);
    const microseconds last = found == aside_.end() ? microseconds(0) : found->second.span;
    const microseconds span = std::clamp(last * 2, first_time_aside, longest_time_aside);
    aside_[payer] = {now + span, span,
                     "refused for a while: datagrams of this user carry descriptors"};
}

void PutAside::forget_old(MonotonicTime now) {
    std::erase_if(aside_, [now](const auto& entry) {
        return entry.second.until + longest_time_aside <= now;
    });
}

}  // namespace postern
