// Held against the JSON library: what it writes for the same values, and reads of the same text.
#include "protocol/output_reply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "base/utf8.h"
#include "protocol/base64.h"
#include "protocol/call.h"
#include "protocol/reply.h"

namespace postern::protocol {
namespace {

using nlohmann::json;

constexpr auto job = "0123456789abcdef0123456789abcdef";
constexpr std::array<const char*, 2> names = {"stdout", "stderr"};

using Output = std::array<std::string, 2>;

std::string fast(const Output& output, std::array<std::uint64_t, 2> missed, char terminator) {
    std::string text = "before";
    append_output_reply(text, job, {{{missed[0], output[0]}, {missed[1], output[1]}}}, terminator);
    EXPECT_TRUE(text.starts_with("before"));
    return text.substr(6);
}

std::string by_json(const Output& output, std::array<std::uint64_t, 2> missed, char terminator) {
    json parameters = {{"job", job}};
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::string name = names.at(i);
        if (missed.at(i) > 0) parameters[name + "Missed"] = missed.at(i);
        if (output.at(i).empty()) continue;
        if (travels_as_text(output.at(i))) {
            parameters[name] = output.at(i);
        } else {
            parameters[name + "Base64"] = encode_base64(output.at(i));
        }
    }
    return encode_reply(parameters, true, terminator);
}

// What decode_reply() understands; nothing: no reply, or one without output.
std::optional<Output> slowly(std::string_view message) {
    const auto reply = decode_reply(message);
    if (!reply || !reply->continues || reply->parameters.value("job", "") != job) return {};
    Output output;
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::string name = names.at(i);
        output.at(i) = reply->parameters.value(name, "");
        if (!reply->parameters.contains(name + "Base64")) continue;
        const auto bytes = decode_base64(reply->parameters.value(name + "Base64", ""));
        if (!bytes) return {};
        output.at(i) = *bytes;
    }
    return output;
}

// Texts and bytes of every kind, of lengths around those of words.
class Writer {
  public:
    std::string write() {
        std::string text;
        const std::size_t pieces = below(5);
        for (std::size_t i = 0; i < pieces; ++i) text += piece();
        return text;
    }
    std::size_t below(std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
    }

  private:
    std::string piece() {
        std::string text(below(40), ' ');
        switch (below(6)) {
            case 0:
                for (char& c : text) c = static_cast<char>('a' + below(26));
                return text;
            case 1:
                for (char& c : text) c = static_cast<char>(below(256));
                return text;
            case 2:
                for (char& c : text) c = static_cast<char>(below(0x20));
                return text;
            case 3:
                for (char& c : text) c = "\"\\\n\t\x7f/"[below(6)];
                return text;
            case 4:
                return "\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xaa\xe2\x80\xa8";
            default:
                return std::string(below(3), '\0');
        }
    }
    std::mt19937 random_{20261126};
};

TEST(OutputReply, IsWhatTheJsonLibraryWrites) {
    Writer writer;
    int texts = 0;
    for (int i = 0; i < 5000; ++i) {
        const Output output = {writer.write(), writer.write()};
        const std::array<std::uint64_t, 2> missed = {writer.below(3) * 1'000'000'007,
                                                     writer.below(2) * 12};
        const char terminator = i % 2 == 0 ? '\0' : '\n';
        const std::string text = fast(output, missed, terminator);
        ASSERT_EQ(text, by_json(output, missed, terminator));
        texts += travels_as_text(output[0]) ? 1 : 0;
    }
    EXPECT_GT(texts, 1000);
    EXPECT_LT(texts, 4000);
}

TEST(OutputReply, IsReadAsTheJsonLibraryReadsIt) {
    Writer writer;
    for (int i = 0; i < 5000; ++i) {
        const Output output = {writer.write(), writer.write()};
        if (output[0].empty() && output[1].empty()) continue;
        std::string text = fast(output, {}, '\0');
        text.pop_back();
        ASSERT_EQ(decode_output_reply(text, job), output);
    }
}

// Whatever is changed about it: it is read in the same way, or left to the other.
TEST(OutputReply, IsNeverReadInAnotherWay) {
    Writer writer;
    const std::vector<std::string> others = {
        "\"", "\\",   "\\u00", "\\u0041", "\\/", "}", "}}",
        ",",  "\xff", "\x01",  "=",       "A",   " ", ",\"stderr\":\"x\""};
    int read = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string text = fast({writer.write(), writer.write()}, {}, '\0');
        text.pop_back();
        const std::size_t at = writer.below(text.size());
        const std::string& other = others[writer.below(others.size())];
        if (i % 2 == 0) {
            text.insert(at, other);
        } else {
            text.replace(at, writer.below(8), other);
        }
        const auto output = decode_output_reply(text, job);
        if (!output) continue;
        ++read;
        ASSERT_EQ(slowly(text), output) << text;
    }
    EXPECT_GT(read, 500);
}

TEST(OutputReply, OthersAreLeftToTheJsonLibrary) {
    for (
        const char* text :
        {R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef"}})",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcde","stdout":"x"}})",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x","stdoutMissed":1}})",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x","result":{}}})",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x","stderr":"y"}})",
         R"({"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x"}})",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x"}} )",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x)",
         R"({"continues":true,"parameters":{"job":"0123456789abcdef0123456789abcdef","stdout":"x\)",
         ""}) {
        EXPECT_EQ(decode_output_reply(text, job), std::nullopt) << text;
    }
}

TEST(OutputReply, ControlCharactersAreTextWhereTheyAreFew) {
    EXPECT_TRUE(travels_as_text(""));
    EXPECT_TRUE(travels_as_text("\n\n\n\n"));
    EXPECT_TRUE(travels_as_text("\"\"\"\""));
    EXPECT_TRUE(travels_as_text(std::string_view("name\0", 5)));
    EXPECT_FALSE(travels_as_text(std::string_view("nam\0", 4)));
    EXPECT_FALSE(travels_as_text("a\xff"));
    std::string text;
    append_output_reply(text, job, {{{0, std::string(65536, '\n')}, {}}}, '\n');
    EXPECT_LT(text.size(), 65536 * most_per_byte + 200);
}

}  // namespace
}  // namespace postern::protocol
