#include "peers/sshd.hpp"
#include "ssh/config_words.hpp"

#include <trawl/ssh_config.hpp>

#include <algorithm>
#include <map>

using namespace trawl;
using namespace trawl::test;
using texts = std::vector<std::string>;
using std::chrono::seconds;

namespace {

ssh::config::local const here{"me", "/home/me"};

/// A configuration of one text; `others` are the files that it may include.
ssh::config parsed(std::string const& text, std::map<std::string, std::string> const& others = {}) {
    ssh::config all(here);
    auto const find = [&](std::string const& pattern) {
        std::vector<ssh::config::file> found;
        if (auto const one = others.find(pattern); one != others.end())
            found.push_back({one->first, one->second});
        return found;
    };
    all.parse({"config", text}, find);
    return all;
}

/// What `ssh -G` says about a host, the values of each keyword in order.
std::map<std::string, texts> asked(std::filesystem::path const& file, std::string const& host,
                                   texts const& more, scratch const& folder) {
    auto const log = folder / "answer";
    std::filesystem::remove(log);
    texts line{"/usr/bin/ssh", "-G", "-F", file.string()};
    line.insert(line.end(), more.begin(), more.end());
    line.push_back(host);
    int status = 0;
    ::waitpid(spawn(line, log), &status, 0);
    INFO(read_text(log));
    REQUIRE(status == 0);
    std::map<std::string, texts> found;
    std::istringstream in(read_text(log));
    for (std::string one; std::getline(in, one);) {
        auto const blank = one.find(' ');
        found[one.substr(0, blank)].push_back(blank == one.npos ? "" : one.substr(blank + 1));
    }
    return found;
}

std::string joined(texts const& all) {
    std::string text;
    for (auto const& one : all) text += (text.empty() ? "" : " ") + one;
    return text;
}

/// Compares what both say about the host.
void compare(std::filesystem::path const& file, std::string const& host, texts const& more,
             scratch const& folder) {
    auto theirs = asked(file, host, more, folder);
    auto const user = more.empty() ? std::optional<std::string>() : more.at(1);
    auto const ours = ssh::load_config({file}, {sshd::user(), "/home/me"}).lookup(host, user);
    INFO(host << " as " << user.value_or("whoever"));
    CHECK(ours.host_name.value_or(host) == theirs["hostname"].at(0));
    CHECK(ours.user.value_or(sshd::user()) == theirs["user"].at(0));
    CHECK(std::to_string(ours.port.value_or(22)) == theirs["port"].at(0));
    if (!ours.identity_files.empty()) CHECK(ours.identity_files == theirs["identityfile"]);
    CHECK((ours.identities_only.value_or(false) ? "yes" : "no") == theirs["identitiesonly"].at(0));
    CHECK((ours.proxy_jump ? texts{*ours.proxy_jump} : texts()) == theirs["proxyjump"]);
    if (ours.known_hosts_files)
        CHECK(joined(*ours.known_hosts_files) == theirs["userknownhostsfile"].at(0));
    auto const timeout =
        ours.connect_timeout ? std::to_string(ours.connect_timeout->count()) : "none";
    CHECK(timeout == theirs["connecttimeout"].at(0));
    CHECK(std::to_string(ours.server_alive_interval.value_or(seconds(0)).count()) ==
          theirs["serveraliveinterval"].at(0));
    CHECK(std::to_string(ours.server_alive_count_max.value_or(3)) ==
          theirs["serveralivecountmax"].at(0));
    // ssh -G says false, true, ask, accept-new.
    auto checking = ours.strict_host_key_checking.value_or("ask");
    if (checking == "yes" || checking == "no") checking = checking == "yes" ? "true" : "false";
    CHECK(checking == theirs["stricthostkeychecking"].at(0));
    if (ours.ciphers) CHECK(*ours.ciphers == theirs["ciphers"].at(0));
}

} // namespace

