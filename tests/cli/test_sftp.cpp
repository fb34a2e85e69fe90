#include "cli/sftp_words.hpp"
#include "cli/verb.hpp"
#include "peers/sshd.hpp"

#include <boost/json/parse.hpp>

#include <algorithm>
#include <cstdio>

using namespace trawl;
using namespace trawl::test;
namespace bj = boost::json;
namespace fs = std::filesystem;
using texts = std::vector<std::string>;

namespace {

struct ended {
    int code = 0;
    std::string out, err;

    std::vector<bj::object> records() const {
        std::vector<bj::object> found;
        std::istringstream lines(out);
        for (std::string line; std::getline(lines, line);)
            found.push_back(bj::parse(line).as_object());
        return found;
    }
};

int run_verb(texts words, bool json) {
    try {
        cli::action chosen;
        CLI::App app;
        cli::add_sftp(app, chosen);
        app.get_subcommand("sftp")->fallthrough();
        words.insert(words.begin(), "sftp");
        std::reverse(words.begin(), words.end()); // as CLI11 wants a vector
        app.parse(words);
        cli::settings said;
        said.json = json;
        cli::environment here(said);
        return chosen(here);
    } catch (cli::usage_error const& e) {
        std::fprintf(stderr, "%s\n", e.what());
    } catch (CLI::ParseError const& e) {
        std::fprintf(stderr, "%s\n", e.what());
    }
    return cli::usage;
}

/// One server, and folders on both sides of it.
struct lab {
    sshd server;
    scratch here, there;
    std::string known = (here / ".known_hosts").string();

    lab() {
        auto const second = "[127.0.0.2]:" + std::to_string(server.port()) + " " +
                            read_text(server.file("host_ed25519.pub"));
        write_text(known, server.known_hosts_line() + second);
    }

    /// Runs the verb in a process of its own, as main does.
    ended sftp(texts words, bool json = false) const {
        scratch folder;
        auto const out = folder / "out", err = folder / "err";
        texts all{words.front(),
                  "-i",
                  server.file("user").string(),
                  "-p",
                  std::to_string(server.port()),
                  "-u",
                  sshd::user(),
                  "--known-hosts",
                  known};
        all.insert(all.end(), words.begin() + 1, words.end());
        std::fflush(nullptr);
        pid_t const pid = ::fork();
        if (pid == 0) {
            int const to = ::open(out.c_str(), O_WRONLY | O_CREAT, 0600),
                      also = ::open(err.c_str(), O_WRONLY | O_CREAT, 0600);
            ::dup2(to, 1), ::dup2(also, 2);
            int const code = run_verb(all, json);
            std::fflush(nullptr);
            ::_exit(code);
        }
        int status = 0;
        ::waitpid(pid, &status, 0);
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), read_text(out),
                read_text(err)};
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
    lab l;
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
    lab l;
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
    lab l;
    auto const folder = l.here.path().string();
    CHECK(l.sftp({"get", "127.0.0.3:/x", folder}, true).records().at(0).at("error").at("phase") ==
          "connect");
    CHECK(l.sftp({"get", "127.0.0.3:/x", folder}).code == cli::nothing_reached);
    CHECK(l.sftp({"get", "/x", folder}).code == cli::usage);
    CHECK(l.sftp({"get", folder}).code == cli::usage);
    CHECK(l.sftp({"put", "x", "y", "no-target"}).code == cli::usage);
}
