#include "daemon/channel/messages.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "base/limits.h"

namespace postern::channel {
namespace {

constexpr std::size_t header_bytes = 20;
// The first kind of each direction; the others follow in the order of the variant.
constexpr std::uint8_t first_to_session = 1;
constexpr std::uint8_t first_to_guard = 64;

// What a body is about: a call of a connection, or no single one.
template <typename Body>
constexpr bool names_request() {
    return !std::is_same_v<Body, Welcome> && !std::is_same_v<Body, Groups> &&
           !std::is_same_v<Body, SnapshotBegin> && !std::is_same_v<Body, SnapshotAction> &&
           !std::is_same_v<Body, SnapshotEnd> && !std::is_same_v<Body, Connections> &&
           !std::is_same_v<Body, Datagrams> && !std::is_same_v<Body, Ready> &&
           !std::is_same_v<Body, Accepted> && !std::is_same_v<Body, Closed> &&
           !std::is_same_v<Body, Replies>;
}

// A struct's fields in their order, for the writer and the reader alike: of a body as it says, of
// the vocabulary of model/ as said here. T is the struct, const for the writer.
template <typename A, typename T>
void fields(A& archive, T& m) {
    using S = std::remove_const_t<T>;
    if constexpr (requires { S::fields; }) {
        std::apply([&](auto... field) { archive(m.*field...); }, S::fields);
    } else if constexpr (std::is_same_v<S, NamedValue>) {
        archive(m.name, m.value);
    } else if constexpr (std::is_same_v<S, Unsupported>) {
        archive(m.what);
    } else if constexpr (std::is_same_v<S, JobView>) {
        archive(m.job, m.action, m.state, m.created, m.result, m.message, m.uid, m.pid, m.details);
    } else if constexpr (std::is_same_v<S, JobDetails>) {
        archive(m.user, m.gid, m.unit, m.listener, m.arguments, m.rule, m.rule_place, m.sizes[0],
                m.sizes[1]);
    } else if constexpr (std::is_same_v<S, ShownArgument>) {
        archive(m.name, m.text, m.is_list);
    } else if constexpr (std::is_same_v<S, StreamSizes>) {
        archive(m.written, m.stored);
    } else if constexpr (std::is_same_v<S, JobResult>) {
        archive(m.outcome, m.by_signal, m.status, m.started, m.ended, m.cpu, m.max_resident_kib,
                m.ended_processes, m.lost_from[0], m.lost_from[1], m.cancelled_by, m.other_outcome);
    } else if constexpr (std::is_same_v<S, Canceller>) {
        archive(m.uid, m.user);
    } else if constexpr (std::is_same_v<S, ArgumentSpec>) {
        archive(m.name, m.summary, m.type, m.items, m.required, m.secret, m.allow_leading_dash,
                m.multiline, m.fallback, m.values, m.pattern, m.min_length, m.max_length, m.minimum,
                m.maximum, m.min_items, m.max_items);
    } else {
        static_assert(std::is_same_v<S, ActionDescription>);
        archive(m.name, m.summary, m.description, m.timeout, m.kill_on_disconnect, m.datagram,
                m.input, m.direct_output, m.arguments);
    }
}

// The highest value of each enumeration that travels.
template <typename E>
constexpr std::uint8_t last_of() {
    if constexpr (std::is_same_v<E, Refusal>) {
        return static_cast<std::uint8_t>(Refusal::retryable);
    } else if constexpr (std::is_same_v<E, Management>) {
        return static_cast<std::uint8_t>(Management::jobs);
    } else if constexpr (std::is_same_v<E, JobState>) {
        return static_cast<std::uint8_t>(JobState::failed);
    } else if constexpr (std::is_same_v<E, PacketFault>) {
        return static_cast<std::uint8_t>(PacketFault::not_available);
    } else if constexpr (std::is_same_v<E, CloseCause>) {
        return static_cast<std::uint8_t>(CloseCause::reads_nothing);
    } else if constexpr (std::is_same_v<E, Input>) {
        return static_cast<std::uint8_t>(Input::direct);
    } else if constexpr (std::is_same_v<E, ArgumentType>) {
        return static_cast<std::uint8_t>(ArgumentType::list);
    } else if constexpr (std::is_same_v<E, Unusable>) {
        return static_cast<std::uint8_t>(Unusable::list);
    } else {
        static_assert(std::is_same_v<E, Outcome>);
        return static_cast<std::uint8_t>(Outcome::other);
    }
}

class Writer {
  public:
    explicit Writer(Bytes& out) : out_(out) {}

    template <typename... Ts>
    void operator()(const Ts&... values) {
        (put(values), ...);
    }