TEST_CASE("a line is a keyword and its words", "[ssh][config]") {
    using ssh::detail::split_line;
    CHECK(split_line("") == texts());
    CHECK(split_line("  # comment") == texts());
    CHECK(split_line("\tPort 22\r") == texts{"port", "22"});
    CHECK(split_line("Port=22") == texts{"port", "22"});
    CHECK(split_line("Port = 22") == texts{"port", "22"});
    CHECK(split_line("Host a \"b c\" d # rest") == texts{"host", "a", "b c", "d"});
    CHECK(split_line("IdentityFile \"it's\"") == texts{"identityfile", "it's"});
    CHECK(split_line("User a\\\"b") == texts{"user", "a\"b"});
    CHECK(split_line("Port") == texts{"port"});
    CHECK_FALSE(split_line("User \"open"));
}

TEST_CASE("times are numbers with units", "[ssh][config]") {
    using ssh::detail::parse_time;
    CHECK(parse_time("90") == seconds(90));
    CHECK(parse_time("1m30s") == seconds(90));
    CHECK(parse_time("2H") == seconds(7200));
    for (auto const* bad : {"", "x", "1x", "s", "-1", "99999999999", "999999w"})
        CHECK_FALSE(parse_time(bad));
}

TEST_CASE("the first value counts, identities add up", "[ssh][config]") {
    auto const all = parsed("Port 1\nHost web*\nPort 2\nUser ops\nIdentityFile ~/.ssh/a_%r_%h\n"
                            "Host *\nUser other\nIdentityFile %d/b\nHostName %h.example\n");
    auto const web = all.lookup("web1");
    CHECK(web.port == 1);
    CHECK(web.user == "ops");
    CHECK(web.host_name == "web1.example");
    CHECK(web.identity_files == texts{"/home/me/.ssh/a_ops_web1.example", "/home/me/b"});
    CHECK(all.lookup("db").user == "other");
    CHECK(all.lookup("web1", "root").user == "root");
    CHECK(all.problems().empty());
}

TEST_CASE("an Include counts only where its block applies", "[ssh][config]") {
    auto const all = parsed("Host a\nInclude one\nPort 3\nHost b\nPort 4\n",
                            {{"one", "User u\nHost c\nUser never\nHost *\nConnectTimeout 7\n"}});
    CHECK(all.lookup("a").user == "u");
    CHECK(all.lookup("a").port == 3); // the file's Host blocks ended with it
    CHECK(all.lookup("a").connect_timeout == seconds(7));
    CHECK_FALSE(all.lookup("c").user);
    CHECK_FALSE(all.lookup("b").connect_timeout);
}

TEST_CASE("a file that includes itself ends", "[ssh][config]") {
    auto const all = parsed("Include self\n", {{"self", "Port 5\nInclude self\n"}});
    CHECK(all.lookup("a").port == 5);
    REQUIRE(all.problems().size() == 1);
    CHECK(all.problems()[0].text == "includes are nested too deeply");
}

TEST_CASE("what is not supported is told once", "[ssh][config]") {
    auto const all =
        parsed("ProxyCommand a\nHost *\nproxycommand b\nPort no\nMatch exec true\nUser x\n"
               "Match\nUser \"open\n");
    texts told;
    for (auto const& one : all.problems()) told.push_back(one.where + " " + one.text);
    CHECK(told == texts{"config:1 proxycommand is not supported",
                        "config:4 a value that port cannot have",
                        "config:5 Match exec is not supported; the block never applies",
                        "config:7 Match without a criterion", "config:8 a quote is not closed"});
    CHECK_FALSE(all.lookup("a").user);
}

