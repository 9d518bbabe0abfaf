#include "daemon/launcher/order.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace postern::launcher {
namespace {

constexpr std::uint8_t version = 1;

class Writer {
  public:
    template <typename Integer>
    void integer(Integer value) {
        for (std::size_t i = 0; i < sizeof(Integer); ++i) {
            bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
        }
    }
    // Lengths that do not fit make the whole too long, which finish() refuses.
    void length(std::size_t value) {
        if (value > order_bytes) too_long_ = true;
        integer(static_cast<std::uint32_t>(std::min(value, order_bytes)));
    }
    void text(std::string_view value) {
        if (value.find('\0') != std::string_view::npos) has_nul_ = true;
        length(value.size());
        if (!too_long_) bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    void texts(const std::vector<std::string>& values) {
        length(values.size());
        for (const std::string& value : values) text(value);
    }
    Result<std::vector<std::uint8_t>> finish() && {
        if (has_nul_) return fail("a NUL byte inside an argument, path or environment text");
        if (too_long_ || bytes_.size() > order_bytes) {
            return fail("command line and environment are larger than " +
                        std::to_string(order_bytes) + " bytes");
        }
        return std::move(bytes_);
    }

  private:
    std::vector<std::uint8_t> bytes_;
    bool has_nul_ = false;
    bool too_long_ = false;
};

// Reads until something is wrong; from then on everything is empty and failed() holds.
class Reader {
  public:
    explicit Reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    template <typename Integer>
    Integer integer() {
        if (rest_.size() < sizeof(Integer)) failed_ = true;
        if (failed_) return 0;
        Integer value = 0;
        for (std::size_t i = 0; i < sizeof(Integer); ++i) {
            value = static_cast<Integer>(value | static_cast<Integer>(rest_[i]) << (8 * i));
        }
        rest_ = rest_.subspan(sizeof(Integer));
        return value;
    }
    bool boolean() {
        const auto value = integer<std::uint8_t>();
        if (value > 1) failed_ = true;
        return value == 1;
    }
    std::string text() {
        const auto size = integer<std::uint32_t>();
        if (size > rest_.size()) failed_ = true;
        if (failed_) return {};
        std::string value(rest_.begin(), rest_.begin() + size);
        if (value.find('\0') != std::string::npos) failed_ = true;
        rest_ = rest_.subspan(size);
        return value;
    }
    std::vector<std::string> texts() {
        std::vector<std::string> values;
        const std::size_t count = elements(sizeof(std::uint32_t));
        values.reserve(count);
        for (std::size_t i = 0; i < count && !failed_; ++i) values.push_back(text());
        return values;
    }
    std::vector<std::uint32_t> numbers() {
        std::vector<std::uint32_t> values;
        const std::size_t count = elements(sizeof(std::uint32_t));
        values.reserve(count);
        for (std::size_t i = 0; i < count && !failed_; ++i) {
            values.push_back(integer<std::uint32_t>());
        }
        return values;
    }
    [[nodiscard]] bool failed() const { return failed_ || !rest_.empty(); }

  private:
    // A list's length, refused before anything is reserved for it.
    std::size_t elements(std::size_t bytes_each) {
        const std::size_t count = integer<std::uint32_t>();
        if (count > rest_.size() / bytes_each) failed_ = true;
        return failed_ ? 0 : count;
    }

    std::span<const std::uint8_t> rest_;
    bool failed_ = false;
};

}  // namespace

Result<std::vector<std::uint8_t>> encode(const Order& order) {
    if (order.argv.empty()) return fail("the command line is empty");
    Writer writer;
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
    Reader reader(bytes);
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
    Reader reader(bytes.subspan(4));
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