  private:
    template <typename T>
    void put(const T& value) {
        if constexpr (std::is_same_v<T, bool>) {
            out_.push_back(value ? 1 : 0);
        } else if constexpr (std::is_enum_v<T>) {
            out_.push_back(static_cast<std::uint8_t>(value));
        } else if constexpr (std::is_integral_v<T>) {
            auto bits = static_cast<std::make_unsigned_t<T>>(value);
            for (std::size_t i = 0; i < sizeof(T); ++i) {
                out_.push_back(static_cast<std::uint8_t>(bits >> (8 * i)));
            }
        } else {
            fields(*this, value);
        }
    }
    void put(ConnectionId id) { put(static_cast<std::uint64_t>(id)); }
    void put(const JobId& job) { put(job.text()); }
    void put(const std::string& text) {
        put(static_cast<std::uint32_t>(text.size()));
        out_.insert(out_.end(), text.begin(), text.end());
    }
    template <typename T>
    void put(const std::vector<T>& items) {
        put(static_cast<std::uint32_t>(items.size()));
        for (const auto& item : items) put(item);
    }
    template <typename T>
    void put(const std::optional<T>& value) {
        put(value.has_value());
        if (value) put(*value);
    }
    template <typename... Ts>
    void put(const std::variant<Ts...>& value) {
        put(static_cast<std::uint8_t>(value.index()));
        std::visit([this](const auto& alternative) { this->put(alternative); }, value);
    }
    void put(std::chrono::microseconds span) { put(static_cast<std::uint64_t>(span.count())); }
    void put(Time time) { put(usec_of(time)); }

    Bytes& out_;
};

class Reader {
  public:
    // `most_values`: items of all lists together.
    Reader(std::span<const std::uint8_t> bytes, std::size_t most_values)
        : bytes_(bytes), values_(most_values) {}

    template <typename... Ts>
    void operator()(Ts&... values) {
        (get(values), ...);
    }
    [[nodiscard]] bool complete() const { return good_ && bytes_.empty(); }

  private:
    std::span<const std::uint8_t> take(std::size_t count) {
        if (!good_ || count > bytes_.size()) {
            good_ = false;
            return {};
        }
        auto taken = bytes_.first(count);
        bytes_ = bytes_.subspan(count);
        return taken;
    }
    template <typename T>
    void get(T& value) {
        if constexpr (std::is_same_v<T, bool>) {
            std::uint8_t byte = 0;
            get(byte);
            if (byte > 1) good_ = false;
            value = byte == 1;
        } else if constexpr (std::is_enum_v<T>) {
            std::uint8_t byte = 0;
            get(byte);
            if (byte > last_of<T>()) good_ = false;
            if (good_) value = static_cast<T>(byte);
        } else if constexpr (std::is_integral_v<T>) {
            auto raw = take(sizeof(T));
            std::uint64_t bits = 0;
            for (std::size_t i = 0; i < raw.size(); ++i) bits |= std::uint64_t{raw[i]} << (8 * i);
            value = static_cast<T>(bits);
        } else {
            fields(*this, value);
        }
    }
    void get(ConnectionId& id) {
        std::uint64_t number = 0;
        get(number);
        id = ConnectionId{number};
    }
    void get(JobId& job) {
        std::string text;
        get(text);
        job = JobId(std::move(text));
    }
    void get(std::string& text) {
        std::uint32_t length = 0;
        get(length);
        auto raw = take(length);
        text.assign(raw.begin(), raw.end());
    }
    template <typename T>
    void get(std::vector<T>& items) {
        std::uint32_t count = 0;
        get(count);
        // Every item takes at least one byte, so a count that lies is refused before it allocates.
        if (count > bytes_.size() || count > values_) good_ = false;
        if (good_) values_ -= count;
        for (std::uint32_t i = 0; good_ && i < count; ++i) get(items.emplace_back());
    }
    template <typename T>
    void get(std::optional<T>& value) {
        bool present = false;
        get(present);
        value.reset();
        if (!good_ || !present) return;
        T item{};
        get(item);
        value = std::move(item);
    }
    template <typename... Ts>
    void get(std::variant<Ts...>& value) {
        std::uint8_t index = 0;
        get(index);
        if (index >= sizeof...(Ts)) good_ = false;
        if (good_) get_alternative(value, index, std::index_sequence_for<Ts...>{});
    }
    template <typename V, std::size_t... I>
    void get_alternative(V& value, std::size_t index, std::index_sequence<I...>) {
        ((I == index ? get_as<I>(value) : void()), ...);
    }
    // Read whole before it is put into its place: g++ 14 does not see that an object which is read
    // in place is whole when it is destroyed.
    template <std::size_t I, typename V>
    void get_as(V& value) {
        std::variant_alternative_t<I, V> item{};
        get(item);
        value = std::move(item);
    }
    void get(std::chrono::microseconds& span) {
        std::uint64_t usec = 0;
        get(usec);
        span = time_of(usec).time_since_epoch();
    }
    void get(Time& time) {
        std::uint64_t usec = 0;
        get(usec);
        time = time_of(usec);
    }

