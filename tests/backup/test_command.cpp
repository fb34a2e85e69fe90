#include "fixture.hpp"

#include "cli/verb.hpp"

#include <trawl/mutex.hpp>

#include <boost/json/parse.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;
namespace bj = boost::json;

namespace {

struct outcome {
    int code = -1;
    std::vector<std::string> lines; ///< of stdout

    bj::object record(std::size_t i) const { return bj::parse(lines.at(i)).as_object(); }
};

/// `trawl backup WORDS...` in a process of its own, as main() runs it. `kill_after`: SIGINT then.
outcome trawl_backup(std::vector<std::string> words, bool json = true,
                     std::chrono::milliseconds interrupt_after = {}) {
    scratch dir;
    auto const child = ::fork();
    if (child == 0) {
        int const out = ::open((dir / "out").c_str(), O_WRONLY | O_CREAT, 0600);
        int const nowhere = ::open("/dev/null", O_WRONLY);
        ::dup2(out, 1);
        ::dup2(nowhere, 2);
        int code = 99;
        try {
            CLI::App app;
            cli::action chosen;
            cli::add_backup(app, chosen);
            words.insert(words.begin(), "backup");
            std::reverse(words.begin(), words.end()); // as CLI11 wants a vector
            app.parse(words);
            cli::settings settings;
            settings.json = json;
            cli::environment here(settings);
            code = chosen(here);
        } catch (CLI::ParseError const&) {
            code = cli::usage;
        } catch (cli::usage_error const&) {
            code = cli::usage;
        }
        ::_exit(code);
    }
    if (interrupt_after.count() > 0) {
        std::this_thread::sleep_for(interrupt_after);
        ::kill(child, SIGINT);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    outcome seen;
    seen.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    auto const text = get(dir / "out");
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos;
         begin = end + 1)
        seen.lines.push_back(text.substr(begin, end - begin));
    return seen;
}

} // namespace

TEST_CASE("backup run prints an archive record and the summary", "[backup]") {
    scratch dir;
    make_hard_tree(dir / "source");
    auto const source = (dir / "source").string(), backups = (dir / "backups").string();
    auto const full = trawl_backup({"run", source, backups});
    CHECK(full.code == 0);
    REQUIRE(full.lines.size() == 2);
    auto const archive = full.record(0);
    CHECK(archive.at("type") == "archive");
    CHECK(archive.at("verb") == "backup");
    CHECK(archive.at("kind") == "full");
    CHECK(archive.at("errors").as_array().empty());
    CHECK(archive.at("entries").as_int64() + 1 ==
          static_cast<std::int64_t>(look_at(source).size()));
    CHECK(archive.at("bytes_out") == fs::file_size(archive.at("file").as_string().c_str()));
    CHECK(fs::exists(archive.at("manifest").as_string().c_str()));
    auto const summary = full.record(1);
    CHECK(summary.at("type") == "summary");
    CHECK(summary.at("targets") == 1);
    CHECK(summary.at("ok") == 1);
    CHECK(summary.at("failed") == 0);
    CHECK(summary.at("exit") == 0);

    auto const increment = trawl_backup({"run", source, backups, "--incr"});
    CHECK(increment.record(0).at("kind") == "incr");
    CHECK(increment.record(0).at("entries") == 0);
    auto const text = trawl_backup({"run", source, backups, "--full", "--zstd", "--level", "fast",
                                    "--hash", "md5", "--full-on", "wed"},
                                   false);
    CHECK(text.code == 0);
    REQUIRE(text.lines.size() == 1);
    CHECK(text.lines[0].find(".tar.zst: full (asked for), ") != std::string::npos);

    auto const back = trawl_backup({"restore", backups, (dir / "out").string()});
    CHECK(back.code == 0);
    CHECK(back.record(1).at("exit") == 0);
    CHECK(difference(look_at(source), look_at(dir / "out")) == "");
    CHECK(trawl_backup({"restore", backups, (dir / "some").string(), "folder1", "--name", "source"})
              .code == 0);
    CHECK(names(dir / "some") == std::vector<std::string>{"folder1"});

    auto const listed = trawl_backup({"list", backups});
    CHECK(listed.code == 0);
    REQUIRE(listed.lines.size() == 4);
    CHECK(listed.record(0).at("type") == "backup");
    CHECK(listed.record(1).at("kind") == "incr");
    auto const entries = trawl_backup({"list", backups, "a"});
    CHECK(entries.code == 0);
    REQUIRE(entries.lines.size() == 4);
    CHECK(entries.record(1).at("path") == "a/b");
    CHECK(entries.record(1).at("size") == 1);
    CHECK(trawl_backup({"list", backups, "--entries"}, false).lines.size() ==
          look_at(source).size() + 1); // a name with a newline
    CHECK(trawl_backup({"cat", backups, "a-b"}).code == 0);
    CHECK(trawl_backup({"cat", backups, "no such path"}).code == 1);
    auto const verified = trawl_backup({"verify", backups});
    CHECK(verified.code == 0);
    CHECK(verified.record(0).at("archives") == 3);
}