TEST_CASE("ssh -G says the same of files, patterns, matches and includes", "[ssh][config]") {
    if (!std::filesystem::exists("/usr/bin/ssh")) skip("needs openssh-client");
    scratch folder;
    write_text(folder / "part1", "Host web2\n  Port 2002\nHost *.inner\n  User inner\n");
    write_text(folder / "part2", "ConnectTimeout 1m\n");
    auto const file = folder / "config";
    write_text(file,
               "Host web* !web9\n  HostName %h.example\n  User ops\n  IdentityFile /k/one\n"
               "  IdentitiesOnly yes\n"
               "Match host *.example user ops\n  Port 2222\n  ServerAliveInterval 15\n"
               "Match originalhost db?,cache !user root\n  StrictHostKeyChecking accept-new\n"
               "  UserKnownHostsFile /k/a /k/b\n  ProxyJump gate\n"
               "Match !host *.example localuser " +
                   sshd::user() +
                   "\n  ServerAliveCountMax 9\n"
                   "Host db1 *.inner\n  Include " +
                   folder.path().string() +
                   "/part*\n"
                   "  IdentityFile=/k/two\n  IdentityFile /k/one\n"
                   "Host *\n  StrictHostKeyChecking no\n  Ciphers aes128-ctr\n  User \"last one\"\n"
                   "Match all\n  Port 7\n");
    for (std::string const host :
         {"web1", "web2", "web9", "db1", "db22", "cache", "x.inner", "other"}) {
        compare(file, host, {}, folder);
        compare(file, host, {"-l", "root"}, folder);
    }
}

TEST_CASE("files that are missing are empty, those that cannot be read fail", "[ssh][config]") {
    scratch folder;
    CHECK_FALSE(ssh::load_config({folder / "none"}, here).lookup("a").user);
    CHECK_THROWS_AS(ssh::load_config({folder.path()}, here), error);
}

TEST_CASE("a jump is read as OpenSSH reads it", "[ssh][config]") {
    auto const hops = ssh::parse_jump("ann@gate:2200,ssh://[::1]:22,::2,bob@x@inner");
    REQUIRE(hops);
    REQUIRE(hops->size() == 4);
    CHECK(hops->at(0).host == "gate");
    CHECK(hops->at(0).user == "ann");
    CHECK(hops->at(0).port == 2200);
    CHECK(hops->at(1).host == "::1");
    CHECK(hops->at(1).port == 22);
    CHECK_FALSE(hops->at(1).user.has_value());
    CHECK(hops->at(2).host == "::2");
    CHECK_FALSE(hops->at(2).port.has_value());
    CHECK(hops->at(3).user == "bob@x");
    auto const none = ssh::parse_jump("None");
    REQUIRE(none);
    CHECK(none->empty());
    for (auto const* text : {"", ",", "a,", "a:", "a:0", "a:65536", "a:x", "@a", "u@", "[::1",
                             "[::1]x", "[]", "ssh://", "a,,b"}) {
        INFO(text);
        CHECK_FALSE(ssh::parse_jump(text).has_value());
    }
}

TEST_CASE("a jump that makes no sense is a problem of the configuration", "[ssh][config]") {
    auto const all = parsed("ProxyJump gate:0\nProxyJump inner\n");
    REQUIRE(all.problems().size() == 1);
    CHECK(all.problems()[0].text == "a value that proxyjump cannot have");
    CHECK(all.lookup("web").proxy_jump == "inner");
}

TEST_CASE("RekeyLimit is bytes and time", "[ssh][config]") {
    auto const limit = [](std::string const& text) {
        return parsed("RekeyLimit " + text + "\n").lookup("web");
    };
    CHECK(limit("1G").rekey_bytes == 1u << 30);
    CHECK(limit("1G").rekey_time == seconds(0));
    CHECK(limit("512k 1h").rekey_bytes == 512u << 10);
    CHECK(limit("512k 1h").rekey_time == seconds(3600));
    CHECK(limit("default none").rekey_bytes == 0u);
    for (auto const* text : {"15", "1T", "x", "1G x"}) {
        INFO(text);
        CHECK_FALSE(limit(text).rekey_bytes.has_value());
    }
}
