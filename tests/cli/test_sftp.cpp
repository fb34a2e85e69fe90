#include "cli/sftp_list.hpp"
#include "cli/sftp_words.hpp"
#include "cli/ssh_fixture.hpp"

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

/// One server, and folders on both sides of it.
struct copy_lab : known_lab {
    scratch here, there;

    /// The way to copy, and what.
    ended sftp(texts words, bool json = false) const {
        auto all = with({words.begin() + 1, words.end()});
        all.insert(all.begin(), words.front());
        return run_verb("sftp", cli::add_sftp, std::move(all), {.json = json});
    }

    std::string remote(std::string const& name, std::string const& host = "127.0.0.1") const {
        return host + ":" + (there / name).string();
    }
};

} // namespace

TEST_CASE("TARGET:REMOTE is split at the colon outside of brackets", "[cli][sftp]") {
    struct expected {
        char const *word, *target, *path;
    };
    for (auto const& [word, target, path] : std::initializer_list<expected>{
             {"host:/a", "host", "/a"},
             {"host:", "host", ""},
             {"host:a:b", "host", "a:b"},
             {"10.0.0.0/24:x", "10.0.0.0/24", "x"},
             {"[2001:db8::7]:/a", "[2001:db8::7]", "/a"},
             {"node[01-20,25].example:/a", "node[01-20,25].example", "/a"},
             {"@hosts.txt:/a", "@hosts.txt", "/a"},
         }) {
        auto const found = cli::parse_place(word);
        CHECK(found.target == target);
        CHECK(found.path == path);
    }
    for (auto const* word : {"host", ":/a", "", "[2001:db8::7]"})
        CHECK_THROWS_AS(cli::parse_place(word), cli::usage_error);
}

TEST_CASE("the words of get are errands by target", "[cli][sftp]") {
    cli::sftp_words said;
    said.names = {"a:/1", "[2001:db8::7]:/2", "a:/3", "local"};
    auto const errands = cli::get_errands(said);
    REQUIRE(errands.size() == 2);
    CHECK(errands[0].remote == texts{"/1", "/3"});
    CHECK(errands[1].hosts.at(0).to_string() == "2001:db8::7");
    said.names = {"a:22:/1", "local"}; // that is the path 22:/1
    CHECK(cli::get_errands(said)[0].remote == texts{"22:/1"});
    CHECK(cli::last_name("/a/b/c/") == "c");
    CHECK(cli::last_name("/").empty());
}

TEST_CASE("trawl sftp puts files under their names or into a folder", "[cli][sftp]") {
    copy_lab l;
    write_text(l.here / "a", "aa");
    write_text(l.here / "b", "bbb");
    auto const a = (l.here / "a").string(), b = (l.here / "b").string();
    auto const first = l.sftp({"put", a, l.remote("new")});
    CHECK(first.err.empty());
    CHECK(first.out == "127.0.0.1: 1 files, 2 bytes\n");
    CHECK(first.code == cli::all_well);
    CHECK(read_text(l.there / "new") == "aa");
    fs::create_directory(l.there / "folder");
    CHECK(l.sftp({"put", a, l.remote("folder")}).code == 0);
    CHECK(l.sftp({"put", a, b, l.remote("folder/")}).out == "127.0.0.1: 2 files, 5 bytes\n");
    CHECK(read_text(l.there / "folder/b") == "bbb");

    auto const missing = l.sftp({"put", a, b, l.remote("none")}, true);
    CHECK(missing.code == cli::some_failed);
    auto const record = missing.records().at(0);
    CHECK(record.at("status") == "failed");
    CHECK(record.at("error").at("code") == "no_such_file");
    CHECK(record.at("error").at("phase") == "sftp");
    CHECK(record.at("address") == "127.0.0.1");
    auto const unread = l.sftp({"put", (l.here / "none").string(), l.remote("x")}, true);
    CHECK(unread.records().at(0).at("error").at("phase") == "local");
    CHECK(l.sftp({"put", l.here.path().string(), l.remote("x")}).code == cli::some_failed); // no -r
}

