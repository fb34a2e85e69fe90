#include "peers/faulty_proxy.hpp"
#include "peers/sshd.hpp"
#include "plan/lock_owner.hpp"

#include <trawl/backup.hpp>
#include <trawl/plan.hpp>
#include <trawl/plan_sftp_store.hpp>

#include <asio/this_coro.hpp>

#include <algorithm>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

sshd& server() {
    static sshd instance;
    return instance;
}

ssh::options login(std::uint16_t port) {
    ssh::options how{.host = "127.0.0.1"};
    how.port = port;
    how.user = sshd::user();
    how.identities = {ssh::load_private_key(server().file("user"))};
    how.known = std::make_shared<ssh::host_keys>();
    how.known->parse(server().known_hosts_line(), "test");
    how.policy = ssh::host_key_policy::warn; // a proxy has another port
    return how;
}

plan::sftp_place place_of(fs::path const& folder) {
    plan::sftp_place place;
    place.host = "127.0.0.1";
    place.path = folder.string();
    return place;
}

using store_ptr = std::shared_ptr<backup::store>;
using work = std::function<awaitable<>(offload_pool&, store_ptr)>;

awaitable<> with_store(std::uint16_t port, fs::path const& folder, work const& body) {
    auto executor = co_await asio::this_coro::executor;
    auto const how = login(port);
    ssh::session session(executor, how);
    co_await session.connect();
    auto files = co_await sftp::open(session);
    auto const place = place_of(folder);
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    co_await body(pool, plan::sftp_store(executor, files, place));
}

void at_server(fs::path const& folder, work const& body) {
    auto all = [&]() -> awaitable<> { return with_store(server().port(), folder, body); };
    run(all);
}

std::string noise(std::size_t size, unsigned seed) {
    std::string bytes(size, '\0');
    std::uint32_t x = seed * 2654435761u + 1;
    for (auto& c : bytes) {
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        c = static_cast<char>(x);
    }
    return bytes;
}

void make_tree(fs::path const& root, unsigned seed) {
    fs::create_directories(root / "deep/er");
    for (unsigned i = 0; i < 50; ++i)
        write_text(root / "deep" / ("file" + std::to_string(i)), noise(i * 97, i));
    write_text(root / "deep/er/large", noise(3'000'000, seed));
    fs::create_symlink("deep/file1", root / "link");
}

std::map<std::string, std::string> contents(fs::path const& folder) {
    std::map<std::string, std::string> all;
    for (auto const& each : fs::recursive_directory_iterator(folder))
        if (each.is_regular_file() && !each.is_symlink())
            all[fs::relative(each.path(), folder).string()] = read_text(each.path());
    return all;
}

backup::options from(fs::path const& source, int day) {
    backup::options o;
    o.source = source;
    o.name = "tree";
    o.what = day == 0 ? backup::kind::full : backup::kind::incremental;
    o.now = [day] {
        return std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000)) +
               std::chrono::days(day);
    };
    return o;
}

bool is_whole_gzip(fs::path const& file, scratch const& dir) {
    int status = 0;
    ::waitpid(spawn({"/usr/bin/gzip", "-t", file.string()}, dir / "gzip.log"), &status, 0);
    return status == 0;
}

/// What both places have, but for the lock that only a folder keeps.
std::map<std::string, std::string> archives(fs::path const& folder) {
    auto all = contents(folder);
    all.erase(".tree.lock");
    return all;
}

} // namespace

TEST_CASE("a backup on a server has the bytes of one in a folder, full and incremental",
          "[backup][sftp]") {
    scratch dir;
    make_tree(dir / "source", 1);
    work const body = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
        for (int day = 0; day < 3; ++day) {
            auto o = from(dir / "source", day);
            o.destination = dir / "local";
            auto const here = co_await backup::run(pool, o);
            o.destination.clear();
            o.store = store;
            auto const there = co_await backup::run(pool, o);
            CHECK(there.errors.empty());
            CHECK(there.entries == here.entries);
            CHECK(there.file.string().starts_with("sftp://127.0.0.1" + dir.path().string()));
            write_text(dir / "source/deep/file7", noise(5000, static_cast<unsigned>(day)));
            fs::remove(dir / ("source/deep/file" + std::to_string(20 + day)));
        }
    };
    at_server(dir / "there/be/dragons", body);
    auto const expected = archives(dir / "local");
    CHECK(expected.size() == 7);
    auto const found = archives(dir / "there/be/dragons");
    for (auto const& [name, bytes] : expected) {
        INFO(name);
        // Times when a walk began are in the manifests, the rest is the same.
        if (name.ends_with(".gz")) CHECK((found.count(name) && found.at(name) == bytes));
        CHECK(found.count(name) == 1);
    }
    CHECK(found.size() == expected.size()); // no temporary file, no lock
}

