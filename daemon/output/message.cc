#include "daemon/output/message.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace postern::output {
namespace {

constexpr std::size_t id_bytes = 32;

// The numbers behind the job, in their order; little-endian.
template <typename M, typename Each>
void for_each_number(M& message, Each each) {
    each(message.count);
    each(message.followers);
    each(message.error);
    each(message.window);
    each(message.stall);
    each(message.owner);
    each(message.stored);
    each(message.floor);
    each(message.awaited);
    for (auto& size : message.sizes) each(size);
}

bool is_kind(std::uint8_t kind) {
    return (kind >= static_cast<std::uint8_t>(Kind::hello) &&
            kind <= static_cast<std::uint8_t>(Kind::want_inputs)) ||
           (kind >= static_cast<std::uint8_t>(Kind::kept) &&
            kind <= static_cast<std::uint8_t>(Kind::refused));
}

bool names_job(Kind kind) {
    return kind != Kind::hello && kind != Kind::want_pipes && kind != Kind::want_inputs &&
           kind != Kind::room && kind != Kind::all_kept && kind != Kind::pipe &&
           kind != Kind::input && kind != Kind::refused;
}

}  // namespace

Packet encode(const Message& message) {
    Packet packet{};
    packet[0] = version;
    packet[1] = static_cast<std::uint8_t>(message.kind);
    packet[2] = message.stream;
    std::size_t at = 4;
    std::ranges::copy(std::string_view(message.job.text()).substr(0, id_bytes), &packet[at]);
    at += id_bytes;
    for_each_number(message, [&](auto number) {
        for (std::size_t i = 0; i < sizeof number; ++i) {
            packet[at++] = static_cast<std::uint8_t>(number >> (8 * i));
        }
    });
    return packet;
}

std::optional<Message> decode(std::span<const std::uint8_t> packet) {
    if (packet.size() != packet_bytes || packet[0] != version || !is_kind(packet[1]) ||
        packet[2] >= streams || packet[3] != 0) {
        return std::nullopt;
    }
    std::size_t at = 4;
    const std::string_view id(reinterpret_cast<const char*>(&packet[at]), id_bytes);
    at += id_bytes;
    const auto kind = static_cast<Kind>(packet[1]);
    if (names_job(kind) && id.find_first_not_of("0123456789abcdef") != std::string_view::npos) {
        return std::nullopt;
    }
    Message message{
        .kind = kind, .stream = packet[2], .job = JobId(std::string(names_job(kind) ? id : ""))};
    for_each_number(message, [&](auto& number) {
        number = 0;
        for (std::size_t i = 0; i < sizeof number; ++i) {
            number |= static_cast<std::remove_reference_t<decltype(number)>>(packet[at++])
                      << (8 * i);
        }
    });
    return message;
}

}  // namespace postern::output