TEST_CASE("trawl sftp gets trees and patterns of several hosts apart", "[cli][sftp]") {
    copy_lab l;
    fs::create_directories(l.there / "tree/deep");
    write_text(l.there / "tree/deep/file", "content");
    write_text(l.there / "x.log", "x");
    write_text(l.there / "y.log", "yy");
    auto const into = [&](char const* name) { return (l.here / name).string(); };
    auto const done = l.sftp(
        {"get", "-r", "--preserve", l.remote("tree", "127.0.0.1,127.0.0.2"), into("all")}, true);
    CHECK(done.code == cli::all_well);
    auto const records = done.records();
    REQUIRE(records.size() == 3);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(records[i].at("type") == "host");
        CHECK(records[i].at("verb") == "sftp");
        CHECK(records[i].at("files") == 1);
        CHECK(records[i].at("bytes") == 7);
        CHECK(records[i].at("error").is_null());
        CHECK(records[i].at("elapsed").as_double() > 0);
    }
    CHECK(records[2].at("type") == "summary");
    CHECK(records[2].at("ok") == 2);
    CHECK(records[2].at("bytes") == 14);
    for (auto const* host : {"127.0.0.1", "127.0.0.2"})
        CHECK(read_text(l.here / "all" / host / "tree/deep/file") == "content");

    fs::create_directory(l.here / "logs");
    CHECK(l.sftp({"get", l.remote("*.log"), into("logs")}).out == "127.0.0.1: 2 files, 3 bytes\n");
    CHECK(read_text(l.here / "logs/y.log") == "yy");
    CHECK(l.sftp({"get", l.remote("x.log"), into("one")}).code == 0);
    CHECK(read_text(l.here / "one") == "x");
    CHECK(l.sftp({"get", l.remote("*.log"), into("one")}).code == cli::some_failed);
    CHECK(l.sftp({"get", l.remote("none*"), into("logs")}).err.find("none*") != std::string::npos);
}

TEST_CASE("trawl sftp says by its exit code why nothing worked", "[cli][sftp]") {
    copy_lab l;
    auto const folder = l.here.path().string();
    CHECK(l.sftp({"get", "127.0.0.3:/x", folder}, true).records().at(0).at("error").at("phase") ==
          "connect");
    CHECK(l.sftp({"get", "127.0.0.3:/x", folder}).code == cli::nothing_reached);
    CHECK(l.sftp({"get", "/x", folder}).code == cli::usage);
    CHECK(l.sftp({"get", folder}).code == cli::usage);
    CHECK(l.sftp({"put", "x", "y", "no-target"}).code == cli::usage);
}

TEST_CASE("trawl sftp follows OpenSSH's configuration", "[cli][sftp]") {
    copy_lab l;
    write_text(l.there / "x", "content");
    auto const config = (l.folder / "config").string();
    write_text(config, "Host web\n  HostName 127.0.0.1\n  Port " + std::to_string(l.server.port()) +
                           "\n  User " + sshd::user() + "\n  IdentityFile " +
                           l.server.file("user").string() + "\n  UserKnownHostsFile " + l.known +
                           "\n");
    auto const done =
        run_verb("sftp", cli::add_sftp,
                 {"get", "-F", config, l.remote("x", "web"), (l.here / "x").string()});
    CHECK(done.err.empty());
    CHECK(done.out == "web: 1 files, 7 bytes\n");
    CHECK(read_text(l.here / "x") == "content");
}

TEST_CASE("trawl sftp tries again where nobody answers, and gives up after enough failures",
          "[cli][sftp]") {
    copy_lab l;
    auto const folder = l.here.path().string();
    auto const again = l.sftp({"get", "--retries", "1", "127.0.0.3:/x", folder}, true);
    CHECK(again.records().at(0).at("attempts") == 2);
    auto const end =
        l.sftp({"get", "-j", "1", "--max-failures", "2", "127.0.0.3-9:/x", folder}, true);
    CHECK(end.records().size() == 3);
    CHECK(end.records().at(2).at("unfinished") == 5);
}

TEST_CASE("trawl sftp ls names files so that get takes them, with details on demand",
          "[cli][sftp]") {
    copy_lab l;
    fs::create_directory(l.there / "folder");
    write_text(l.there / "folder/b\n\x1b[31m", "bbb");
    write_text(l.there / "folder/a", "aa");
    fs::permissions(l.there / "folder/a", fs::perms(0640));
    fs::create_directory_symlink("folder", l.there / "link");
    auto const at = [&](std::string const& name) { return l.remote(name) + "\n"; };
    CHECK(l.sftp({"ls", l.remote("folder")}).out == at("folder/a") + at("folder/b\\x0a\\x1b[31m"));
    CHECK(l.sftp({"ls", l.remote("f*")}).out == at("folder/a") + at("folder/b\\x0a\\x1b[31m"));
    CHECK(l.sftp({"ls", l.remote("link")}).out.starts_with(at("link/a")));
    CHECK(l.sftp({"ls", l.remote("folder/a*", "127.0.0.1,127.0.0.2")}).code == cli::all_well);
    auto const details = l.sftp({"ls", "-l", l.remote("folder/a")}).out;
    CHECK(details.starts_with("-rw-r----- "));
    CHECK(details.ends_with("Z " + at("folder/a")));
    auto const records = l.sftp({"ls", l.remote("folder")}, true).records();
    REQUIRE(records.size() == 4);
    CHECK(records[0].at("type") == "file");
    CHECK(records[0].at("kind") == "file");
    CHECK(records[0].at("size") == 2);
    CHECK(records[0].at("mode") == "0640");
    CHECK(records[1].at("path").as_string() == (l.there / "folder/b\n\x1b[31m").string());
    CHECK(records[2].at("files") == 2);
    auto const none = l.sftp({"ls", l.remote("none*")});
    CHECK(none.code == cli::some_failed);
    CHECK(none.err.find("none*") != none.err.npos);
    CHECK(l.sftp({"ls", l.remote("none")}).err.find("no such file") != none.err.npos);
    CHECK(cli::mode_text(0104755) == "-rwsr-xr-x");
    CHECK(cli::mode_text(0041777) == "drwxrwxrwt");
    CHECK(cli::mode_text(0102640) == "-rw-r-S---");
}