    std::span<const std::uint8_t> bytes_;
    std::size_t values_;
    bool good_ = true;
};

// Everything but the body.
struct Header {
    std::uint8_t version = channel::version;
    std::uint8_t kind = 0;
    std::uint16_t zero = 0;
    std::uint32_t body_bytes = 0;
    std::uint64_t connection = 0;
    std::uint32_t request = 0;
    static constexpr auto fields =
        std::tuple(&Header::version, &Header::kind, &Header::zero, &Header::body_bytes,
                   &Header::connection, &Header::request);
};

template <typename V>
Bytes encode_from(const Envelope<V>& message, std::uint8_t first_kind) {
    Header header;
    header.kind = static_cast<std::uint8_t>(first_kind + message.body.index());
    header.connection = static_cast<std::uint64_t>(message.connection);
    header.request = static_cast<std::uint32_t>(message.request);
    Bytes packet(header_bytes);
    Writer writer(packet);
    std::visit([&writer](const auto& body) { fields(writer, body); }, message.body);
    header.body_bytes = static_cast<std::uint32_t>(packet.size() - header_bytes);
    Bytes front;
    Writer front_writer(front);
    fields(front_writer, header);
    std::ranges::copy(front, packet.begin());
    return packet;
}

// Error: why it can't be this body.
template <std::size_t I, typename V>
const char* read_as(Envelope<V>& message, Reader& reader) {
    using Body = std::variant_alternative_t<I, V>;
    if (!names_request<Body>() && message.connection != ConnectionId{}) {
        return "a connection where there is none";
    }
    if (!names_request<Body>() && message.request != RequestId{}) {
        return "a request where there is none";
    }
    Body& body = message.body.template emplace<I>();
    fields(reader, body);
    if (!reader.complete()) return "malformed body";
    if constexpr (requires { body.all.size(); }) {
        if (body.all.empty() || body.all.size() > connections_per_message) {
            return "no number of connections";
        }
    }
    return nullptr;
}

template <typename V, std::size_t... I>
const char* read_body(Envelope<V>& message, std::size_t index, Reader& reader,
                      std::index_sequence<I...>) {
    const char* error = nullptr;
    ((I == index ? void(error = read_as<I>(message, reader)) : void()), ...);
    return error;
}

template <typename V>
Result<Envelope<V>> decode_from(std::span<const std::uint8_t> packet, std::uint8_t first_kind,
                                std::size_t most_values) {
    if (packet.size() > limits::packet_bytes) return fail("message too long");
    if (packet.size() < header_bytes) return fail("message too short");
    Header header;
    Reader header_reader(packet.first(header_bytes), 0);
    fields(header_reader, header);
    if (header.version != version) return fail("wrong version");
    if (header.zero != 0) return fail("reserved bytes are not zero");
    if (header.body_bytes != packet.size() - header_bytes) return fail("wrong length");
    if (header.kind < first_kind) return fail("unknown kind");
    const std::size_t index = header.kind - std::size_t{first_kind};
    if (index >= std::variant_size_v<V>) return fail("unknown kind");
    Envelope<V> message;
    message.connection = ConnectionId{header.connection};
    message.request = RequestId{header.request};
    Reader reader(packet.subspan(header_bytes), most_values);
    const char* const error =
        read_body(message, index, reader, std::make_index_sequence<std::variant_size_v<V>>{});
    if (error != nullptr) return fail(error);
    return message;
}

}  // namespace

Bytes encode(const Envelope<ToSession>& message) {
    return encode_from(message, first_to_session);
}
Bytes encode(const Envelope<ToGuard>& message) {
    return encode_from(message, first_to_guard);
}

Result<Envelope<ToSession>> decode_to_session(std::span<const std::uint8_t> packet) {
    return decode_from<ToSession>(packet, first_to_session, packet.size());
}
Result<Envelope<ToGuard>> decode_to_guard(std::span<const std::uint8_t> packet) {
    // A caller can't have sent more.
    return decode_from<ToGuard>(packet, first_to_guard, limits::json_values);
}

}  // namespace postern::channel
