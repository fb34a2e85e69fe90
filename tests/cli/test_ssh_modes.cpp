#include "cli/ssh_fixture.hpp"

#include <set>

using namespace trawl;
using namespace trawl::test;

namespace {

std::string text_of(boost::json::object const& record, char const* name) {
    return std::string(record.at(name).as_string());
}

} // namespace

TEST_CASE("--stream shows each line as it comes, behind its host's name", "[cli][ssh]") {
    known_lab here;
    auto const done = trawl_ssh(here.with({"--stream", "127.0.0.1-2"}),
                                {"echo a; echo b; echo c >&2; printf d; exit 3"});
    for (std::string const host : {"127.0.0.1", "127.0.0.2"}) {
        auto const place = done.out.find(host + ": a\n");
        REQUIRE(place != done.out.npos);
        CHECK(done.out.find(host + ": b\n", place) != done.out.npos);
        CHECK(done.out.find(host + ": d\n", place) != done.out.npos);
        CHECK(done.err.find(host + ": c\n") != done.err.npos);
        CHECK(done.err.find("trawl: " + host + ": exit status 3\n") != done.err.npos);
    }
    CHECK(done.out.size() ==
          2 * std::string_view("127.0.0.1: a\n127.0.0.1: b\n127.0.0.1: d\n").size());
    CHECK(done.code == cli::some_failed);
}

TEST_CASE("--stream shows lines before the command has ended", "[cli][ssh]") {
    known_lab here;
    scratch folder;
    auto const seen = folder / "seen";
    // It waits for what only a reader of its first line can have made.
    auto const line =
        "echo first; while [ ! -e " + seen.string() + " ]; do sleep 0.02; done; echo last";
    auto const watch = [&](std::string const& out) {
        if (out != "127.0.0.1: first\n") return false;
        write_text(seen, "");
        return true;
    };
    auto const done = trawl_ssh(here.with({"--stream", "127.0.0.1"}), {line}, {.meanwhile = watch});
    CHECK(done.out == "127.0.0.1: first\n127.0.0.1: last\n");
    CHECK(done.code == cli::all_well);
}

TEST_CASE("--stream --json has a record for each line", "[cli][ssh]") {
    known_lab here;
    auto const done =
        trawl_ssh(here.with({"--stream", "127.0.0.1"}), {"echo a; echo b >&2"}, {.json = true});
    auto const records = done.records();
    REQUIRE(records.size() == 4);
    std::set<std::string> lines;
    for (auto const* record : {&records[0], &records[1]}) {
        CHECK(record->at("type") == "line");
        CHECK(record->at("target") == "127.0.0.1");
        lines.insert(text_of(*record, "stream") + " " + text_of(*record, "text"));
    }
    CHECK(lines == std::set<std::string>{"stdout a", "stderr b"});
    CHECK(records[2].at("type") == "host");
    CHECK(records[2].at("stdout") == "");
}

TEST_CASE("--group folds equal answers and shows how others differ", "[cli][ssh]") {
    known_lab here;
    auto const port = std::to_string(here.server.port());
    // Three times the same host, once under another address.
    auto const done = trawl_ssh(
        here.with({"--group", "127.0.0.1", "127.0.0.1:" + port, "127.0.0.2", "127.0.0.1:1"}),
        {"echo one; case $SSH_CONNECTION in *127.0.0.2*) echo zwei;; *) echo two;; esac; echo "
         "three"});
    CHECK(done.out ==
          "127.0.0.1,127.0.0.1:" + port +
              ": same 3 lines\none\ntwo\nthree\n127.0.0.2: differs in 2 lines\n-two\n+zwei\n");
    CHECK(done.err.find("127.0.0.1:1 connect: connection failed") != done.err.npos);
    CHECK(done.code == cli::some_failed);
}

TEST_CASE("--group tells statuses apart and folds failures", "[cli][ssh]") {
    known_lab here;
    auto const done = trawl_ssh(here.with({"--group", "127.0.0.1-2", "127.0.0.3-4:1"}),
                                {"echo x >&2; case $SSH_CONNECTION in *127.0.0.2*) exit 5;; esac"});
    CHECK(done.out.find("127.0.0.1: 1 line\nstderr: x\n") != done.out.npos);
    CHECK(done.out.find("127.0.0.2: 1 line, exit status 5\nstderr: x\n") != done.out.npos);
    CHECK(done.err.find("127.0.0.3-4:1: 2 hosts failed: connect connect_failed") != done.err.npos);
}

TEST_CASE("--script runs a file in the shell with the command as its parameters", "[cli][ssh]") {
    known_lab here;
    auto const script = here.folder / "script";
    write_text(script, "echo \"$1-$2\"\nexit 6\necho not run\n");
    auto const done = trawl_ssh(here.with({"--script", script.string(), "127.0.0.1"}),
                                {"a", "'b c'"}, {.json = true});
    auto const host = done.records().at(0);
    CHECK(text_of(host, "stdout") == "a-b c\n");
    CHECK(host.at("exit_status") == 6);
    CHECK(trawl_ssh(here.with({"--script", script.string(), "--stdin", "127.0.0.1"}), {}).code !=
          0);
    CHECK(trawl_ssh(here.with({"--script", "/nonexistent", "127.0.0.1"}), {}).code != 0);
}