TEST_CASE("what is on a server is restored, listed, verified, written out and pruned from there",
          "[backup][sftp]") {
    scratch dir;
    make_tree(dir / "source", 2);
    work const body = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
        for (int day = 0; day < 2; ++day) {
            auto o = from(dir / "source", day);
            o.store = store;
            co_await backup::run(pool, o);
            if (day == 0) write_text(dir / "source/deep/file7", "newer");
        }
        backup::restore_options back;
        back.store = store;
        back.target = dir / "out";
        auto const restored = co_await backup::restore(pool, back);
        CHECK(restored.errors.empty());
        backup::list_options which;
        which.store = store;
        auto const listed = co_await backup::list(pool, which);
        CHECK(listed.size() == 2);
        for (auto const& each : listed) CHECK(each.damage.empty());
        backup::verify_options look;
        look.store = store;
        auto const seen = co_await backup::verify(pool, look);
        CHECK(seen.errors.empty());
        CHECK(seen.archives == 2);
        std::string content;
        backup::cat_options one;
        one.store = store;
        one.path = "deep/file7";
        auto take = [&](std::string_view bytes) { content += bytes; };
        co_await backup::cat(pool, one, take);
        CHECK(content == "newer");
        backup::diff_options changes;
        changes.store = store;
        auto nothing = [](backup::change const&) {};
        auto const different = co_await backup::diff(pool, changes, nothing);
        CHECK(different.changed + different.added + different.removed == 0);
        auto again = from(dir / "source", 9);
        again.what = backup::kind::full;
        again.store = store;
        co_await backup::run(pool, again);
        backup::prune_options old;
        old.store = store;
        old.rules.keep_last = 1;
        auto const pruned = co_await backup::prune(pool, old);
        CHECK(pruned.removed.size() == 2);
    };
    at_server(dir / "there", body);
    CHECK(contents(dir / "out") == contents(dir / "source"));
    CHECK(archives(dir / "there").size() == 3);
}

TEST_CASE("a connection that is cut anywhere leaves nothing under a final name but what is whole",
          "[backup][sftp]") {
    scratch dir;
    make_tree(dir / "source", 3);
    auto const there = dir / "there";
    int cut = 0;
    for (std::size_t const after :
         {30'000u, 200'000u, 1'000'000u, 2'000'000u, 3'050'000u, 3'100'000u}) {
        bool failed = false;
        auto const everything = [&](task_group& group) -> awaitable<> {
            auto executor = co_await asio::this_coro::executor;
            asio::ip::tcp::endpoint const target(asio::ip::address_v4::loopback(), server().port());
            faulty_proxy::fault const fault{faulty_proxy::kind::cut, false, after};
            faulty_proxy proxy(executor, target, [fault] { return fault; });
            group.spawn_background(proxy.serve());
            work const body = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
                auto o = from(dir / "source", 0);
                o.store = store;
                co_await backup::run(pool, o);
            };
            try {
                co_await with_store(proxy.port(), there, body);
            } catch (error const&) {
                failed = true;
            }
        };
        auto all = [&]() -> awaitable<> { co_await with_group(everything); };
        run(all);
        cut += failed;
        if (!fs::exists(there)) continue;
        std::vector<std::string> finals;
        for (auto const& [name, bytes] : contents(there))
            if (!name.starts_with('.')) finals.push_back(name);
        if (failed) {
            // The archive comes first, then its manifest: what has a name is whole.
            bool const manifest = std::any_of(finals.begin(), finals.end(), [](auto const& name) {
                return name.ends_with(".manifest.json");
            });
            for (auto const& name : finals)
                if (name.ends_with(".gz")) CHECK(is_whole_gzip(there / name, dir));
            if (manifest) CHECK(finals.size() >= 2);
        }
        fs::remove_all(there);
    }
    CHECK(cut >= 4);
    // The run after a cut needs no help, though the lock and the partial file were left behind.
    fs::create_directories(there);
    write_text(there / ".tree.archive.partial", "left behind");
    auto dead = plan::lock_owner::self();
    dead.started += 1;
    write_text(there / ".tree.lock", dead.text());
    work const again = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
        auto o = from(dir / "source", 0);
        o.store = store;
        auto const made = co_await backup::run(pool, o);
        CHECK(made.errors.empty());
    };
    at_server(there, again);
    CHECK(archives(there).size() == 3);
}

