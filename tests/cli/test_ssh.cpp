#include "cli/ssh_fixture.hpp"

#include <map>

using namespace trawl;
using namespace trawl::test;
namespace bj = boost::json;

TEST_CASE("trawl ssh prints what each host said under its name", "[cli][ssh]") {
    lab here;
    auto const first = trawl_ssh(here.with({"--host-key", "accept-new", "127.0.0.1"}),
                                 {"echo", "out;", "echo", "err", ">&2"});
    CHECK(first.out == "[127.0.0.1]OUT:\nout\n[127.0.0.1]ERROR:\nerr\n");
    CHECK(first.err.empty());
    CHECK(first.code == cli::all_well);
    auto const text = read_text(here.known);
    CHECK(here.server.known_hosts_line().starts_with(text.substr(0, text.size() - 1)));

    auto const again =
        trawl_ssh(here.with({"127.0.0.1"}), {"printf x; exit 3"}); // strict, and known now
    CHECK(again.out == "[127.0.0.1]OUT:\nx\n");
    CHECK(again.err == "trawl: 127.0.0.1: exit status 3\n");
    CHECK(again.code == cli::some_failed);
}

TEST_CASE("trawl ssh --json has a record for every host and counts that add up", "[cli][ssh]") {
    lab here;
    auto const port = std::to_string(here.server.port());
    write_text(here.known, here.server.known_hosts_line());
    auto const done =
        trawl_ssh(here.with({"127.0.0.1", "127.0.0.3:1", "127.0.0.2", "no-such-host.invalid"}),
                  {"echo x; echo y >&2; exit 4"}, {.json = true});
    CHECK(done.code == cli::some_failed);
    auto const records = done.records();
    REQUIRE(records.size() == 5);
    std::map<std::string, bj::object> hosts;
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(records[i].at("type") == "host");
        CHECK(records[i].at("verb") == "ssh");
        hosts[std::string(records[i].at("target").as_string())] = records[i];
    }
    auto const& good = hosts.at("127.0.0.1");
    CHECK(good.at("status") == "ok");
    CHECK(good.at("address") == "127.0.0.1");
    CHECK(good.at("exit_status") == 4);
    CHECK(good.at("exit_signal").is_null());
    CHECK(good.at("stdout") == "x\n");
    CHECK(good.at("stderr") == "y\n");
    CHECK(good.at("stdout_truncated") == false);
    CHECK(good.at("stderr_truncated") == false);
    CHECK(good.at("error").is_null());
    CHECK(good.at("attempts") == 1);
    CHECK(good.at("elapsed").as_double() > 0);
    auto const error = [&](char const* target) { return hosts.at(target).at("error").as_object(); };
    CHECK(hosts.at("127.0.0.3:1").at("status") == "failed");
    CHECK(hosts.at("127.0.0.3:1").at("exit_status").is_null());
    CHECK(error("127.0.0.3:1").at("code") == "connect_failed");
    CHECK(error("127.0.0.3:1").at("phase") == "connect");
    CHECK(error("127.0.0.2").at("code") == "host_key_unknown"); // the record is for 127.0.0.1
    CHECK(error("127.0.0.2").at("phase") == "host-key");
    CHECK(error("no-such-host.invalid").at("phase") == "resolve");
    CHECK(hosts.at("no-such-host.invalid").at("address").is_null());
    auto const& sum = records.back();
    CHECK(sum.at("type") == "summary");
    CHECK(sum.at("targets") == 4);
    CHECK(sum.at("ok") == 1);
    CHECK(sum.at("failed") == 3);
    CHECK(sum.at("unfinished") == 0);
    CHECK(sum.at("exit") == 1);
}

TEST_CASE("a command that a signal ends is no ok", "[cli][ssh]") {
    lab here;
    write_text(here.known, here.server.known_hosts_line());
    auto const done = trawl_ssh(here.with({"127.0.0.1"}), {"kill -KILL $$"}, {.json = true});
    CHECK(done.code == cli::some_failed);
    auto const host = done.records().at(0);
    CHECK(host.at("status") == "failed");
    CHECK(host.at("exit_signal") == "KILL");
    CHECK(host.at("error").at("code") == "no_status");
}

TEST_CASE("trawl ssh says by its exit code why nothing worked", "[cli][ssh]") {
    lab here;
    write_text(here.known, here.server.known_hosts_line());
    CHECK(trawl_ssh(here.with({"127.0.0.1:1"}), {"true"}).code == cli::nothing_reached);
    auto const denied =
        trawl_ssh({"-i", here.server.file("stranger").string(), "-p",
                   std::to_string(here.server.port()), "--known-hosts", here.known, "127.0.0.1"},
                  {"true"});
    CHECK(denied.code == cli::bad_secret);
    CHECK(denied.err.find("auth: permission denied (server allows publickey only") !=
          std::string::npos);
    auto const no_key =
        trawl_ssh({"-i", (here.folder / "none").string(), "127.0.0.1"}, {"true"}, {.json = true});
    CHECK(no_key.code == cli::bad_secret);
    CHECK(no_key.records().at(0).at("type") == "summary");
    CHECK(trawl_ssh({"--password-file", (here.folder / "none").string(), "127.0.0.1"}, {"true"})
              .code == cli::bad_secret);
    CHECK(trawl_ssh({"127.0.0.1"}, {}).code == cli::usage);
    CHECK(trawl_ssh({"--known-hosts", here.folder.path().string(), "-i",
                     here.server.file("user").string(), "127.0.0.1"},
                    {"true"})
              .code == cli::some_failed);
}

TEST_CASE("one bit of output over the budget is dropped and said", "[cli][ssh]") {
    lab here;
    write_text(here.known, here.server.known_hosts_line());
    auto const done = trawl_ssh(here.with({"127.0.0.1", "--max-output", "10"}),
                                {"printf 0123456789X"}, {.json = true});
    auto const host = done.records().at(0);
    CHECK(host.at("stdout") == "0123456789");
    CHECK(host.at("stdout_truncated") == true);
    CHECK(done.code == cli::all_well);
}

TEST_CASE("Ctrl-C ends trawl ssh with a summary that counts the rest", "[cli][ssh]") {
    lab here;
    scratch folder;
    auto const marks = folder.path().string();
    auto const both_run = [&] {
        auto const end = std::filesystem::directory_iterator();
        return std::distance(std::filesystem::directory_iterator(folder.path()), end) == 2;
    };
    auto const done =
        trawl_ssh(here.with({"--host-key", "accept-new", "127.0.0.1", "127.0.0.2"}),
                  {"touch " + marks + "/$$; sleep 9"}, {.json = true, .stop = both_run});
    CHECK(done.code == cli::interrupted);
    auto const sum = done.records().back();
    CHECK(sum.at("type") == "summary");
    CHECK(sum.at("unfinished") == 2);
    CHECK(sum.at("exit") == 130);
}
