// Bare transient units: what `posternctl run` as a unit is measured against.
//
//     bench_unit_start SOCKET AT_ONCE COUNT
//
// SOCKET is the private one of a systemd, e.g. /run/systemd/private; needs root. Each unit is
// StartTransientUnit of /bin/true with Type=exec and nothing else; it lasts until systemd has said
// that the process ended. Prints one JSON object; times in microseconds.
#include <systemd/sd-bus.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view unit_path = "/org/freedesktop/systemd1/unit/postern_2dbench_2d";

struct Units {
    sd_bus* bus = nullptr;
    std::vector<Clock::time_point> began;  // by number
    std::vector<double> times;
    std::size_t count = 0;
};

int check(int result, const char* what) {
    if (result >= 0) return result;
    std::fprintf(stderr, "%s: %s\n", what, std::strerror(-result));
    std::exit(1);
}

int started(sd_bus_message* reply, void* /*units*/, sd_bus_error* /*error*/) {
    const sd_bus_error* error = sd_bus_message_get_error(reply);
    if (error == nullptr) return 0;
    std::fprintf(stderr, "StartTransientUnit: %s\n", error->message);
    std::exit(1);
}

void start(Units& units) {
    if (units.began.size() == units.count) return;
    const std::string name = "postern-bench-" + std::to_string(units.began.size()) + ".service";
    units.began.push_back(Clock::now());
    check(sd_bus_call_method_async(units.bus, nullptr, "org.freedesktop.systemd1",
                                   "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                   "StartTransientUnit", started, &units, "ssa(sv)a(sa(sv))",
                                   name.c_str(), "fail", 2, "Type", "s", "exec", "ExecStart",
                                   "a(sasb)", 1, "/bin/true", 1, "/bin/true", 0, 0),
          "StartTransientUnit");
}

// Whether this PropertiesChanged says that the main process has ended.
bool says_ended(sd_bus_message* message) {
    const char* interface = nullptr;
    if (sd_bus_message_read(message, "s", &interface) < 0 ||
        std::string_view(interface) != "org.freedesktop.systemd1.Service" ||
        sd_bus_message_enter_container(message, 'a', "{sv}") < 0) {
        return false;
    }
    while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
        const char* name = nullptr;
        check(sd_bus_message_read(message, "s", &name), "PropertiesChanged");
        if (std::string_view(name) == "ExecMainCode") {
            int code = 0;
            return sd_bus_message_read(message, "v", "i", &code) >= 0 && code != 0;
        }
        check(sd_bus_message_skip(message, "v"), "PropertiesChanged");
        check(sd_bus_message_exit_container(message), "PropertiesChanged");
    }
    return false;
}

int seen(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& units = *static_cast<Units*>(userdata);
    if (sd_bus_message_is_signal(message, "org.freedesktop.DBus.Properties", "PropertiesChanged") <=
        0)
        return 0;
    const std::string_view path = sd_bus_message_get_path(message);
    if (!path.starts_with(unit_path)) return 0;
    const auto number = static_cast<std::size_t>(std::atol(path.data() + unit_path.size()));
    if (number >= units.began.size() || units.began[number] == Clock::time_point()) return 0;
    if (!says_ended(message)) return 0;
    const std::chrono::duration<double, std::micro> took = Clock::now() - units.began[number];
    units.began[number] = {};
    units.times.push_back(took.count());
    start(units);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) return std::fputs("usage: bench_unit_start SOCKET AT_ONCE COUNT\n", stderr), 2;
    Units units;
    units.count = std::stoul(argv[3]);
    check(sd_bus_new(&units.bus), "sd_bus_new");
    check(sd_bus_set_address(units.bus, ("unix:path=" + std::string(argv[1])).c_str()), "address");
    check(sd_bus_start(units.bus), argv[1]);
    check(sd_bus_add_filter(units.bus, nullptr, seen, &units), "sd_bus_add_filter");
    const auto began = Clock::now();
    for (std::size_t i = std::stoul(argv[2]); i > 0; --i) start(units);
    while (units.times.size() < units.count) {
        if (check(sd_bus_process(units.bus, nullptr), "sd_bus_process") == 0 &&
            check(sd_bus_wait(units.bus, 60'000'000), "sd_bus_wait") == 0) {
            return std::fputs("systemd does not say that a unit has ended\n", stderr), 1;
        }
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    std::sort(units.times.begin(), units.times.end());
    std::printf("{\"per_second\": %.2f, \"p50\": %.1f}\n",
                static_cast<double>(units.count) / took.count(), units.times[units.count / 2]);
    return 0;
}
