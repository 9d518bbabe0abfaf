#include "daemon/guard/config/unit_warnings.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>

#include "base/utf8.h"

namespace postern {
namespace {

// StateDirectory=, LogsDirectory= and RuntimeDirectory= of systemd/posternd.service: all else is
// read-only for the daemon (ProtectSystem=strict).
constexpr std::array<std::string_view, 3> unit_writes_to = {"/var/lib/postern", "/var/log/postern",
                                                            "/run/posternd"};

bool is_below(const std::filesystem::path& path, std::string_view directory) {
    const std::string text = path.string();
    return text == directory || text.starts_with(std::string(directory) + '/');
}

class UnitWarnings {
  public:
    explicit UnitWarnings(const Configuration& configuration) : configuration_(configuration) {}

    std::vector<std::string> all() {
        const Configuration& values = configuration_;
        for (const std::string& path : values.sockets) add_read_only("sockets", path);
        for (const std::string& path : values.datagrams) add_read_only("datagramSockets", path);
        if (values.admin_socket) add_read_only("adminSocket", *values.admin_socket);
        add_read_only("state", values.state);
        if (values.audit) add_read_only("audit", *values.audit);
        if (values.sockets.empty() && values.datagrams.empty()) {
            if (values.socket_mode != Configuration().socket_mode) {
                add_no_effect("socketMode", "SocketMode=");
            }
            if (values.socket_group) add_no_effect("socketGroup", "SocketGroup=");
        }
        return std::move(warnings_);
    }

  private:
    // FILE:LINE; absent: no file has set it.
    [[nodiscard]] std::optional<std::string> set_at(const std::string& key) const {
        const auto origin = configuration_.origins.find(key);
        if (origin == configuration_.origins.end() || origin->second.starts_with("--")) {
            return std::nullopt;
        }
        return origin->second;
    }

    void add_read_only(const std::string& key, const std::string& path) {
        const auto place = set_at(key);
        const auto normal = std::filesystem::path(path).lexically_normal();
        const auto holds = [&normal](std::string_view directory) {
            return is_below(normal, directory);
        };
        if (!place || std::ranges::any_of(unit_writes_to, holds)) return;
        const std::string directory =
            printable((key == "state" ? normal : normal.parent_path()).string());
        std::string advice;
        if (key == "audit") advice = "give a path in /var/log/postern";
        if (key == "state") advice = "leave it out";
        if (advice.empty()) advice = "remove it, because systemd passes the sockets";
        warnings_.push_back(
            *place + ": " + key + ": posternd.service does not let the daemon write to " +
            directory + " (ProtectSystem=strict); " + advice +
            ", or add ReadWritePaths=" + directory + " (systemctl edit posternd.service)");
    }

    void add_no_effect(const std::string& key, const std::string& of_unit) {
        const auto place = set_at(key);
        if (!place) return;
        warnings_.push_back(*place + ": " + key +
                            ": has no effect on the sockets that systemd passes; set " + of_unit +
                            " instead (systemctl edit posternd.socket)");
    }

    const Configuration& configuration_;
    std::vector<std::string> warnings_;
};

}  // namespace

std::vector<std::string> unit_warnings(const Configuration& configuration) {
    return UnitWarnings(configuration).all();
}

}  // namespace postern
