// The wire, byte for byte: conversations in tests/golden/, held with an in-process session and a
// guard that does what the conversation says. Each file is one connection.
//
//     # a comment                        (and empty lines)
//     > TEXT                             the client sends these bytes
//     >packet TEXT                       a packet of these bytes comes, numbered from 2 on
//     >eof                               the client shuts down its sending side
//     ~ WORD ...                         the guard says; see Conversation::guard_says()
//     +MILLISECONDS                      the time goes on
//     < TEXT                             the client has received these bytes, up to a terminator
//     <eof                               ... and then the end
//     ! MESSAGE ...                      the guard has heard
//
// In TEXT, \n \r \t \0 \\ and \xNN stand for their bytes. With POSTERN_RERECORD=1 in the
// environment the lines with <, <eof and ! are written anew from what the session does now.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "base/version.h"
#include "protocol/interfaces.h"
#include "tests/unit/daemon/session/harness.h"
#include "tests/unit/file_text.h"
#include "tests/unit/protocol/varlink_text.h"

namespace postern::session {
namespace {

using nlohmann::json;

std::string unescape(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            bytes += text[i];
            continue;
        }
        switch (text[++i]) {
            case 'n':
                bytes += '\n';
                break;
            case 'r':
                bytes += '\r';
                break;
            case 't':
                bytes += '\t';
                break;
            case '0':
                bytes += '\0';
                break;
            case 'x':
                bytes +=
                    static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
                i += 2;
                break;
            default:
                bytes += text[i];
        }
    }
    return bytes;
}

std::string escape(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n') {
            text += "\\n";
        } else if (c == '\0') {
            text += "\\0";
        } else if (c == '\\') {
            text += "\\\\";
        } else if (byte < 0x20 || byte > 0x7e) {
            char hex[8];
            std::snprintf(hex, sizeof hex, "\\x%02x", unsigned{byte});
            text += hex;
        } else {
            text += c;
        }
    }
    return text;
}

// So that a new version is no change of the wire.
std::string without_version(std::string text) {
    const std::string stands = std::string("\"version\":\"") + version + '"';
    const auto at = text.find(stands);
    if (at != std::string::npos) text.replace(at, stands.size(), "\"version\":\"@VERSION@\"");
    return text;
}

std::string show(const Value& value) {
    return std::visit(
        [](const auto& v) -> std::string {
            using T = std::decay_t<decltype(v)>;
            if constexpr (std::is_same_v<T, Unsupported>) {
                return "?";
            } else if constexpr (std::is_same_v<T, std::vector<Scalar>>) {
                std::string items = "[";
                for (const auto& item : v) {
                    const Value whole = std::visit([](const auto& s) { return Value(s); }, item);
                    items += (items.size() > 1 ? "," : "") + show(whole);
                }
                return items + "]";
            } else {
                return json(v).dump();
            }
        },
        value);
}

std::string show(const channel::Reply& reply) {
    constexpr const char* faults[] = {"", " (no message)", " (not available)"};
    return "reply to " + std::to_string(static_cast<std::uint64_t>(reply.id)) +
           faults[static_cast<int>(reply.fault)] + " " +
           (reply.bytes.empty() ? "nothing" : without_version(escape(reply.bytes)));
}

