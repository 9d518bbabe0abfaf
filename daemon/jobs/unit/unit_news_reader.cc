#include "daemon/jobs/unit/unit_news_reader.h"

#include <array>
#include <string_view>

namespace postern::jobs {
namespace {

using Reader = void (*)(sd_bus_message* message, UnitNews& news);

// Nothing where it has another type; the variant is left either way.
template <typename Value>
std::optional<Value> value_in(sd_bus_message* message, char type) {
    const std::array<char, 2> contents = {type, '\0'};
    Value value{};
    if (sd_bus_message_read(message, "v", contents.data(), &value) < 0) return std::nullopt;
    return value;
}

void read_word(sd_bus_message* message, std::optional<std::string>& target) {
    const auto word = value_in<const char*>(message, 's');
    if (word && *word != nullptr) target = *word;
}

void read_span(sd_bus_message* message, std::optional<std::chrono::microseconds>& target) {
    // One that is not known is the highest of all.
    const auto usec = value_in<std::uint64_t>(message, 't');
    if (usec && *usec != UINT64_MAX) target = time_of(*usec).time_since_epoch();
}

struct Property {
    std::string_view name;
    Reader read;
};
constexpr std::array<Property, 5> unit_properties = {{
    {"ActiveState", [](sd_bus_message* m, UnitNews& news) { read_word(m, news.active); }},
    {"SubState", [](sd_bus_message* m, UnitNews& news) { read_word(m, news.sub); }},
    {"ActiveEnterTimestampMonotonic",
     [](sd_bus_message* m, UnitNews& news) { read_span(m, news.active_since); }},
    {"StateChangeTimestampMonotonic",
     [](sd_bus_message* m, UnitNews& news) { read_span(m, news.changed_at); }},
    {"Job",
     [](sd_bus_message* m, UnitNews& news) {
         std::uint32_t id = 0;
         const char* path = nullptr;
         if (sd_bus_message_read(m, "v", "(uo)", &id, &path) >= 0) news.has_job = id != 0;
     }},
}};
constexpr std::array<Property, 6> service_properties = {{
    {"Result", [](sd_bus_message* m, UnitNews& news) { read_word(m, news.result); }},
    {"MainPID",
     [](sd_bus_message* m, UnitNews& news) {
         if (const auto pid = value_in<std::uint32_t>(m, 'u')) {
             news.main_pid = static_cast<pid_t>(*pid);
         }
     }},
    {"ExecMainCode",
     [](sd_bus_message* m, UnitNews& news) { news.main_code = value_in<std::int32_t>(m, 'i'); }},
    {"ExecMainStatus",
     [](sd_bus_message* m, UnitNews& news) { news.main_status = value_in<std::int32_t>(m, 'i'); }},
    {"ExecMainStartTimestamp",
     [](sd_bus_message* m, UnitNews& news) {
         std::optional<std::chrono::microseconds> since_epoch;
         read_span(m, since_epoch);
         if (since_epoch) news.main_started = Time(*since_epoch);
     }},
    {"ExecMainHandoffTimestampMonotonic",
     [](sd_bus_message* m, UnitNews& news) { read_span(m, news.executed); }},
}};

template <std::size_t count>
void read_some(sd_bus_message* message, const std::array<Property, count>& wanted, UnitNews& news) {
    if (sd_bus_message_enter_container(message, 'a', "{sv}") < 0) return;
    while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
        const char* name = nullptr;
        if (sd_bus_message_read(message, "s", &name) < 0) return;
        Reader read = nullptr;
        for (const Property& property : wanted) {
            if (property.name == name) read = property.read;
        }
        if (read != nullptr) read(message, news);
        // Where it was not read, for whatever reason, it is still there.
        if (sd_bus_message_at_end(message, 0) == 0 && sd_bus_message_skip(message, "v") < 0) return;
        if (sd_bus_message_exit_container(message) < 0) return;
    }
}

}  // namespace

UnitNews read_news(sd_bus_message* message) {
    UnitNews news;
    const char* interface = nullptr;
    if (sd_bus_message_read(message, "s", &interface) < 0) return news;
    if (std::string_view(interface) == "org.freedesktop.systemd1.Unit") {
        read_some(message, unit_properties, news);
    } else if (std::string_view(interface) == "org.freedesktop.systemd1.Service") {
        read_some(message, service_properties, news);
    }
    return news;
}

}  // namespace postern::jobs
