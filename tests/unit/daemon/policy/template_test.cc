#include "daemon/policy/template.h"

#include <gtest/gtest.h>

#include <string>

namespace postern::policy {
namespace {

std::string shown(const std::string& text) {
    const Result<Template> pieces = parse_template(text);
    if (!pieces) return pieces.error().message;
    std::string all;
    for (const Piece& piece : *pieces) {
        all += piece.placeholder ? '<' + piece.text + '>' : '\'' + piece.text + '\'';
    }
    return all;
}

TEST(Template, Pieces) {
    EXPECT_EQ(shown(""), "");
    EXPECT_EQ(shown("plain"), "'plain'");
    EXPECT_EQ(shown("{a}"), "<a>");
    EXPECT_EQ(shown("{service}.service"), "<service>'.service'");
    EXPECT_EQ(shown("--name={a-b}:{_c1}!"), "'--name='<a-b>':'<_c1>'!'");
    EXPECT_EQ(shown("{a}{b}"), "<a><b>");
    EXPECT_EQ(shown("{{a}}"), "'{a}'");
    EXPECT_EQ(shown("{{{a}}}"), "'{'<a>'}'");
    EXPECT_EQ(shown("${{PATH}} $(id) %H"), "'${PATH} $(id) %H'");
}

TEST(Template, Mistakes) {
    const std::string open = "a { without a }; write {{ for a literal brace";
    const std::string close = "a } without a {; write }} for a literal brace";
    EXPECT_EQ(shown("{"), open);
    EXPECT_EQ(shown("x{a"), open);
    EXPECT_EQ(shown("{{{"), open);
    EXPECT_EQ(shown("}"), close);
    EXPECT_EQ(shown("{a}}"), close);
    for (const std::string name : {"", " ", "1a", "a b", "a.b", "-a", "a{b", "\u00e9"}) {
        EXPECT_EQ(shown('{' + name + '}'),
                  "\"{" + name +
                      "}\" is not a placeholder; write {NAME} with an argument's name, or {{ "
                      "for a literal brace");
    }
}

TEST(Template, ArgumentNames) {
    EXPECT_TRUE(is_argument_name("a"));
    EXPECT_TRUE(is_argument_name("_a-1"));
    EXPECT_TRUE(is_argument_name(std::string(64, 'a')));
    EXPECT_FALSE(is_argument_name(std::string(65, 'a')));
    EXPECT_FALSE(is_argument_name("a=b"));
}

}  // namespace
}  // namespace postern::policy