// The requests are numbered by the session, one by one: they are part of the record.
std::string show(const channel::Envelope<channel::ToGuard>& message) {
    const std::string number = std::to_string(static_cast<std::uint32_t>(message.request));
    return std::visit(
        [&](const auto& m) -> std::string {
            using M = std::decay_t<decltype(m)>;
            if constexpr (std::is_same_v<M, channel::Ready>) {
                return "ready";
            } else if constexpr (std::is_same_v<M, channel::Accepted>) {
                return "accepted";
            } else if constexpr (std::is_same_v<M, channel::Closed>) {
                constexpr const char* causes[] = {"closed", "closed (holds most)",
                                                  "closed (reads nothing)"};
                return causes[static_cast<int>(m.all.at(0).cause)];
            } else if constexpr (std::is_same_v<M, channel::Replies>) {
                // Those that were given together are one message; each has its line here.
                std::string lines;
                for (const channel::Reply& reply : m.all) {
                    lines += (lines.empty() ? "" : "\n! ") + show(reply);
                }
                return lines;
            } else if constexpr (std::is_same_v<M, UnitCall>) {
                return "unit #" + number;
            } else if constexpr (std::is_same_v<M, DescribeCall>) {
                return "describe #" + number + " " + json(m.action).dump();
            } else if constexpr (std::is_same_v<M, ManageCall>) {
                return "manage #" + number + " " + std::to_string(static_cast<int>(m.what)) + " " +
                       json(m.text).dump();
            } else if constexpr (std::is_same_v<M, HandOver>) {
                return "hand over #" + number + " " + escape(m.reply);
            } else if constexpr (std::is_same_v<M, AwaitOutput>) {
                return "await #" + number + " " + std::to_string(m.stdout_offset) + " " +
                       std::to_string(m.stderr_offset);
            } else if constexpr (std::is_same_v<M, OutputTaken>) {
                return "taken #" + number + " " + std::to_string(m.stdout_offset) + " " +
                       std::to_string(m.stderr_offset);
            } else if constexpr (std::is_same_v<M, FollowCall>) {
                return "follow #" + number + " " + json(m.job.text()).dump() +
                       (m.stored ? " stored" : "");
            } else if constexpr (std::is_same_v<M, LookUpCall>) {
                return "look up #" + number + " " + json(m.job.text()).dump();
            } else if constexpr (std::is_same_v<M, CancelCall>) {
                return "cancel #" + number + " " + json(m.job.text()).dump() + " " +
                       std::to_string(m.signal) + (m.now ? " now" : "");
            } else if constexpr (std::is_same_v<M, CancelAllCall>) {
                return "cancel all #" + number + " " + json(m.user).dump() + " " +
                       std::to_string(m.signal) + (m.now ? " now" : "");
            } else if constexpr (std::is_same_v<M, ListCall>) {
                std::string text = "list #" + number + " " + std::to_string(m.limit);
                if (!m.action.empty()) text += " of " + m.action;
                if (m.state) text += " in state " + std::to_string(static_cast<int>(*m.state));
                if (m.since != Time()) text += " since " + std::to_string(usec_of(m.since));
                if (m.before) {
                    text +=
                        " before " + std::to_string(usec_of(*m.before)) + " " + m.before_job.text();
                }
                return text + (m.all ? " of all" : "");
            } else {
                std::string text = std::is_same_v<M, RunCall> ? "run #" : "check #";
                text += number + " " + json(m.action).dump();
                for (const auto& [name, value] : m.arguments)
                    text += " " + name + "=" + show(value);
                if constexpr (std::is_same_v<M, RunCall>) {
                    if (!m.key.empty()) text += " key " + m.key;
                    if (m.detach) text += " detach";
                }
                return text;
            }
        },
        message.body);
}

