#include "cli/ssh_fixture.hpp"

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

/// A tree, and a server with a place for its backups.
struct backup_lab : known_lab {
    backup_lab() {
        fs::create_directories(source / "deep");
        for (int i = 0; i < 20; ++i)
            write_text(source / "deep" / ("file" + std::to_string(i)), std::string(5000, 'a'));
        write_text(source / "log", std::string(300'000, 'l'));
        key = (folder / "key").string();
    }

    ended backup(texts words, bool json = true) const {
        return run_verb("backup", cli::add_backup, std::move(words), {.json = json});
    }
    /// With the login behind the words.
    ended at_server(texts words) const {
        auto const login = with({});
        words.insert(words.end(), login.begin(), login.end());
        return backup(std::move(words));
    }
    std::string url(std::string const& host) const {
        return "sftp://" + host + (folder / "there").string();
    }
    bool is_back(fs::path const& out) const {
        for (auto const& found : fs::recursive_directory_iterator(source)) {
            auto const other = out / fs::relative(found.path(), source);
            if (!fs::exists(other)) return false;
            if (found.is_regular_file() && read_text(found.path()) != read_text(other))
                return false;
        }
        return true;
    }

    scratch tree;
    fs::path source = tree / "source";
    std::string key;
};

} // namespace

TEST_CASE("every verb of backup works at an sftp:// place, with the options of ssh",
          "[cli][backup][sftp]") {
    backup_lab here;
    auto const place = here.url("127.0.0.1");
    auto const full = here.at_server({"run", here.source.string(), place, "--append-delta"});
    REQUIRE(full.code == cli::all_well);
    auto const made = full.records().at(0);
    CHECK(made.at("kind") == "full");
    CHECK(made.at("file").as_string().starts_with(place + "/source_full_"));
    write_text(here.source / "log", std::string(300'000, 'l') + "more");
    fs::remove(here.source / "deep" / "file7");
    auto const increment =
        here.at_server({"run", here.source.string(), place, "--incr", "--append-delta"});
    REQUIRE(increment.code == cli::all_well);
    CHECK(increment.records().at(0).at("appended") == 1);
    CHECK(increment.records().at(0).at("bytes_in") == 4);
    CHECK(increment.records().at(0).at("deleted") == 1);

    auto const listed = here.at_server({"list", place});
    CHECK(listed.code == cli::all_well);
    CHECK(listed.records().size() == 3);
    auto const entry = here.at_server({"list", place, "log"}).records().at(0);
    CHECK(entry.at("size") == 300'004);
    CHECK(entry.at("parts").as_array().size() == 2);
    auto const one = here.at_server({"cat", place, "log"});
    CHECK(one.code == cli::all_well);
    CHECK(one.out == std::string(300'000, 'l') + "more");
    auto const out = here.folder / "out";
    CHECK(here.at_server({"restore", place, out.string()}).code == cli::all_well);
    CHECK(here.is_back(out));
    CHECK_FALSE(fs::exists(out / "deep" / "file7"));
    auto const seen = here.at_server({"verify", place});
    CHECK(seen.code == cli::all_well);
    CHECK(seen.records().at(0).at("archives") == 2);
    CHECK(here.at_server({"diff", place}).records().size() ==
          2); // what it counted, and the summary
    auto const pruned = here.at_server({"prune", place, "--keep-last", "1"});
    CHECK(pruned.code == cli::all_well);
    CHECK(here.at_server({"verify", place}).code == cli::all_well);
}

TEST_CASE("user and port of the place go before those of the options", "[cli][backup][sftp]") {
    backup_lab here;
    auto const full_place =
        here.url(sshd::user() + "@127.0.0.1:" + std::to_string(here.server.port()));
    auto const at = [&](std::string const& place, texts login) {
        texts words{"run", here.source.string(), place, "--full"};
        words.insert(words.end(), login.begin(), login.end());
        return here.backup(words).code;
    };
    auto const key = here.server.file("user").string();
    auto const port = std::to_string(here.server.port());
    CHECK(at(full_place, {"-F", "none", "-i", key, "--known-hosts", here.known, "-u", "nobody",
                          "-p", "1"}) == cli::all_well);
    // As ssh_config has it, by a file or by -o.
    write_text(here.folder / "config", "Host nas\n  HostName 127.0.0.1\n  Port " + port +
                                           "\n  IdentityFile " + key + "\n  UserKnownHostsFile " +
                                           here.known + "\n");
    auto const by_name = here.url(sshd::user() + "@nas");
    CHECK(at(by_name, {"-F", (here.folder / "config").string()}) == cli::all_well);
    CHECK(at(by_name, {"-F", "none", "-i", key, "--known-hosts", here.known, "-o",
                       "HostName=127.0.0.1", "-o", "Port=" + port}) == cli::all_well);
    // Through the server itself.
    CHECK(at(full_place, {"-F", "none", "-i", key, "--known-hosts", here.known, "-J",
                          sshd::user() + "@127.0.0.2:" + port}) == cli::all_well);
    CHECK(at(full_place, {"-F", "none", "-i", here.server.file("stranger").string(),
                          "--known-hosts", here.known}) == cli::some_failed);
    write_text(here.folder / "empty", "");
    CHECK(at(full_place, {"-F", "none", "-i", key, "--known-hosts",
                          (here.folder / "empty").string()}) == cli::some_failed);
    CHECK(at(here.url("127.0.0.1:x"), {}) == cli::usage);
}

TEST_CASE("encrypted backups are read with their key and nothing is without, here and on a server",
          "[cli][backup][sftp]") {
    backup_lab here;
    REQUIRE(here.backup({"keygen", here.key}).code == cli::all_well);
    auto const other = (here.folder / "other").string();
    REQUIRE(here.backup({"keygen", other}).code == cli::all_well);
    struct place {
        std::string where;
        texts login;
    };
    auto const folder = (here.folder / "local").string();
    std::vector<place> const places{{folder, {}}, {here.url("127.0.0.1"), here.with({})}};
    for (auto const& at : places) {
        auto const& where = at.where;
        INFO(where);
        auto const verb = [&](texts words) {
            words.insert(words.end(), at.login.begin(), at.login.end());
            return here.backup(std::move(words));
        };
        CHECK(verb({"run", here.source.string(), where, "--encrypt", here.key}).code ==
              cli::all_well);
        write_text(here.source / "log", read_text(here.source / "log") + "x");
        auto const made = verb({"run", here.source.string(), where, "--incr", "--append-delta",
                                "--encrypt", here.key});
        CHECK(made.code == cli::all_well);
        CHECK(made.records().at(0).at("bytes_in") == 1);
        auto const listed = verb({"list", where, "--key", here.key});
        CHECK(listed.records().size() == 3);
        CHECK(verb({"list", where}).code == cli::bad_secret);
        CHECK(verb({"list", where, "--key", other}).code == cli::bad_secret);
        CHECK(verb({"cat", where, "log", "--key", here.key}).out == read_text(here.source / "log"));
        CHECK(verb({"verify", where, "--key", here.key}).code == cli::all_well);
        auto const out = here.folder / ("out" + std::to_string(at.login.size()));
        CHECK(verb({"restore", where, out.string(), "--key", other}).code == cli::bad_secret);
        CHECK_FALSE(fs::exists(out));
        CHECK(verb({"restore", where, out.string(), "--key", here.key}).code == cli::all_well);
        CHECK(here.is_back(out));
        CHECK(verb({"run", here.source.string(), where, "--incr"}).code == cli::bad_secret);
    }
    for (auto const& found : fs::directory_iterator(here.folder / "there"))
        CHECK(found.path().extension() == ".enc");
}
