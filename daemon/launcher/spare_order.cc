#include "daemon/launcher/spare_order.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace postern::launcher {
namespace {

constexpr std::array<std::uint8_t, 8> begin_of_header = {'P', 'S', 'T', 'O', 2, 0, 0, 0};

void add_number(std::vector<std::uint8_t>& bytes, std::size_t number) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
        bytes.push_back(static_cast<std::uint8_t>(number >> shift));
    }
}

std::size_t number_at(std::span<const std::uint8_t> bytes) {
    std::size_t number = 0;
    for (std::size_t i = 4; i-- > 0;) number = number << 8U | bytes[i];
    return number;
}

// Texts end with a NUL byte each.
void add_text(std::vector<std::uint8_t>& bytes, const std::string& text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(0);
}

class TextReader {
  public:
    explicit TextReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

    std::size_t number() {
        if (rest_.size() < 4) failed_ = true;
        if (failed_) return 0;
        const std::size_t number = number_at(rest_);
        rest_ = rest_.subspan(4);
        // Each text that is to come has a byte at least.
        if (number > rest_.size()) failed_ = true;
        return failed_ ? 0 : number;
    }
    std::string text() {
        const auto end = std::ranges::find(rest_, 0);
        if (end == rest_.end()) failed_ = true;
        if (failed_) return {};
        std::string text(rest_.begin(), end);
        rest_ = rest_.subspan(text.size() + 1);
        return text;
    }
    std::vector<std::string> texts(std::size_t count) {
        std::vector<std::string> texts;
        texts.reserve(count);
        for (; count > 0 && !failed_; --count) texts.push_back(text());
        return texts;
    }
    [[nodiscard]] bool failed() const { return failed_ || !rest_.empty(); }

  private:
    std::span<const std::uint8_t> rest_;
    bool failed_ = false;
};

}  // namespace

Result<std::vector<std::uint8_t>> encode_spare(const SpareOrder& order) {
    if (order.argv.empty()) return fail("the command line is empty");
    std::vector<std::uint8_t> bytes(begin_of_header.begin(), begin_of_header.end());
    add_number(bytes, 0);
    add_number(bytes, order.argv.size());
    add_number(bytes, order.environment.size());
    bool has_nul = order.program.find('\0') != std::string::npos;
    add_text(bytes, order.program);
    for (const auto* texts : {&order.argv, &order.environment}) {
        for (const std::string& text : *texts) {
            has_nul = has_nul || text.find('\0') != std::string::npos;
            if (bytes.size() <= order_bytes) add_text(bytes, text);
        }
    }
    if (has_nul) return fail("a NUL byte inside an argument, path or environment text");
    const std::size_t length = bytes.size() - spare_header_bytes;
    if (bytes.size() > order_bytes) {
        return fail("command line and environment are larger than " + std::to_string(order_bytes) +
                    " bytes");
    }
    std::vector<std::uint8_t> written;
    add_number(written, length);
    std::ranges::copy(written, bytes.begin() + begin_of_header.size());
    return bytes;
}

Result<std::size_t> body_length(const SpareHeader& header) {
    if (!std::ranges::equal(std::span(header).first(begin_of_header.size()), begin_of_header)) {
        return fail("not an order, or one of another version");
    }
    const std::size_t length = number_at(std::span(header).subspan(begin_of_header.size()));
    if (length > order_bytes) return fail("an order that is too long");
    return length;
}

Result<SpareOrder> decode_spare(std::span<const std::uint8_t> body) {
    TextReader reader(body);
    const std::size_t arguments = reader.number();
    const std::size_t variables = reader.number();
    SpareOrder order;
    order.program = reader.text();
    order.argv = reader.texts(arguments);
    order.environment = reader.texts(variables);
    if (reader.failed() || order.argv.empty()) return fail("not an order");
    return order;
}

}  // namespace postern::launcher