TEST_CASE("a place on a server is locked by a process that lives, or on another machine",
          "[backup][sftp]") {
    scratch dir;
    make_tree(dir / "source", 4);
    fs::create_directories(dir / "there");
    auto owner = plan::lock_owner::self();
    auto elsewhere = owner;
    elsewhere.host = "elsewhere";
    elsewhere.pid = 1 << 30;
    for (auto const& by : {owner, elsewhere}) {
        write_text(dir / "there/.tree.lock", by.text());
        std::string said;
        std::error_code code;
        work const body = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
            auto o = from(dir / "source", 0);
            o.store = store;
            try {
                co_await backup::run(pool, o);
            } catch (error const& failure) {
                code = failure.code();
                said = failure.what();
            }
        };
        at_server(dir / "there", body);
        CHECK(code == backup::errc::locked);
        CHECK(said.find(std::to_string(by.pid)) != std::string::npos);
        CHECK(read_text(dir / "there/.tree.lock") == by.text());
        CHECK(contents(dir / "there").size() == 1);
    }
}

namespace {

/// Whether each of `stores` got the lock of the folder, which all asked for at once.
awaitable<std::vector<std::unique_ptr<backup::store_lock>>>
ask_all_for_the_lock(offload_pool& pool, std::vector<store_ptr> const& stores) {
    std::vector<std::unique_ptr<backup::store_lock>> got(stores.size());
    std::function<awaitable<>(task_group&)> body = [&](task_group& group) -> awaitable<> {
        for (std::size_t i = 0; i < stores.size(); ++i) {
            auto one = [&, i]() -> awaitable<> {
                auto ask = [&, i] {
                    try {
                        got[i] = stores[i]->lock(".tree.lock");
                    } catch (error const& failure) {
                        if (failure.code() != backup::errc::locked) throw;
                    }
                };
                co_await pool.run(ask);
            };
            group.spawn(one());
        }
        co_return;
    };
    co_await with_group(body);
    co_return got;
}

} // namespace

TEST_CASE("of several runs that find the lock of a dead one on a server exactly one gets it",
          "[backup][sftp]") {
    constexpr std::size_t runs = 6;
    scratch dir;
    auto dead = plan::lock_owner::self();
    dead.started += 1;
    auto body = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        offload_pool pool(offload_pool::options{runs, "test", nullptr});
        auto const how = login(server().port());
        std::list<ssh::session> sessions;
        std::list<sftp::client> clients;
        std::vector<store_ptr> stores;
        for (std::size_t i = 0; i < runs; ++i) {
            auto& session = sessions.emplace_back(executor, how);
            co_await session.connect();
            auto files = co_await sftp::open(session);
            clients.push_back(std::move(files));
            stores.push_back(plan::sftp_store(executor, clients.back(), place_of(dir.path())));
        }
        for (int round = 0; round < 60; ++round) {
            INFO("round " << round);
            write_text(dir / ".tree.lock", dead.text());
            // A run may have died when it was about to take the place of another one.
            if (round % 2 == 1) write_text(dir / ".tree.lock.next", dead.text());
            auto got = co_await ask_all_for_the_lock(pool, stores);
            auto const winners = std::count_if(got.begin(), got.end(),
                                               [](auto const& lock) { return lock != nullptr; });
            CHECK(winners == 1);
            CHECK(read_text(dir / ".tree.lock") == plan::lock_owner::self().text());
            auto release = [&got] { got.clear(); };
            co_await pool.run(release);
            CHECK(fs::is_empty(dir.path()));
        }
    };
    run(body);
}

TEST_CASE("a lock on a server that names nobody is left alone, and what to do is said",
          "[backup][sftp]") {
    scratch dir;
    write_text(dir / ".tree.lock", "");
    std::string said;
    work const body = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
        auto ask = [&] {
            try {
                store->lock(".tree.lock");
            } catch (error const& failure) {
                if (failure.code() == backup::errc::locked) said = failure.what();
            }
        };
        co_await pool.run(ask);
    };
    at_server(dir.path(), body);
    CHECK(said.find("remove the file") != std::string::npos);
    CHECK(fs::exists(dir / ".tree.lock"));
}

