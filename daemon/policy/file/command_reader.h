// "exec" and "stdin" of an action's file: the program, and where the values of arguments go.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/policy/file/document.h"
#include "daemon/policy/snapshot.h"
#include "daemon/policy/template.h"

namespace postern::policy {

// PATH of jobs that declare no other.
inline constexpr std::string_view default_search_path =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// What is wrong is reported to the document.
class CommandReader {
  public:
    // All must live as long. `arguments`: the nodes of all that are declared, by name; what could
    // be read of them is in the action.
    CommandReader(Document& document, const std::map<std::string, Node, std::less<>>& arguments,
                  Action& action)
        : document_(document), arguments_(arguments), action_(action) {}

    // Into the action. Precondition: its arguments were read.
    void read();

    // Whether root could start the program, and nobody else could have changed it. `search_path`:
    // the job's PATH.
    void check_program(uid_t owner, std::string_view search_path);
    // Warns if the job's user, which is in the action, may not execute it. `user`: its name.
    void check_access(const std::string& user);

  private:
    [[nodiscard]] const ArgumentSpec* argument(std::string_view name) const;
    // A text with placeholders; which arguments may stand where is asked by the caller.
    std::optional<Template> read_template(const Node& node);
    void read_exec();
    // A command as a shell has it.
    void report_line(const Node& node);
    void read_program(const Node& node);
    void read_element(const Node& node);
    void read_stdin();
    // Whether it is used in the manner of a shell or another tool's template.
    bool report_other_placeholder(const std::string& name);
    void check_use();

    Document& document_;
    const std::map<std::string, Node, std::less<>>& arguments_;
    Action& action_;
    std::optional<Node> program_node_;
    std::vector<Node> exec_nodes_;
    std::set<std::string, std::less<>> used_;
};

}  // namespace postern::policy
