#include "daemon/guard/calls/call_bytes.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <tuple>
#include <variant>

namespace postern {
namespace {

class CallBytes {
  public:
    void number(std::uint64_t value) {
        for (std::size_t i = 0; i < sizeof(value); ++i) {
            bytes_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
        }
    }
    void text(std::string_view value) {
        number(value.size());
        bytes_.insert(bytes_.end(), value.begin(), value.end());
    }
    // Scalar and Value share their first kinds.
    template <typename... Kinds>
    void value(const std::variant<Kinds...>& value) {
        number(value.index());
        std::visit([this](const auto& one) { this->put(one); }, value);
    }
    std::vector<std::uint8_t> take() && { return std::move(bytes_); }

  private:
    void put(const Unsupported& /*value*/) {}
    void put(const std::string& value) { text(value); }
    void put(std::int64_t value) { number(static_cast<std::uint64_t>(value)); }
    void put(bool value) { number(value ? 1 : 0); }
    void put(const std::vector<Scalar>& list) {
        number(list.size());
        for (const Scalar& element : list) value(element);
    }

    std::vector<std::uint8_t> bytes_;
};

}  // namespace

std::vector<std::uint8_t> call_bytes(std::string_view action, const Arguments& arguments,
                                     const std::optional<std::string>& input) {
    std::vector<const NamedValue*> sorted;
    sorted.reserve(arguments.size());
    for (const NamedValue& argument : arguments) sorted.push_back(&argument);
    // Those of one name in their order.
    std::ranges::sort(sorted, [](const NamedValue* one, const NamedValue* other) {
        return std::tie(one->name, one) < std::tie(other->name, other);
    });
    CallBytes bytes;
    bytes.text(action);
    bytes.number(sorted.size());
    for (const NamedValue* argument : sorted) {
        bytes.text(argument->name);
        bytes.value(argument->value);
    }
    if (input) bytes.text(*input);
    return std::move(bytes).take();
}

}  // namespace postern
