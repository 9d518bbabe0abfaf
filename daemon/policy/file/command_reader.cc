#include "daemon/policy/file/command_reader.h"

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/utf8.h"
#include "daemon/policy/file/command_line.h"
#include "host/program_access.h"
#include "host/safe_program.h"

namespace postern::policy {

void CommandReader::read() {
    read_exec();
    read_stdin();
    check_use();
}

const ArgumentSpec* CommandReader::argument(std::string_view name) const {
    const auto& specs = action_.description.arguments;
    const auto found =
        std::ranges::find_if(specs, [&](const ArgumentSpec& spec) { return spec.name == name; });
    return found == specs.end() ? nullptr : &*found;
}

// A text with placeholders; which arguments may stand where is asked by the caller.
std::optional<Template> CommandReader::read_template(const Node& node) {
    const auto text = document_.text(node);
    if (!text) return std::nullopt;
    Result<Template> pieces = parse_template(*text);
    if (!pieces) {
        document_.report(node, pieces.error().message);
        return std::nullopt;
    }
    for (const Piece& piece : *pieces) {
        if (!piece.placeholder) continue;
        used_.insert(piece.text);
        if (!arguments_.contains(piece.text)) {
            document_.report(node, "there is no argument " + in_quotes(piece.text) +
                                       "; declare it in \"arguments\" or correct the name");
        }
    }
    return std::move(pieces).value();
}

void CommandReader::read_exec() {
    const auto node = document_.required_member(document_.root(), "exec",
                                                R"("exec": ["/path/to/program", "argument"])");
    if (!node) return;
    if (node->value->is_string()) return report_line(*node);
    if (node->value->is_object()) {
        document_.report(*node,
                         "must be a list of words, not an object; write "
                         R"(["/path/to/program", "argument"])");
        return;
    }
    const auto elements = document_.elements(*node);
    if (!elements) return;
    if (elements->empty()) {
        document_.report(*node, "is empty; name the program as the first element");
        return;
    }
    exec_nodes_ = *elements;
    read_program(elements->front());
    for (std::size_t i = 1; i < elements->size(); ++i) read_element(elements->at(i));
}

// A command as a shell has it.
void CommandReader::report_line(const Node& node) {
    const auto words = command_words(node.value->get<std::string>(), default_search_path);
    document_.report(
        node, "must be a list of words, not a string; " +
                  (words ? "write [" + *words + ']'
                         : std::string("no shell interprets it, so put it into a script and write "
                                       "[\"/path/to/script\"]")));
}

void CommandReader::read_program(const Node& node) {
    const auto pieces = read_template(node);
    if (!pieces) return;
    if (pieces->size() != 1 || pieces->front().placeholder) {
        document_.report(node, pieces->empty() ? "is empty; write the program's absolute path"
                                               : "the program can't depend on an "
                                                 "argument; write its absolute path");
        return;
    }
    action_.program = pieces->front().text;
    if (!action_.program.starts_with('/')) {
        const auto words = command_words(action_.program, default_search_path);
        const bool found = words && words->starts_with("\"/");
        document_.report(node, in_quotes(action_.program) + " is not absolute; write " +
                                   (found ? *words : std::string("the program's absolute path")));
        return;
    }
    program_node_ = node;
}

void CommandReader::check_program(uid_t owner, std::string_view search_path) {
    if (!program_node_) return;
    const auto opened = open_safe_program(action_.program, owner, search_path);
    if (opened) {
        const std::string problem = format_problem(*opened, action_.program);
        if (!problem.empty()) document_.warn(*program_node_, problem);
        return;
    }
    // "/usr/bin/systemctl restart nginx"
    const std::string first = action_.program.substr(0, action_.program.find(' '));
    const auto words = command_words(action_.program, default_search_path);
    if (first.size() < action_.program.size() && words && find_program(first, {})) {
        document_.report(*program_node_, "there is a program " + first +
                                             ", but each word must be a separate element; write " +
                                             *words);
        return;
    }
    // Once it is there and right, the file is good without a change.
    document_.report_unknown(*program_node_, opened.error().message);
}

void CommandReader::check_access(const std::string& user) {
    if (!program_node_) return;
    const std::string problem =
        program_access_problem(action_.program, action_.uid, action_.groups);
    if (problem.empty()) return;
    document_.warn(*program_node_, "the user " + in_quotes(user) + ", whom the job runs as, " +
                                       problem + "; give it the permission, or name another user");
}

void CommandReader::read_element(const Node& node) {
    auto pieces = read_template(node);
    if (!pieces) return;
    for (std::size_t i = 1; i < pieces->size(); ++i) {
        if (!pieces->at(i).placeholder || !pieces->at(i - 1).text.ends_with('$')) continue;
        document_.warn(node, "the \"$\" before {" + pieces->at(i).text +
                                 "} is passed to the program as well; "
                                 "remove it if you meant shell syntax");
    }
    for (const Piece& piece : *pieces) {
        const ArgumentSpec* const spec = piece.placeholder ? argument(piece.text) : nullptr;
        if (spec == nullptr) continue;
        if (spec->type == ArgumentType::list && pieces->size() > 1) {
            document_.report(
                node, "a list must be an element by itself; write \"{" + piece.text + "}\" alone");
        }
        if (spec->multiline) {
            document_.report(node, "the argument " + in_quotes(piece.text) +
                                       " is multiline and can't be used "
                                       "on a command line; use it in \"stdin\"");
        }
        if (spec->secret) {
            document_.report(node, "the argument " + in_quotes(piece.text) +
                                       " is secret, and "
                                       "everyone can read a command line; pass it in \"stdin\"");
        }
    }
    action_.command.push_back(*std::move(pieces));
}

void CommandReader::read_stdin() {
    const auto node = document_.member(document_.root(), "stdin");
    if (!node) return;
    auto pieces = read_template(*node);
    if (!pieces) return;
    for (const Piece& piece : *pieces) {
        const ArgumentSpec* const spec = piece.placeholder ? argument(piece.text) : nullptr;
        if (spec != nullptr && spec->type == ArgumentType::list) {
            document_.report(*node, "a list can only fill elements of \"exec\"; use " +
                                        in_quotes(piece.text) + " there");
        }
    }
    action_.stdin_text = std::move(pieces);
}

// Whether it is used in the manner of a shell or another tool's template.
bool CommandReader::report_other_placeholder(const std::string& name) {
    std::vector<Node> texts = exec_nodes_;
    if (const auto node = document_.member(document_.root(), "stdin")) texts.push_back(*node);
    for (const Node& node : texts) {
        if (!node.value->is_string()) continue;
        const auto& text = node.value->get_ref<const std::string&>();
        for (const std::string& other : {"{{ " + name + " }}", "{{" + name + "}}", '%' + name + '%',
                                         '<' + name + '>', '$' + name}) {
            if (text.find(other) == std::string::npos) continue;
            document_.report(node,
                             in_quotes(other) + " is not a placeholder here; write {" + name + '}');
            return true;
        }
    }
    return false;
}

void CommandReader::check_use() {
    for (const auto& [name, node] : arguments_) {
        if (used_.contains(name) || report_other_placeholder(name)) continue;
        document_.report_key(node, "is not used; write {" + printable(name) +
                                       R"(} in "exec" or "stdin", or remove it)");
    }
}

}  // namespace postern::policy