JobResult some_result() {
    return {Outcome::exited,
            false,
            0,
            time_of(1'700'000'000'000'000),
            time_of(1'700'000'001'000'000),
            std::chrono::microseconds(2500),
            3072};
}

class Conversation {
  public:
    // The text of the conversation as it goes now.
    std::string hold(const std::string& script) {
        for (const std::string& line : lines_of(script)) {
            if (line.starts_with("<") || line.starts_with("!")) continue;
            record_ += line + "\n";
            act(line);
            harness_.settle();
            take_down();
        }
        return record_;
    }

    const std::vector<std::string>& replies() const { return replies_; }

  private:
    void act(const std::string& line) {
        if (line == ">eof") {
            client_.end_input();
        } else if (line.starts_with(">packet ")) {
            harness_.send(
                channel::Datagrams{{{channel::ConnectionId{++packet_}, 4711, "ci-runner.service",
                                     unescape(line.substr(8)), false, false}}});
        } else if (line.starts_with("> ")) {
            client_.send(unescape(line.substr(2)));
        } else if (line.starts_with("~ ")) {
            guard_says(line.substr(2));
        } else if (line.starts_with("+")) {
            harness_.advance(std::chrono::milliseconds(std::stoi(line.substr(1))));
        } else if (!line.empty() && !line.starts_with("#")) {
            ADD_FAILURE() << "what is this line? " << line;
        }
    }

    void guard_says(const std::string& words) {
        std::istringstream stream(words);
        std::string verb;
        stream >> verb >> std::ws;
        std::string rest;
        std::getline(stream, rest);
        std::istringstream arguments(rest);
        if (verb == "pass") {
            say(CheckPassed{});
        } else if (verb == "described") {
            say(Described{test::some_actions()[1]});
        } else if (verb == "refuse") {  // KIND SUBJECT MESSAGE
            int kind = 0;
            std::string subject;
            std::string message;
            arguments >> kind >> subject >> std::ws;
            std::getline(arguments, message);
            say(Refused{static_cast<Refusal>(kind), subject == "-" ? "" : subject, message});
        } else if (verb == "detach") {
            say(Detached{job_});
        } else if (verb == "start") {
            const UniqueFd out = out_.reader();
            const UniqueFd err = err_.reader();
            // "direct": both ways; "elsewhere": to whoever started it.
            JobStarted started{job_};
            started.stdout_not_kept = !rest.empty();
            started.hands_output = started.hands_input = rest == "direct";
            say(started, {out.get(), err.get()});
        } else if (verb == "stored") {
            say(JobStored{});
        } else if (verb == "handed") {
            say(HandedOver{});
        } else if (verb == "stdout") {  // the job writes
            out_.append(unescape(rest));
        } else if (verb == "stderr") {
            err_.append(unescape(rest));
        } else if (verb == "fill") {  // stdout, with so many bytes
            out_.append(std::string(std::stoul(rest), 'x'));
        } else if (verb == "punch") {
            out_.punch(0, std::stoul(rest));
        } else if (verb == "output") {
            say(JobOutput{});
        } else if (verb == "found") {  // STATE MESSAGE
            int state = 0;
            JobView view{job_,         "hello", JobState::starting, time_of(1'700'000'000'000'000),
                         std::nullopt, ""};
            arguments >> state >> std::ws;
            std::getline(arguments, view.message);
            view.state = static_cast<JobState>(state);
            if (view.state == JobState::ended) view.result = some_result();
            say(JobFound{view});
        } else if (verb == "listed") {  // [more]
            JobView view{job_,         "hello", JobState::running, time_of(1'700'000'000'000'000),
                         std::nullopt, ""};
            view.uid = 1000;
            view.pid = 4711;
            JobView ended = view;
            ended.state = JobState::ended;
            ended.result = some_result();
            JobsListed listed{{view, ended}, std::nullopt, {}};
            if (!rest.empty()) {
                listed.next = view.created;
                listed.next_job = job_;
            }
            say(std::move(listed));
        } else if (verb == "shown") {
            JobView view{job_,         "hello", JobState::running, time_of(1'700'000'000'000'000),
                         std::nullopt, ""};
            view.uid = 1000;
            view.pid = 4711;
            JobDetails details;
            details.user = "alice";
            details.gid = 1000;
            details.unit = "ci-runner.service";
            details.listener = "/run/postern/postern.sock";
            details.arguments = {{"password", "(secret)"}, {"service", "nginx"}};
            details.rule = "allow user alice";
            details.sizes = {StreamSizes{70'000, 65'536}, StreamSizes{0, 0}};
            view.details = details;
            say(JobFound{view});
        } else if (verb == "end") {  // OUTCOME BY_SIGNAL STATUS [ENDED_PROCESSES]
            int outcome = 0;
            int by_signal = 0;
            JobResult result = some_result();
            arguments >> outcome >> by_signal >> result.status >> result.ended_processes;
            result.outcome = static_cast<Outcome>(outcome);
            result.by_signal = by_signal != 0;
            say(JobEnded{result});
        } else if (verb == "cancelled") {  // [OUTCOME BY_SIGNAL STATUS UID [USER]]
            JobCancelled cancelled{job_, "hello", std::nullopt};
            int outcome = 0;
            int by_signal = 0;
            JobResult result = some_result();
            Canceller who;
            if (arguments >> outcome >> by_signal >> result.status >> who.uid) {
                arguments >> who.user;
                result.outcome = static_cast<Outcome>(outcome);
                result.by_signal = by_signal != 0;
                result.cancelled_by = who;
                cancelled.result = result;
            }
            say(cancelled);
        } else {
            ADD_FAILURE() << "the guard does not know how to say " << words;
        }
    }

    // To the call that came last.
    void say(channel::ToSession answer, std::vector<int> descriptors = {}) {
        harness_.send({asked_, request_, std::move(answer)}, std::move(descriptors));
    }

    void take_down(const std::string& bytes) {
        if (bytes.empty()) return;
        const bool ends = bytes.back() == '\n' || bytes.back() == '\0';
        replies_.push_back(bytes.substr(0, bytes.size() - (ends ? 1 : 0)));
    }

    void take_down() {
        while (const auto message = harness_.heard()) {
            // Between guard and session alone: it has its own tests.
            if (std::holds_alternative<OutputTaken>(message->body)) continue;
            record_ += "! " + show(*message) + "\n";
            if (message->request != channel::RequestId{}) {
                request_ = message->request;
                asked_ = message->connection;
            }
            if (const auto* replies = std::get_if<channel::Replies>(&message->body)) {
                for (const channel::Reply& reply : replies->all) take_down(reply.bytes);
            }
        }
        std::string bytes = client_.receive();
        for (std::size_t begin = 0; begin < bytes.size();) {
            const std::size_t end =
                std::min(bytes.find_first_of(std::string_view("\n\0", 2), begin), bytes.size() - 1);
            const std::string reply = bytes.substr(begin, end - begin + 1);
            record_ += "< " + without_version(escape(reply)) + "\n";
            replies_.push_back(reply.substr(0, reply.size() - 1));
            begin = end + 1;
        }
        if (client_.ended() && !said_end_) {
            said_end_ = true;
            record_ += "<eof\n";
        }
    }

    test::SessionHarness harness_{test::some_actions()};
    test::Client client_ = harness_.connect(1, 4711, "ci-runner.service");
    test::TestFile out_;
    test::TestFile err_;
    std::uint64_t packet_ = 1;
    channel::ConnectionId asked_{1};  // who asked last, and by which number
    channel::RequestId request_{};
    const JobId job_{"00112233445566778899aabbccddeeff"};
    bool said_end_ = false;
    std::string record_;
    std::vector<std::string> replies_;
};

class Golden : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Golden, IsWhatTheSessionSays) {
    const std::string expected = read_path(GetParam());
    ASSERT_FALSE(expected.empty());
    Conversation conversation;
    const std::string now = conversation.hold(expected);
    const char* rerecord = std::getenv("POSTERN_RERECORD");
    if (rerecord != nullptr && std::string_view(rerecord) == "1") {
        std::ofstream(GetParam()) << now;
        return;
    }
    EXPECT_EQ(now, expected) << "if that is right, record it anew with POSTERN_RERECORD=1";
}

// Clients drop the connection at any other key, and python3-varlink drops fields that are not in
// the text: so whatever is recorded here is held against it, errors too.
TEST_P(Golden, HasOnlyWhatTheInterfaceTextsHave) {
    Conversation conversation;
    conversation.hold(read_path(GetParam()));
    for (const auto& reply : conversation.replies()) {
        const json message = json::parse(reply);
        for (const auto& [key, value] : message.items()) {
            EXPECT_TRUE(key == "parameters" || key == "continues" || key == "error") << reply;
        }
        if (!message.contains("error")) continue;
        const auto error = message["error"].get<std::string>();
        const auto dot = error.rfind('.');
        const auto* interface = protocol::find_interface(error.substr(0, dot));
        ASSERT_NE(interface, nullptr) << reply;
        const auto text = test::parse_varlink(interface->text);
        EXPECT_EQ(text->misfit(message["parameters"], text->errors.at(error.substr(dot + 1))), "")
            << reply;
    }
}

// What version 0.1.0 said. It is never recorded anew: its clients are still there.
class GoldenBefore : public Golden {};

// Then a job could cut back its output: a stream is a pipe now, and nothing that was written to it
// is taken back. What was said about that is left out, and calls have other numbers then.
std::string without_cut_back(const std::string& conversation) {
    std::string left;
    for (std::size_t begin = 0; begin < conversation.size();) {
        const std::size_t end =
            std::min(conversation.find("\n\n", begin), conversation.size() - 2) + 2;
        const std::string part = conversation.substr(begin, end - begin);
        if (part.find("\n~ truncate\n") == std::string::npos) left += part;
        begin = end;
    }
    return left;
}
// Two things were said otherwise: that callers' sockets have the administrator's interface, all of
// whose methods they refuse; and to send large integers as strings, which no integer argument may
// be. Others are the same in other words.
std::string as_it_is_said_now(std::string conversation) {
    const std::array<std::pair<std::string_view, std::string_view>, 8> changes = {
        {{R"("org.postern.Actions","org.postern.Admin",)", R"("org.postern.Actions",)"},
         {"send numbers of that size as strings",
          "give one from -9007199254740992 to 9007199254740992"},
         {"the packet is empty: one packet is one message",
          "the datagram is empty: one datagram is one message"},
         {"excludes more, since a", "excludes more, because a"},
         {"method: is missing", "method: is required"},
         {"A parameter is missing, unknown, or not what it must be.",
          "A parameter is unknown, not valid, or required and not given."},
         {"\" stands twice", "\" appears twice"},
         {"something stands after the end of the value",
          "more text follows the end of the value"}}};
    for (const auto& [before, now] : changes) {
        for (auto at = conversation.find(before); at != std::string::npos;
             at = conversation.find(before, at + now.size())) {
            conversation.replace(at, before.size(), now);
        }
    }
    return conversation;
}
std::string without_numbers(const std::string& conversation) {
    return std::regex_replace(conversation, std::regex("\n! ([a-z ]+) #[0-9]+"), "\n! $1");
}

TEST_P(GoldenBefore, IsStillWhatTheSessionSays) {
    const std::string expected = as_it_is_said_now(without_cut_back(read_path(GetParam())));
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(without_numbers(Conversation().hold(expected)), without_numbers(expected));
}

std::vector<std::filesystem::path> golden_files(const char* directory) {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
        if (entry.path().extension() == ".txt") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

std::string name_of(const testing::TestParamInfo<std::filesystem::path>& file) {
    return file.param.stem().string();
}

INSTANTIATE_TEST_SUITE_P(Files, Golden, testing::ValuesIn(golden_files(POSTERN_GOLDEN)), name_of);
INSTANTIATE_TEST_SUITE_P(Files, GoldenBefore,
                         testing::ValuesIn(golden_files(POSTERN_GOLDEN_BEFORE)), name_of);

}  // namespace
}  // namespace postern::session
