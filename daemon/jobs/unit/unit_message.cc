#include "daemon/jobs/unit/unit_message.h"

#include <chrono>
#include <cstring>
#include <utility>

namespace postern::jobs {
namespace {

using policy::AddressPrefix;
using policy::BindPath;
using policy::Bytes;
using policy::Credential;
using policy::FilterList;
using policy::Label;
using policy::PortRange;

// Appends to a message and remembers the first failure.
class Writer {
  public:
    explicit Writer(sd_bus_message* message) : message_(message) {}

    [[nodiscard]] int error() const { return error_; }

    void open(char type, const char* contents) {
        note(sd_bus_message_open_container(message_, type, contents));
    }
    void close() { note(sd_bus_message_close_container(message_)); }

    void add(bool value) {
        const int number = value ? 1 : 0;
        note(sd_bus_message_append_basic(message_, 'b', &number));
    }
    void add(std::int32_t value) { note(sd_bus_message_append_basic(message_, 'i', &value)); }
    void add(std::uint32_t value) { note(sd_bus_message_append_basic(message_, 'u', &value)); }
    void add(std::uint64_t value) { note(sd_bus_message_append_basic(message_, 't', &value)); }
    void add(const std::string& text) {
        note(sd_bus_message_append_basic(message_, 's', text.c_str()));
    }
    void add(const char* text) { note(sd_bus_message_append_basic(message_, 's', text)); }
    void add_descriptor(int fd) { note(sd_bus_message_append_basic(message_, 'h', &fd)); }
    void add(const std::vector<std::string>& texts) {
        open('a', "s");
        for (const std::string& text : texts) add(text);
        close();
    }
    void add(const std::vector<std::uint8_t>& bytes) {
        note(sd_bus_message_append_array(message_, 'y', bytes.data(), bytes.size()));
    }
    void add(const Bytes& bytes) { add(bytes.bytes); }
    void add(const FilterList& list) {
        open('r', "bas");
        add(list.allow);
        add(list.words);
        close();
    }
    void add(const Label& label) {
        open('r', "bs");
        add(label.may_fail);
        add(label.text);
        close();
    }
    template <typename Second>
    void add(const std::vector<std::pair<std::string, Second>>& pairs) {
        const char* const contents = std::is_same_v<Second, std::string> ? "ss" : "st";
        open('a', std::is_same_v<Second, std::string> ? "(ss)" : "(st)");
        for (const auto& [first, second] : pairs) {
            open('r', contents);
            add(first);
            add(second);
            close();
        }
        close();
    }
    void add(const std::vector<BindPath>& paths) {
        open('a', "(ssbt)");
        for (const BindPath& path : paths) {
            open('r', "ssbt");
            add(path.source);
            add(path.destination);
            add(path.may_be_missing);
            add(path.flags);
            close();
        }
        close();
    }
    void add(const std::vector<AddressPrefix>& prefixes) {
        open('a', "(iayu)");
        for (const AddressPrefix& prefix : prefixes) {
            open('r', "iayu");
            add(static_cast<std::int32_t>(prefix.family));
            add(prefix.address);
            add(prefix.bits);
            close();
        }
        close();
    }

    void add(const std::vector<PortRange>& ranges) {
        open('a', "(iiqq)");
        for (const PortRange& range : ranges) {
            open('r', "iiqq");
            add(range.family);
            add(range.protocol);
            note(sd_bus_message_append_basic(message_, 'q', &range.ports));
            note(sd_bus_message_append_basic(message_, 'q', &range.first));
            close();
        }
        close();
    }
    void add(const std::vector<Credential>& credentials) {
        open('a', "(say)");
        for (const Credential& credential : credentials) {
            open('r', "say");
            add(credential.name);
            add(credential.content);
            close();
        }
        close();
    }

    // (sv)
    template <typename Value>
    void property(const char* name, const char* type, const Value& value) {
        open_property(name, type);
        add(value);
        close_property();
    }
    void descriptor(const char* name, int fd) {
        open_property(name, "h");
        add_descriptor(fd);
        close_property();
    }
    void open_property(const char* name, const char* type) {
        open('r', "sv");
        add(name);
        open('v', type);
    }
    void close_property() {
        close();
        close();
    }

