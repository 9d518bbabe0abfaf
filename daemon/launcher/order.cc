#include "daemon/launcher/order.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "daemon/launcher/order_codec.h"

namespace postern::launcher {
namespace {

constexpr std::uint8_t version = 1;

}  // namespace

Result<std::vector<std::uint8_t>> encode(const Order& order) {
    if (order.argv.empty()) return fail("the command line is empty");
    OrderWriter writer;
    writer.integer(version);
    writer.integer(order.uid);
    writer.integer(order.gid);
    writer.length(order.groups.size());
    for (const std::uint32_t group : order.groups) writer.integer(group);
    writer.integer(static_cast<std::uint8_t>(order.join_cgroup ? 1 : 0));
    writer.integer(order.open_files);
    writer.text(order.program);
    writer.text(order.working_directory);
    writer.texts(order.argv);
    writer.texts(order.environment);
    return std::move(writer).finish();
}

Result<Order> decode(std::span<const std::uint8_t> bytes) {
    OrderReader reader(bytes);
    if (reader.integer<std::uint8_t>() != version) return fail("an order of another version");
    Order order;
    order.uid = reader.integer<std::uint32_t>();
    order.gid = reader.integer<std::uint32_t>();
    order.groups = reader.numbers();
    order.join_cgroup = reader.boolean();
    order.open_files = reader.integer<std::uint64_t>();
    order.program = reader.text();
    order.working_directory = reader.text();
    order.argv = reader.texts();
    order.environment = reader.texts();
    if (reader.failed() || order.argv.empty()) return fail("not an order");
    return order;
}

ReportBytes encode(const Report& report) {
    ReportBytes bytes{};
    bytes[0] = static_cast<std::uint8_t>(report.stage);
    const auto error = static_cast<std::uint32_t>(report.error);
    for (std::size_t i = 0; i < sizeof(error); ++i) {
        bytes[4 + i] = static_cast<std::uint8_t>(error >> (8 * i));
    }
    return bytes;
}

Result<Report> decode_report(std::span<const std::uint8_t> bytes) {
    if (bytes.size() != ReportBytes{}.size()) return fail("a report of the wrong length");
    if (bytes[0] > static_cast<std::uint8_t>(Stage::exec)) return fail("an unknown stage");
    OrderReader reader(bytes.subspan(4));
    const auto error = reader.integer<std::uint32_t>();
    return Report{static_cast<Stage>(bytes[0]), static_cast<int>(error)};
}

std::string_view doing(Stage stage) {
    switch (stage) {
        case Stage::ready:
            return "getting ready";
        case Stage::descriptors:
            return "closing inherited descriptors";
        case Stage::order:
            return "reading its order";
        case Stage::cgroup:
            return "joining its cgroup";
        case Stage::posix_session:
            return "creating its own POSIX session";
        case Stage::open_files:
            return "setting the limit on open files";
        case Stage::keyring:
            return "creating its own session keyring";
        case Stage::program:
            return "checking the program";
        case Stage::groups:
            return "setting its groups";
        case Stage::gid:
            return "setting its group id";
        case Stage::uid:
            return "setting its user id";
        case Stage::capabilities:
            return "dropping capabilities";
        case Stage::working_directory:
            return "changing to its working directory";
        case Stage::exec:
            return "executing the program";
    }
    return "an unknown stage";
}

}  // namespace postern::launcher