TEST_CASE("--stdin reaches every host whole", "[cli][ssh]") {
    known_lab here;
    std::string input(3'000'000, 'x');
    for (std::size_t i = 0; i < input.size(); i += 70) input[i] = '\n';
    auto const done =
        trawl_ssh(here.with({"--stdin", "127.0.0.1-2"}), {"cksum"}, {.json = true, .input = input});
    auto const records = done.records();
    REQUIRE(records.size() == 3);
    scratch folder;
    write_text(folder / "input", input);
    run_program({"/bin/sh", "-c", "cksum < " + (folder / "input").string()}, folder);
    CHECK(text_of(records[0], "stdout") == read_text(folder / "run.log"));
    CHECK(text_of(records[1], "stdout") == read_text(folder / "run.log"));
    CHECK(trawl_ssh(here.with({"--stdin", "-"}), {"cat"}).code == cli::usage);
}

TEST_CASE("a command that does not read --stdin is not held up by it", "[cli][ssh]") {
    known_lab here;
    auto const done = trawl_ssh(here.with({"--stdin", "127.0.0.1"}), {"echo done"},
                                {.input = std::string(8'000'000, 'x')});
    CHECK(done.out == "[127.0.0.1]OUT:\ndone\n");
    CHECK(done.code == cli::all_well);
}

TEST_CASE("--retries tries a host again that cannot be reached", "[cli][ssh]") {
    known_lab here;
    auto const down =
        trawl_ssh(here.with({"--retries", "1", "127.0.0.1:1"}), {"true"}, {.json = true});
    CHECK(down.records().at(0).at("attempts") == 2);
    CHECK(down.code == cli::nothing_reached);
    // A refused login is an answer.
    auto const denied =
        trawl_ssh({"--retries", "3", "-i", here.server.file("stranger").string(), "-p",
                   std::to_string(here.server.port()), "--known-hosts", here.known, "127.0.0.1"},
                  {"true"}, {.json = true});
    CHECK(denied.records().at(0).at("attempts") == 1);
}

TEST_CASE("--retries gets past a server that drops connections while others log in", "[cli][ssh]") {
    known_lab here("MaxStartups 2:50:5");
    auto const config = (here.folder / "config").string();
    write_text(config, "Host as*\nHostName 127.0.0.1\n"); // other targets, the same server
    auto words = here.with({"--retries", "30", "--stream", "as[1-30]"});
    words.at(1) = config; // -F
    auto const done = trawl_ssh(words, {"echo x"}, {.json = true});
    std::size_t good = 0, again = 0;
    for (auto const& record : done.records()) {
        if (record.at("type") != "host") continue;
        good += record.at("status") == "ok";
        again += record.at("attempts").as_int64() > 1;
    }
    CHECK(good == 30);
    CHECK(again > 0);
    CHECK(done.code == cli::all_well);
}

TEST_CASE("--max-failures starts no further hosts", "[cli][ssh]") {
    known_lab here;
    auto const done =
        trawl_ssh(here.with({"-j", "1", "--max-failures", "2", "127.0.0.1", "127.0.0.3-9:1"}),
                  {"exit 1"}, {.json = true});
    auto const sum = done.records().back();
    CHECK(sum.at("ok") == 1); // its status counts
    CHECK(sum.at("failed") == 1);
    CHECK(sum.at("unfinished") == 6);
    CHECK(done.code == cli::some_failed);
    auto const text =
        trawl_ssh(here.with({"-j", "1", "--max-failures", "1", "127.0.0.3-4:1"}), {"true"});
    CHECK(text.err.find("gave up: 1 of 2 hosts are unfinished") != text.err.npos);
}

TEST_CASE("--ramp spreads new connections", "[cli][ssh]") {
    known_lab here;
    auto const began = clock::now();
    trawl_ssh(here.with({"--ramp", "20", "127.0.0.3-8:1"}), {"true"});
    CHECK(clock::now() - began >= std::chrono::milliseconds(240)); // six turns, five gaps of 50 ms
}

TEST_CASE("--only goes on with what an earlier run left", "[cli][ssh]") {
    known_lab here;
    auto const first =
        trawl_ssh(here.with({"-j", "1", "--max-failures", "2", "127.0.0.1-2", "127.0.0.3-4:1",
                             "127.0.0.5:1"}),
                  {"case $SSH_CONNECTION in *127.0.0.2*) exit 5;; esac"}, {.json = true});
    auto const results = (here.folder / "results.jsonl").string();
    write_text(results, first.out);
    auto const targets = [&](texts words) {
        std::set<std::string> names;
        auto const done = trawl_ssh(here.with(words), {"true"}, {.json = true});
        for (auto const& record : done.records())
            if (record.at("type") == "host") names.insert(text_of(record, "target"));
        CHECK(done.records().back().at("targets") == names.size());
        return names;
    };
    using names = std::set<std::string>;
    CHECK(targets({"--only", "failed@" + results}) == names{"127.0.0.3:1"});
    CHECK(targets({"--only", "nonzero@" + results}) == names{"127.0.0.2"});
    CHECK(targets({"--only", "failed,nonzero@" + results}) == names{"127.0.0.2", "127.0.0.3:1"});
    CHECK(targets({"--only", "unfinished@" + results, "127.0.0.1-2", "127.0.0.3-5:1"}) ==
          names{"127.0.0.4:1", "127.0.0.5:1"});
    CHECK(targets({"--only", "failed@" + results, "127.0.0.1-2"}).empty());
    CHECK(trawl_ssh(here.with({"--only", "some@" + results}), {"true"}).code == cli::usage);
    CHECK(trawl_ssh(here.with({"--only", results}), {"true"}).code == cli::usage);
    CHECK(trawl_ssh(here.with({"--only", "failed@" + here.known}), {"true"}).code == cli::usage);
}
