#include "daemon/jobs/record/group_digest.h"

#include <bit>
#include <cstddef>
#include <vector>

namespace postern::jobs {
namespace {

std::uint64_t little_endian(std::span<const std::uint8_t> bytes) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
    return value;
}

struct State {
    std::array<std::uint64_t, 4> v;

    void rounds(int count) {
        for (; count > 0; --count) {
            v[0] += v[1];
            v[1] = std::rotl(v[1], 13) ^ v[0];
            v[0] = std::rotl(v[0], 32);
            v[2] += v[3];
            v[3] = std::rotl(v[3], 16) ^ v[2];
            v[0] += v[3];
            v[3] = std::rotl(v[3], 21) ^ v[0];
            v[2] += v[1];
            v[1] = std::rotl(v[1], 17) ^ v[2];
            v[2] = std::rotl(v[2], 32);
        }
    }
    void take(std::uint64_t word) {
        v[3] ^= word;
        rounds(2);
        v[0] ^= word;
    }
};

}  // namespace

GroupDigest::GroupDigest(const Key& key)
    : first_(little_endian(std::span(key).first<8>())),
      second_(little_endian(std::span(key).last<8>())) {}

std::uint64_t GroupDigest::of_bytes(std::span<const std::uint8_t> bytes) const {
    State state{{first_ ^ 0x736f6d6570736575, second_ ^ 0x646f72616e646f6d,
                 first_ ^ 0x6c7967656e657261, second_ ^ 0x7465646279746573}};
    const std::uint64_t length = bytes.size();
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) state.take(little_endian(bytes.first<8>()));
    state.take(little_endian(bytes) | length << 56);
    state.v[2] ^= 0xff;
    state.rounds(4);
    return state.v[0] ^ state.v[1] ^ state.v[2] ^ state.v[3];
}

std::uint64_t GroupDigest::operator()(std::span<const gid_t> groups) const {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(groups.size() * sizeof(gid_t));
    for (const gid_t group : groups) {
        for (std::size_t i = 0; i < sizeof(gid_t); ++i) {
            bytes.push_back(static_cast<std::uint8_t>(group >> (8 * i)));
        }
    }
    return of_bytes(bytes);
}

}  // namespace postern::jobs