  private:
    void note(int result) {
        if (result < 0 && error_ == 0) error_ = result;
    }
    sd_bus_message* message_;
    int error_ = 0;
};

struct TypeOf {
    const char* operator()(bool) const { return "b"; }
    const char* operator()(std::int32_t) const { return "i"; }
    const char* operator()(std::uint32_t) const { return "u"; }
    const char* operator()(std::uint64_t) const { return "t"; }
    const char* operator()(const std::string&) const { return "s"; }
    const char* operator()(const std::vector<std::string>&) const { return "as"; }
    const char* operator()(const FilterList&) const { return "(bas)"; }
    const char* operator()(const std::vector<std::pair<std::string, std::string>>&) const {
        return "a(ss)";
    }
    const char* operator()(const std::vector<std::pair<std::string, std::uint64_t>>&) const {
        return "a(st)";
    }
    const char* operator()(const std::vector<BindPath>&) const { return "a(ssbt)"; }
    const char* operator()(const std::vector<AddressPrefix>&) const { return "a(iayu)"; }
    const char* operator()(const std::vector<PortRange>&) const { return "a(iiqq)"; }
    const char* operator()(const std::vector<Credential>&) const { return "a(say)"; }
    const char* operator()(const Label&) const { return "(bs)"; }
    const char* operator()(const Bytes&) const { return "ay"; }
};

// Always with no-env-expand: ExecStart= alone would replace ${PATH} in arguments.
void add_command(Writer& writer, const std::string& program, const std::vector<std::string>& argv) {
    writer.open_property("ExecStartEx", "a(sasas)");
    writer.open('a', "(sasas)");
    writer.open('r', "sasas");
    writer.add(program);
    writer.add(argv);
    writer.add(std::vector<std::string>{"no-env-expand"});
    writer.close();
    writer.close();
    writer.close_property();
}

Result<Message> new_call(sd_bus* bus) {
    sd_bus_message* message = nullptr;
    if (const int r = sd_bus_message_new_method_call(
            bus, &message, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
            "org.freedesktop.systemd1.Manager", "StartTransientUnit");
        r < 0) {
        return fail(std::strerror(-r));
    }
    return Message(message);
}

// Name, mode and what stands around the properties.
template <typename Properties>
Result<Message> build(sd_bus* bus, const std::string& name, const Properties& add_properties) {
    Result<Message> message = new_call(bus);
    if (!message) return message;
    Writer writer(message->get());
    writer.add(name);
    writer.add("fail");
    writer.open('a', "(sv)");
    add_properties(writer);
    writer.close();
    writer.open('a', "(sa(sv))");  // no other units
    writer.close();
    if (writer.error() < 0) {
        return fail(std::string("the call that starts the unit can't be made: ") +
                    std::strerror(-writer.error()));
    }
    return message;
}

std::uint64_t count(std::chrono::microseconds span) {
    return static_cast<std::uint64_t>(span.count());
}

void add_identity(Writer& writer, const UnitSpec& spec) {
    if (!spec.user.empty()) writer.property("User", "s", spec.user);
    if (!spec.group.empty()) writer.property("Group", "s", spec.group);
    if (!spec.groups.empty()) writer.property("SupplementaryGroups", "as", spec.groups);
}

}  // namespace

Result<Message> start_message(sd_bus* bus, const UnitSpec& spec,
                              const std::vector<std::string>& unset,
                              std::string_view own_directory) {
    return build(bus, spec.name, [&](Writer& writer) {
        writer.property("Description", "s", spec.description);
        // Started once the program is executed, so that it is known that it was; active until it is
        // stopped, so that its result can be read however short it ran.
        writer.property("Type", "s", "exec");
        writer.property("RemainAfterExit", "b", true);
        // What the main process leaves behind stays until we have counted it, however that process
        // ended: otherwise systemd ends it at once where it failed (since systemd 250).
        writer.property("ExitType", "s", "cgroup");
        writer.property("CollectMode", "s", "inactive");
        // At shutdown it ends before the slice does, and that before the guard, which so can record
        // how: systemd/postern.slice.
        writer.property("Slice", "s", "postern.slice");
        writer.property("CPUAccounting", "b", true);
        writer.property("MemoryAccounting", "b", true);
        if (spec.timeout.count() != 0) writer.property("RuntimeMaxUSec", "t", count(spec.timeout));
        writer.property("TimeoutStopUSec", "t", count(spec.kill_grace));
        add_identity(writer, spec);
        // Of each unit that this one depends on systemd tells at each start.
        if (!spec.working_directory.empty() && spec.working_directory != own_directory) {
            writer.property("WorkingDirectory", "s", spec.working_directory);
        }
        writer.property("Environment", "as", spec.environment);
        writer.property("UnsetEnvironment", "as", unset);
        writer.descriptor("StandardInputFileDescriptor", spec.stdin_file);
        writer.descriptor("StandardOutputFileDescriptor", spec.stdout_file);
        writer.descriptor("StandardErrorFileDescriptor", spec.stderr_file);
        // The descriptors are what counts; but so it does not depend on the journal's socket.
        writer.property("StandardOutput", "s", "null");
        writer.property("StandardError", "s", "null");
        // As everywhere but in services: what writes into a pipe that nobody reads any more is
        // ended.
        writer.property("IgnoreSIGPIPE", "b", false);
        for (const policy::UnitProperty& property : spec.sandbox) {
            std::visit(
                [&](const auto& value) {
                    writer.property(property.name.c_str(), TypeOf{}(value), value);
                },
                property.value);
        }
        add_command(writer, spec.program, spec.argv);
    });
}

Result<Message> fence_message(sd_bus* bus, const std::string& name) {
    return build(bus, name, [&](Writer& writer) {
        writer.property("Description", "s", fence_description);
        writer.property("CollectMode", "s", "inactive-or-failed");
        writer.property("Slice", "s", "postern.slice");
        add_command(writer, "/bin/sleep", {"/bin/sleep", "10"});
    });
}

}  // namespace postern::jobs
