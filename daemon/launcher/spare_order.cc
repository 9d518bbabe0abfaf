#include "daemon/launcher/spare_order.h"

#include <algorithm>
#include <utility>

#include "daemon/launcher/order_codec.h"

namespace postern::launcher {
namespace {

constexpr std::array<std::uint8_t, 8> begin_of_header = {'P', 'S', 'T', 'O', 2, 0, 0, 0};

}  // namespace

Result<std::vector<std::uint8_t>> encode_spare(const SpareOrder& order) {
    if (order.argv.empty()) return fail("the command line is empty");
    OrderWriter writer;
    for (const std::uint8_t byte : begin_of_header) writer.integer(byte);
    writer.integer(std::uint32_t{0});  // the length, once it is known
    writer.texts(order.argv);
    writer.texts(order.environment);
    writer.text(order.program);
    POSTERN_TRY(std::vector<std::uint8_t> bytes, std::move(writer).finish());
    OrderWriter length;
    length.length(bytes.size() - spare_header_bytes);
    POSTERN_TRY(const std::vector<std::uint8_t> written, std::move(length).finish());
    std::ranges::copy(written, bytes.begin() + begin_of_header.size());
    return bytes;
}

Result<std::size_t> body_length(const SpareHeader& header) {
    if (!std::ranges::equal(std::span(header).first(begin_of_header.size()), begin_of_header)) {
        return fail("not an order, or one of another version");
    }
    OrderReader reader(std::span<const std::uint8_t>(header).subspan(begin_of_header.size()));
    const std::size_t length = reader.integer<std::uint32_t>();
    if (length > order_bytes) return fail("an order that is too long");
    return length;
}

Result<SpareOrder> decode_spare(std::span<const std::uint8_t> body) {
    OrderReader reader(body);
    SpareOrder order;
    order.argv = reader.texts();
    order.environment = reader.texts();
    order.program = reader.text();
    if (reader.failed() || order.argv.empty()) return fail("not an order");
    return order;
}

}  // namespace postern::launcher
