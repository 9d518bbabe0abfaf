// What files of the configuration set in vain, or so that the packaged units keep the daemon from
// it.
#include "daemon/guard/config/unit_warnings.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace postern {
namespace {

using Lines = std::vector<std::string>;

constexpr const char* unit_place = "/etc/postern/posternd.json:3";

// The same place for all keys.
Configuration set_by_file() {
    Configuration configuration;
    configuration.state = "/var/lib/postern";
    for (const char* const key : {"sockets", "datagramSockets", "adminSocket", "socketMode",
                                  "socketGroup", "state", "audit"}) {
        configuration.origins[key] = unit_place;
    }
    return configuration;
}

std::string read_only(const std::string& key, const std::string& directory,
                      const std::string& advice) {
    return std::string(unit_place) + ": " + key +
           ": posternd.service does not let the daemon write to " + directory +
           " (ProtectSystem=strict); " + advice + ", or add ReadWritePaths=" + directory +
           " (systemctl edit posternd.service)";
}

TEST(UnitWarnings, OfWhatIsReadOnlyForTheDaemon) {
    Configuration configuration = set_by_file();
    configuration.audit = "/var/log/audit-postern.log";
    configuration.state = "/srv/postern/";
    configuration.sockets = {"/run/mine/s"};
    EXPECT_EQ(
        unit_warnings(configuration),
        (Lines{read_only("sockets", "/run/mine", "remove it, because systemd passes the sockets"),
               read_only("state", "/srv/postern/", "leave it out"),
               read_only("audit", "/var/log", "give a path in /var/log/postern")}));
    configuration.audit = "/var/log/postern/../x/audit.log";
    configuration.state = "/var/lib/postern";
    configuration.sockets = {};
    EXPECT_EQ(unit_warnings(configuration),
              Lines{read_only("audit", "/var/log/x", "give a path in /var/log/postern")});
    configuration.audit = "/var/log/postern/audit.log";
    EXPECT_EQ(unit_warnings(configuration), Lines{});
    configuration.audit = "/var/log/posternd/audit.log";
    EXPECT_EQ(unit_warnings(configuration),
              Lines{read_only("audit", "/var/log/posternd", "give a path in /var/log/postern")});
    configuration.origins["audit"] = "--audit";
    EXPECT_EQ(unit_warnings(configuration), Lines{}) << "the unit has no such option";
}

TEST(UnitWarnings, OfWhatHasNoEffectOnSocketsThatArePassed) {
    Configuration configuration = set_by_file();
    EXPECT_EQ(unit_warnings(configuration), Lines{}) << "the default";
    configuration.socket_mode = 0666;
    configuration.socket_group = "adm";
    const std::string about = ": has no effect on the sockets that systemd passes; set ";
    const std::string how = " instead (systemctl edit posternd.socket)";
    EXPECT_EQ(unit_warnings(configuration),
              (Lines{std::string(unit_place) + ": socketMode" + about + "SocketMode=" + how,
                     std::string(unit_place) + ": socketGroup" + about + "SocketGroup=" + how}));
    configuration.sockets = {"/run/posternd/s"};
    EXPECT_EQ(unit_warnings(configuration), Lines{}) << "one is bound";
}

}  // namespace
}  // namespace postern
