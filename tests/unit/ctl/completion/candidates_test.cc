#include "ctl/completion/candidates.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "ctl/verbs/verbs.h"

namespace postern::ctl {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;
using testing::Not;
using Texts = std::vector<std::string>;

// Says what the case has put into it, and notes what it was asked for.
class Told final : public Knowledge {
  public:
    std::vector<Candidate> actions() override {
        asked.emplace_back("actions");
        return known_actions;
    }
    std::optional<ActionDescription> action(const std::string& name) override {
        asked.push_back("action " + name);
        if (arguments.empty()) return std::nullopt;
        ActionDescription description;
        description.name = name;
        description.arguments = arguments;
        return description;
    }
    std::vector<Candidate> jobs() override {
        asked.emplace_back("jobs");
        return {{"0123", "a, running"}, {"4567", "b, exit 0"}};
    }
    std::vector<std::string> users() override { return {"alice", "b\nb"}; }

    std::vector<Candidate> known_actions = {{"web.restart", "Restarts it"}, {"web.stop", ""}};
    std::vector<ArgumentSpec> arguments;
    Texts asked;
};

ArgumentSpec text(std::string name, std::vector<std::string> values = {}) {
    ArgumentSpec spec;
    spec.name = std::move(name);
    spec.values = std::move(values);
    return spec;
}

ArgumentSpec of_type(std::string name, ArgumentType type,
                     ArgumentType items = ArgumentType::string) {
    auto spec = text(std::move(name));
    spec.type = type;
    spec.items = items;
    return spec;
}

Candidates all(const Texts& words, Knowledge& knowledge) {
    return candidates_for(read_typed_line(words), knowledge);
}

Texts texts(const Texts& words, Knowledge& knowledge) {
    Texts found;
    for (const auto& candidate : all(words, knowledge).list) found.push_back(candidate.text);
    return found;
}

Texts texts(const Texts& words) {
    Told told;
    return texts(words, told);
}

TEST(Candidates, AreTheVerbsOfTheTable) {
    Texts names;
    for (const auto* verb : verbs()) names.emplace_back(verb->name);
    for (const Texts& words :
         {Texts{""}, Texts{"r"}, Texts{"--json", ""}, Texts{"--socket", "/s", ""}}) {
        EXPECT_THAT(texts(words), ElementsAreArray(names));
    }
    Told told;
    EXPECT_EQ(all({""}, told).list.front().description, verb_run.summary);
    EXPECT_THAT(told.asked, IsEmpty());
}

TEST(Candidates, AreTheOptionsOfTheTables) {
    EXPECT_THAT(texts({"-"}), ElementsAre("--socket", "--user", "--json", "--help", "--version"));
    EXPECT_THAT(texts({"attach", "--t"}), ElementsAre("--all", "--tail", "--from-now", "--socket",
                                                      "--user", "--json", "--help", "--version"));
    // Once each, but for those that may be given again.
    EXPECT_THAT(texts({"--json", "attach", "--tail=3", "-"}),
                ElementsAre("--all", "--from-now", "--socket", "--user", "--help", "--version"));
    EXPECT_THAT(texts({"run", "a", "--file", "a=b", "-"}), Contains("--file"));
    EXPECT_THAT(texts({"run", "--", "-"}), Not(Contains("--json")));
}

TEST(Candidates, AreTheValuesOfOptions) {
    EXPECT_THAT(texts({"run", "--on-interrupt", ""}), ElementsAre("detach", "cancel"));
    EXPECT_THAT(texts({"run", "--on-interrupt=c"}),
                ElementsAre("--on-interrupt=detach", "--on-interrupt=cancel"));
    EXPECT_THAT(texts({"jobs", "--state", ""}),
                ElementsAre("starting", "running", "ended", "failed"));
    EXPECT_THAT(texts({"jobs", "--action", ""}), ElementsAre("web.restart", "web.stop"));
    EXPECT_THAT(texts({"cancel", "--signal", ""}),
                ElementsAre("HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "TERM"));
    EXPECT_THAT(texts({"cancel", "--all-of=a"}), ElementsAre("--all-of=alice"));
    EXPECT_THAT(texts({"attach", "--tail", ""}), IsEmpty());
    EXPECT_THAT(texts({"list", "--json="}), IsEmpty());
    EXPECT_THAT(texts({"list", "--nonsense="}), IsEmpty());
}

TEST(Candidates, AreWhatTheWordsOfAVerbCanBe) {
    EXPECT_THAT(texts({"log-level", ""}),
                ElementsAre("debug", "info", "warning", "error", "critical"));
    EXPECT_THAT(texts({"call", ""}), Contains("org.postern.Jobs.Cancel"));
    EXPECT_THAT(texts({"call", "a.b", ""}), IsEmpty());
    EXPECT_THAT(texts({"describe", ""}), ElementsAre("web.restart", "web.stop"));
    EXPECT_THAT(texts({"describe", "web.stop", ""}), IsEmpty());
    for (const auto* verb : {"show", "attach", "logs", "wait", "cancel"}) {
        EXPECT_THAT(texts({verb, ""}), ElementsAre("0123", "4567")) << verb;
    }
    EXPECT_THAT(texts({"wait", "4567", ""}), ElementsAre("0123"));
    EXPECT_THAT(texts({"show", "4567", ""}), IsEmpty());
    for (const Texts& words : {Texts{"list", ""}, Texts{"nonsense", ""}, Texts{"--", ""}}) {
        EXPECT_THAT(texts(words), IsEmpty());
    }
}

TEST(Candidates, LeavePathsToTheShell) {
    const auto from = [](const Texts& words) {
        Told told;
        return all(words, told).path_from;
    };
    EXPECT_EQ(from({"--socket", ""}), 0U);
    EXPECT_EQ(from({"--socket=/r"}), 9U);
    EXPECT_EQ(from({"lint", "a", ""}), 0U);
    EXPECT_EQ(from({"run", "a", "--input", "x"}), 0U);
    EXPECT_EQ(from({"run", "a", "--file", "cert=x"}), 5U);
    EXPECT_EQ(from({"run", "a", "--file=\u00e4=x"}), 9U);
    EXPECT_EQ(from({"run", "a", "--file", "cert"}), std::nullopt);
}

TEST(Candidates, AreTheArgumentsOfTheAction) {
    Told told;
    told.arguments = {text("service", {"nginx", "php fpm"}),
                      of_type("force", ArgumentType::boolean),
                      of_type("sizes", ArgumentType::list, ArgumentType::integer),
                      of_type("on", ArgumentType::list, ArgumentType::boolean)};
    told.arguments[0].summary = "Which";
    EXPECT_THAT(texts({"run", "w", ""}, told), ElementsAre("service=", "force=", "sizes=", "on="));
    EXPECT_EQ(all({"run", "w", ""}, told).list.front().description, "Which");
    EXPECT_THAT(told.asked, ElementsAre("action w", "action w"));
    // Only a list is given again.
    EXPECT_THAT(texts({"check", "w", "service=x", "sizes=1", "--file", "force=f", ""}, told),
                ElementsAre("sizes=", "on="));
    EXPECT_THAT(texts({"run", "w", "service=n"}, told),
                ElementsAre("service=nginx", "service=php fpm"));
    EXPECT_THAT(texts({"run", "w", "force="}, told), ElementsAre("force=true", "force=false"));
    EXPECT_THAT(texts({"run", "w", "on="}, told), ElementsAre("on=true", "on=false"));
    EXPECT_THAT(texts({"run", "w", "sizes="}, told), IsEmpty());
    EXPECT_THAT(texts({"run", "w", "other="}, told), IsEmpty());
    EXPECT_THAT(texts({"run", "w", "--file", "s"}, told),
                ElementsAre("service=", "force=", "sizes=", "on="));
    EXPECT_THAT(texts({"run", "w", "--file=s"}, told), Contains("--file=service="));
    // What is no text needs JSON there.
    EXPECT_THAT(texts({"notify", "w", ""}, told),
                ElementsAre("service=", "force:=", "sizes:=", "on:="));
    EXPECT_THAT(texts({"notify", "w", "force:=t"}, told),
                ElementsAre("force:=true", "force:=false"));
    EXPECT_THAT(texts({"notify", "w", "on:="}, told), IsEmpty());
    EXPECT_THAT(texts({"notify", "w", "sizes:=[1]", ""}, told),
                ElementsAre("service=", "force:=", "on:="));
}

TEST(Candidates, AreWordsThatPosternctlTakesForWhatTheyAre) {
    Told told;
    told.known_actions = {{"-x", ""},       {"", ""},        {"a\nb", ""},
                          {"a\x1b[0m", ""}, {"a\u202e", ""}, {"$(id)", "b\tc"}};
    EXPECT_THAT(texts({"run", ""}, told), ElementsAre("$(id)"));
    EXPECT_THAT(texts({"run", "--", ""}, told), ElementsAre("-x", "$(id)"));
    EXPECT_EQ(all({"run", ""}, told).list.front().description, "b\\u0009c");
    EXPECT_THAT(texts({"cancel", "--all-of", ""}), ElementsAre("alice"));
    told.arguments = {text("a=b", {"c"}), text("", {"c"}), text("-n"), text("ok", {"", "d"}),
                      text("colon:")};
    EXPECT_THAT(texts({"run", "w", ""}, told), ElementsAre("ok=", "colon:="));
    EXPECT_THAT(texts({"run", "w", "--", ""}, told), ElementsAre("-n=", "ok=", "colon:="));
    EXPECT_THAT(texts({"notify", "w", ""}, told), ElementsAre("ok="));
    EXPECT_THAT(texts({"run", "w", "a=b="}, told), IsEmpty());
    EXPECT_THAT(texts({"run", "w", "ok="}, told), ElementsAre("ok=d"));
}

TEST(Candidates, HaveDescriptionsThatFitALine) {
    Told told;
    told.known_actions = {{"a", std::string(200, 'x')}};
    EXPECT_EQ(all({"run", ""}, told).list.front().description, std::string(77, 'x') + "...");
}

}  // namespace
}  // namespace postern::ctl