TEST_CASE("the exit code says what was the matter", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 20);
    auto const source = (dir / "source").string(), backups = (dir / "backups").string();
    auto const out = (dir / "out").string();
    CHECK(trawl_backup({"run", source, backups, "--incr"}).code == 10);
    CHECK(trawl_backup({"restore", backups, out}).code == 10);
    CHECK(trawl_backup({"restore", (dir / "missing").string(), out}).code == 10);
    auto const made = trawl_backup({"run", source, backups});
    REQUIRE(made.code == 0);
    CHECK(trawl_backup({"restore", backups, out, "--at", "2001-02-03"}).code == 10);
    CHECK(trawl_backup({"restore", backups, out, "--at", "20010203_040506"}).code == 10);
    CHECK(trawl_backup({"restore", backups, out, "--at", "2999-12-31"}).code == 0);
    CHECK(trawl_backup({"restore", backups, out, "--name", "other"}).code == 10);
    CHECK(trawl_backup({"restore", backups, out, "--at", "soon"}).code == 2);
    CHECK(trawl_backup({"restore", backups, out, "no such path"}).code == 3);
    CHECK(trawl_backup({"run", source, backups, "--name", "a/b"}).code == 2);
    CHECK(trawl_backup({"run", source, backups, "--full", "--incr"}).code == 2);
    CHECK(trawl_backup({"run", source, backups, "--level", "9"}).code == 2);
    CHECK(trawl_backup({"run", source}).code == 2);
    CHECK(trawl_backup({}).code == 2);
    CHECK(trawl_backup({"run", (dir / "missing").string(), backups}).code == 1);
    {
        auto const held = file_lock::try_acquire(dir / "backups" / ".source.lock");
        auto const second = trawl_backup({"run", source, backups});
        CHECK(second.code == 11);
        CHECK(second.record(0).at("exit") == 11); // the summary comes all the same
    }
    fs::path const archive = made.record(0).at("file").as_string().c_str();
    auto bytes = get(archive);
    bytes[bytes.size() / 2] ^= 1;
    put(archive, bytes);
    auto const damaged = trawl_backup({"restore", backups, (dir / "damaged").string()});
    CHECK(damaged.code == 13);
    CHECK_FALSE(damaged.record(0).at("errors").as_array().empty());
    CHECK(trawl_backup({"verify", backups}).code == 13);
}

TEST_CASE("Ctrl-C during a backup: the summary, exit code 130, and no archive", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 20);
    put(dir / "source" / "large", noise(60'000'000));
    auto const stopped =
        trawl_backup({"run", (dir / "source").string(), (dir / "backups").string()}, true,
                     std::chrono::milliseconds(200));
    CHECK(stopped.code == 130);
    REQUIRE(stopped.lines.size() == 1);
    CHECK(stopped.record(0).at("exit") == 130);
    CHECK(names(dir / "backups") == std::vector<std::string>{".source.lock"});
}
