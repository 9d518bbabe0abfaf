#include "daemon/guard/config/configuration_text.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/utf8.h"

namespace postern {
namespace {

std::string in_one_line(const std::vector<std::string>& texts) {
    std::string line;
    for (const std::string& text : texts) {
        if (!line.empty()) line += ", ";
        line += printable(text);
    }
    return line;
}

std::vector<ShownSetting> changed_settings(const Configuration& configuration,
                                           const Configuration& defaults) {
    const std::vector<ShownSetting> before = show_settings(defaults);
    std::vector<ShownSetting> changed;
    std::size_t index = 0;
    for (ShownSetting& setting : show_settings(configuration)) {
        if (setting.values != before.at(index++).values) changed.push_back(std::move(setting));
    }
    return changed;
}

std::string origin_of(const Configuration& configuration, const std::string& key) {
    const auto origin = configuration.origins.find(key);
    return origin == configuration.origins.end() ? "" : origin->second;
}

}  // namespace

std::string configuration_text(const Configuration& configuration, const Configuration& defaults) {
    std::string text = "configuration: ";
    text += configuration.files.empty() ? "no file" : in_one_line(configuration.files);
    text += '\n';
    const std::vector<ShownSetting> changed = changed_settings(configuration, defaults);
    for (const ShownSetting& setting : changed) {
        text += "  " + setting.key + ": " + in_one_line(setting.values);
        text += " (" + origin_of(configuration, setting.key) + ")\n";
    }
    return text + (changed.empty() ? "  all settings have their defaults\n"
                                   : "  all other settings have their defaults\n");
}

nlohmann::ordered_json configuration_json(const Configuration& configuration,
                                          const Configuration& defaults) {
    using Json = nlohmann::ordered_json;
    Json files = Json::array();
    for (const std::string& file : configuration.files) files.push_back(printable(file));
    Json values = Json::array();
    for (const ShownSetting& setting : changed_settings(configuration, defaults)) {
        Json value = setting.values;
        if (!setting.list && !setting.values.empty()) value = setting.values.front();
        values.push_back({{"key", setting.key},
                          {"value", std::move(value)},
                          {"from", origin_of(configuration, setting.key)}});
    }
    return {{"files", std::move(files)}, {"values", std::move(values)}};
}

}  // namespace postern