TEST_CASE("trawl sftp sync makes folders alike, both ways and on several hosts", "[cli][sftp]") {
    copy_lab l;
    write_text(l.here / "a", "aa");
    write_text(l.there / "old", "o");
    auto const here = l.here.path().string(), both = l.remote("", "127.0.0.1,127.0.0.2");
    auto const dry = l.sftp({"sync", "--delete", "-n", here, l.remote("")});
    CHECK(dry.err.empty());
    CHECK(dry.out == "127.0.0.1: remove old\n127.0.0.1: copy a, 2 bytes\n127.0.0.1: set .\n"
                     "127.0.0.1: 1 files, 2 bytes, 0 unchanged, 0 set, 1 removed (nothing was "
                     "done)\n");
    CHECK_FALSE(fs::exists(l.there / "a"));
    auto const steps = l.sftp({"sync", "-n", here, l.remote("")}, true).records();
    CHECK(steps.at(0).at("type") == "step");
    CHECK(steps.at(0).at("action") == "copy");
    CHECK(steps.at(2).at("dry_run") == true);
    CHECK(l.sftp({"sync", "--delete", here, l.remote("")}).code == cli::all_well);
    CHECK(read_text(l.there / "a") == "aa");
    CHECK_FALSE(fs::exists(l.there / "old"));

    auto const down = l.sftp({"sync", both, (l.folder / "down/all").string()}, true);
    CHECK(down.code == cli::all_well);
    CHECK(down.records().at(0).at("files") == 1);
    CHECK(down.records().at(0).at("removed") == 0);
    for (auto const* host : {"127.0.0.1", "127.0.0.2"})
        CHECK(read_text(l.folder / "down/all" / host / "a") == "aa");

    for (auto const& wrong : {texts{here, here}, texts{both, both}, texts{here, here, both}}) {
        auto all = wrong;
        all.insert(all.begin(), "sync");
        CHECK(l.sftp(all).code == cli::usage);
    }
    CHECK(l.sftp({"sync", "-r", here, both}).code == cli::usage);
}

TEST_CASE("a word with a colon names files of hosts, unless it begins as a path", "[cli][sftp]") {
    for (auto const* word : {"a:b", "10.0.0.0/24:x", "[::1]:/x", "node[1-2]:"})
        CHECK(cli::is_remote(word));
    for (auto const* word : {"a", "./a:b", "/a:b", ":a", "", "[::1]"})
        CHECK_FALSE(cli::is_remote(word));
}

TEST_CASE("trawl sftp copy brings files of one host to others", "[cli][sftp]") {
    copy_lab l;
    fs::create_directories(l.there / "tree");
    write_text(l.there / "tree/a", "aa");
    write_text(l.there / "b", "bbb");
    auto const to = [&](char const* name) { return "127.0.0.2:" + (l.here / name).string(); };
    auto const done = l.sftp({"copy", l.remote("b"), to("new")});
    CHECK(done.err.empty());
    CHECK(done.out == "127.0.0.2: 1 files, 3 bytes\n");
    CHECK(read_text(l.here / "new") == "bbb");
    fs::create_directory(l.here / "into");
    CHECK(l.sftp({"copy", "-r", l.remote("*"), to("into")}, true).records().at(0).at("files") == 2);
    CHECK(read_text(l.here / "into/tree/a") == "aa");
    CHECK(l.sftp({"copy", l.remote("none"), to("x")}).code == cli::some_failed);
    // The host that is not there is the source: the target was reached, and is not tried again.
    auto const nobody = l.sftp({"copy", "--retries", "3", "127.0.0.3:/x", to("x")}, true);
    auto const record = nobody.records().at(0);
    CHECK(record.at("target") == "127.0.0.2");
    CHECK(record.at("attempts") == 1);
    CHECK(record.at("error").at("phase") == "source");
    std::string const said(record.at("error").at("message").as_string());
    CHECK(said.find("127.0.0.3") != said.npos);
    CHECK(nobody.code == cli::some_failed);
    CHECK(l.sftp({"copy", l.remote("b", "127.0.0.1,127.0.0.2"), to("x")}).code == cli::usage);
    CHECK(l.sftp({"copy", "--resume", l.remote("b"), to("x")}).code == cli::usage);
}