TEST_CASE("a server's folder that is missing, or no folder, is said so", "[backup][sftp]") {
    scratch dir;
    write_text(dir / "file", "x");
    auto const code_at = [&](fs::path const& folder) {
        std::error_code code;
        work const body = [&](offload_pool& pool, store_ptr store) -> awaitable<> {
            backup::list_options o;
            o.store = store;
            try {
                co_await backup::list(pool, o);
            } catch (error const& failure) {
                code = failure.code();
            }
        };
        at_server(folder, body);
        return code;
    };
    CHECK(code_at(dir / "missing") == backup::errc::no_such_archive);
    CHECK(code_at(dir / "file") == std::errc::not_a_directory);
}

TEST_CASE("a place on a server is written as a URL, and never with a password", "[plan]") {
    auto const parsed = [](std::string_view text) { return plan::parse_sftp_place(text); };
    CHECK_FALSE(parsed("/srv/backups"));
    CHECK_FALSE(parsed("./sftp:/x"));
    auto const full = parsed("sftp://bob@nas.example:2222/srv/backups/");
    REQUIRE(full);
    CHECK(full->user == "bob");
    CHECK(full->host == "nas.example");
    CHECK(full->port == 2222);
    CHECK(full->path == "/srv/backups");
    CHECK(full->url() == "sftp://bob@nas.example:2222/srv/backups");
    auto const home = parsed("sftp://[::1]/~/backups");
    REQUIRE(home);
    CHECK(home->host == "::1");
    CHECK(home->path == "backups");
    CHECK(home->url() == "sftp://[::1]/~/backups");
    for (auto const* bad : {"sftp:/x", "sftp:host/x", "sftp://", "sftp://host", "sftp://host/",
                            "sftp:///path", "sftp://@h/p", "sftp://a,b/p", "sftp://h:0/p"}) {
        INFO(bad);
        CHECK_THROWS_AS(parsed(bad), error);
    }
    try {
        parsed("sftp://bob:secret@host/path");
        FAIL("a password was taken");
    } catch (error const& refused) {
        CHECK(std::string(refused.what()).find("secret") == std::string::npos);
    }
}

TEST_CASE("a lock's owner is one line, and another process of its number is not it", "[plan]") {
    auto const self = plan::lock_owner::self();
    auto const again = plan::lock_owner::parse(self.text());
    REQUIRE(again);
    CHECK(again->pid == self.pid);
    CHECK(again->started == self.started);
    CHECK_FALSE(again->is_gone());
    auto other = self;
    other.started += 5;
    CHECK(other.is_gone());
    other.host = "elsewhere";
    CHECK_FALSE(other.is_gone());
    for (auto const* bad : {"", "\n", "a b c d e", "a b c 0 1", "a b c -3 1", "a b c 1"})
        CHECK_FALSE(plan::lock_owner::parse(bad));
}

TEST_CASE("a plan's backup goes to a server with the login of [ssh], or its own", "[plan][sftp]") {
    scratch dir;
    make_tree(dir / "source", 5);
    write_text(dir / "known", server().known_hosts_line());
    auto const text = "[[backup]]\nsource = \"source\"\nname = \"tree\"\ndestination = \"sftp://" +
                      sshd::user() + "@127.0.0.1:" + std::to_string(server().port()) +
                      (dir / "there").string() + "\"\nidentity = \"" +
                      server().file("user").string() + "\"\nknown_hosts = \"known\"\n";
    auto const job = plan::parse(text, "test.toml", dir.path());
    REQUIRE(job.backups.size() == 1);
    REQUIRE(job.backups[0].server);
    CHECK(job.backups[0].login.port == server().port());
    struct : plan::listener {
        void archive(std::string const& name, backup::report const& made) override {
            names.push_back(name);
            file = made.file.string();
        }
        void archive_failed(std::string const&, std::string const& why) override {
            UNSCOPED_INFO(why);
        }
        std::vector<std::string> names;
        std::string file;
    } seen;
    auto body = [&]() -> awaitable<> {
        offload_pool cpu, blocking;
        plan::runner::services with{cpu, blocking, seen};
        plan::runner all(job, with);
        co_await all.run();
    };
    run(body);
    CHECK(seen.names == std::vector<std::string>{"tree"});
    CHECK(seen.file.starts_with("sftp://"));
    CHECK(archives(dir / "there").size() == 3);
}
