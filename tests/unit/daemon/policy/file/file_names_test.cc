#include "daemon/policy/file/file_names.h"

#include <gtest/gtest.h>

namespace postern::policy {
namespace {

TEST(FileNames, ActionNames) {
    for (const char* name : {"a", "9", "web.restart", "A_b-c.d", "rpmbuild.new", "a~b.tmp.x"}) {
        EXPECT_EQ(is_action_name(name), std::string_view(name).find('~') == std::string_view::npos);
        EXPECT_EQ(kind_of_name(std::string(name) + ".json"), NameKind::action) << name;
    }
    for (const char* name : {"", ".a", "-a", "_a", "a b", "a/b", "\u00e9"}) {
        EXPECT_FALSE(is_action_name(name)) << name;
    }
    EXPECT_TRUE(is_action_name(std::string(64, 'x')));
    EXPECT_FALSE(is_action_name(std::string(65, 'x')));
}

// Of systemd, logrotate, cronie, dpkg, rpm, ucf, pacman, Puppet, CFEngine, Ansible, Kubernetes,
// rsync, git, subversion, emacs, vim, nano, kate, joe, patch.
TEST(FileNames, Leftovers) {
    for (const char* name : {".",
                             "..",
                             "..data",
                             "..2026_11_27",
                             ".gitignore",
                             ".git",
                             ".json",
                             ".web.json",
                             "._web.json",
                             ".#web.json",
                             ".ansible_tmpk3web.json",
                             ".web.json.Xa81bC",
                             ".web.json.swp",
                             ".nfs000001",
                             "web.json~",
                             "web.json.~1~",
                             "web.json.4711.2026-11-27@00:40:41~",
                             "#web.json#",
                             "#web",
                             "web.json,v",
                             "web.json.dpkg-new",
                             "web.json.dpkg-tmp",
                             "web.json.dpkg-dist",
                             "web.json.dpkg-old",
                             "web.json.dpkg-bak",
                             "web.json.rpmnew",
                             "web.json.rpmsave",
                             "web.json.rpmorig",
                             "web.json;65f1a2b3",
                             "web.json.ucf-new",
                             "web.json.ucf-dist",
                             "web.json.pacnew",
                             "web.json.pacsave.1",
                             "web.json.apk-new",
                             "web.json.puppet-bak",
                             "web.json.cfsaved",
                             "web.json.cf-before-edit",
                             "web.json.swp",
                             "web.json.save",
                             "web.json.save.1",
                             "web.json.orig",
                             "web.json.rej",
                             "web.json.tmp",
                             "web.json.new",
                             "web.new",
                             "web.json.part",
                             "web.json.disabled",
                             "DEADJOE",
                             "4913",
                             "CVS",
                             "lost+found",
                             "README",
                             "README.md"}) {
        EXPECT_EQ(kind_of_name(name), NameKind::leftover) << name;
    }
}

TEST(FileNames, WhatIsPassedOverIsToldWithWhatToDo) {
    const std::set<std::string, std::less<>> all = {"there.json"};
    struct Row {
        const char* name;
        const char* advice;
    };
    for (const Row& row : {
             Row{"web.JSON", "rename it to web.json"},
             Row{"web.Json", "rename it to web.json"},
             Row{"web.jsonc", "rename it to web.json"},
             Row{"web.json5", "rename it to web.json"},
             Row{"web.json.txt", "rename it to web.json"},
             Row{"web.json.bak", "rename it to web.json"},
             Row{"web.restart.conf", "rename it to web.restart.json"},
             Row{"web.YAML", "rename it to web.json"},
             Row{"web", "rename it to web.json"},
             Row{"web.restart", "rename it to web.restart.json"},
             Row{"json", "rename it to json.json"},
             Row{"web.newer", "rename it to web.newer.json"},
             Row{"web.1", "rename it to web.1.json"},
             Row{"web restart.conf", "give it a name that ends in .json"},
             Row{"~web", "give it a name that ends in .json"},
             Row{"there",
                 "there.json exists too; move this one elsewhere, or "
                 "give it another name that ends in .json"},
         }) {
        EXPECT_EQ(kind_of_name(row.name), NameKind::passed_over) << row.name;
        EXPECT_EQ(how_it_would_count(row.name, all), row.advice) << row.name;
    }
}

}  // namespace
}  // namespace postern::policy
