#include "ssh/fixture.hpp"

#include <trawl/sftp.hpp>

#include <random>
#include <sys/resource.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

/// Runs `body(client)` on a session with the real server.
void with_client(std::function<awaitable<>(sftp::client&)> body,
                 sftp::options how = sftp::options()) {
    auto all = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        auto files = co_await sftp::open(host, how);
        co_await body(files);
    };
    run(all);
}

sftp::failure sftp_failure_of(std::function<awaitable<>(sftp::client&)> body) {
    try {
        with_client(body);
    } catch (sftp::failure const& thrown) {
        return thrown;
    }
    FAIL("no sftp::failure was thrown");
    throw std::logic_error("unreachable");
}

std::string noise(std::size_t size, unsigned seed = 1) {
    std::mt19937 chance(seed);
    std::string bytes(size, '\0');
    for (auto& c : bytes) c = static_cast<char>(chance());
    return bytes;
}

std::vector<std::string> names_in(fs::path const& folder) {
    std::vector<std::string> found;
    for (auto const& e : fs::recursive_directory_iterator(folder))
        found.push_back(e.path().lexically_relative(folder).string());
    std::sort(found.begin(), found.end());
    return found;
}

} // namespace

TEST_CASE("a file goes up and comes back as it was", "[sftp]") {
    for (std::size_t const size :
         {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{32767}, std::size_t{32768},
          std::size_t{32769}, std::size_t{262144}, std::size_t{5'000'001}}) {
        INFO(size);
        scratch folder;
        write_text(folder / "here", noise(size));
        auto body = [&](sftp::client& files) -> awaitable<> {
            auto const there = (folder / "there").string();
            auto const up = co_await files.put(folder / "here", there);
            CHECK(up.files == 1);
            CHECK(up.bytes == size);
            auto const down = co_await files.get(there, folder / "back");
            CHECK(down.bytes == size);
        };
        with_client(body);
        CHECK(read_text(folder / "there") == noise(size));
        CHECK(read_text(folder / "back") == noise(size));
        CHECK(names_in(folder.path()) == std::vector<std::string>{"back", "here", "there"});
    }
}

TEST_CASE("a new file replaces the old one, also read-only and through its mode", "[sftp]") {
    scratch folder;
    write_text(folder / "here", "new");
    write_text(folder / "there", "old and longer");
    fs::permissions(folder / "here", fs::perms::owner_read | fs::perms::owner_exec);
    auto body = [&](sftp::client& files) -> awaitable<> {
        co_await files.put(folder / "here", (folder / "there").string());
        co_await files.get((folder / "there").string(), folder / "back");
    };
    with_client(body);
    for (auto const* name : {"there", "back"}) {
        CHECK(read_text(folder / name) == "new");
        CHECK(fs::status(folder / name).permissions() ==
              (fs::perms::owner_read | fs::perms::owner_exec));
    }
}

TEST_CASE("a file without a size, as in /proc, is read to its end", "[sftp]") {
    scratch folder;
    auto body = [&](sftp::client& files) -> awaitable<> {
        co_await files.get("/proc/self/limits", folder / "limits");
    };
    with_client(body);
    CHECK(read_text(folder / "limits").find("Max open files") != std::string::npos);
}

TEST_CASE("folders are made, listed, renamed and removed", "[sftp]") {
    scratch folder;
    auto const at = [&](char const* name) { return (folder / name).string(); };
    auto body = [&](sftp::client& files) -> awaitable<> {
        co_await files.mkdir(at("new"), 0750);
        auto const made = co_await files.stat(at("new"));
        CHECK(made.is_folder());
        CHECK((*made.permissions & 0777) == 0750);
        write_text(folder / "new/a", "aa");
        co_await files.symlink("a", at("new/link"));
        co_await files.hardlink(at("new/a"), at("new/hard"));
        auto const target = co_await files.readlink(at("new/link"));
        CHECK(target == "a");
        auto const link = co_await files.lstat(at("new/link"));
        CHECK(link.is_symlink());
        auto const through = co_await files.stat(at("new/link"));
        CHECK(through.is_regular());
        CHECK(through.size == 2u);
        auto all = co_await files.listdir(at("new"));
        std::sort(all.begin(), all.end(),
                  [](auto const& x, auto const& y) { return x.name < y.name; });
        REQUIRE(all.size() == 3);
        CHECK(all[0].name == "a");
        CHECK(all[1].name == "hard");
        CHECK(all[2].attrs.is_symlink());
        write_text(folder / "new/b", "b");
        co_await files.rename(at("new/a"), at("new/b")); // replaces
        co_await files.remove(at("new/link"));
        co_await files.remove(at("new/hard"));
        co_await files.rename(at("new"), at("newer"));
        auto const real = co_await files.realpath(at("newer/../newer/b"));
        CHECK(real == fs::canonical(folder / "newer/b").string());
        auto const space = co_await files.statvfs(at("newer"));
        CHECK(space.blocks >= space.available_blocks);
        CHECK(space.longest_name > 0);
        sftp::attributes wanted;
        wanted.permissions = 0600;
        wanted.times = sftp::file_times{1'000'000'000, 1'000'000'001};
        co_await files.set_attributes(at("newer/b"), wanted);
        auto const set = co_await files.stat(at("newer/b"));
        CHECK(set.times == wanted.times);
    };
    with_client(body);
    CHECK(read_text(folder / "newer/b") == "aa");
    auto remove = [&](sftp::client& files) -> awaitable<> {
        co_await files.remove(at("newer/b"));
        co_await files.rmdir(at("newer"));
    };
    with_client(remove);
    CHECK(names_in(folder.path()).empty());
}

TEST_CASE("a folder of more names than fit one answer is listed whole", "[sftp]") {
    scratch folder;
    for (int i = 0; i < 700; ++i) write_text(folder / ("file" + std::to_string(i)), "");
    auto body = [&](sftp::client& files) -> awaitable<> {
        auto const all = co_await files.listdir(folder.path().string());
        CHECK(all.size() == 700);
    };
    with_client(body);
    sftp::options few;
    few.max_entries = 500;
    auto too_many = [&](sftp::client& files) -> awaitable<> {
        co_await files.listdir(folder.path().string());
    };
    try {
        with_client(too_many, few);
        FAIL("accepted");
    } catch (sftp::failure const& thrown) {
        CHECK(thrown.code() == sftp::errc::limit);
    }
}

TEST_CASE("a failure has the server's status and words, and names the path", "[sftp]") {
    auto missing = [](sftp::client& files) -> awaitable<> { co_await files.stat("/no/such"); };
    auto const thrown = sftp_failure_of(missing);
    CHECK(thrown.code() == sftp::errc::no_such_file);
    CHECK(thrown.word() == "no_such_file");
    CHECK(thrown.path() == "/no/such");
    CHECK(thrown.said() == "No such file");
    CHECK(std::string(thrown.what()) == "sftp 127.0.0.1:" + std::to_string(server().port()) +
                                            " stat /no/such: no such file (No such file)");

    scratch folder;
    write_text(folder / "here", "x");
    auto nowhere = [&](sftp::client& files) -> awaitable<> {
        co_await files.put(folder / "here", "/no/such/file");
    };
    CHECK(sftp_failure_of(nowhere).code() == sftp::errc::no_such_file);
    auto a_folder = [&](sftp::client& files) -> awaitable<> {
        co_await files.get(folder.path().string(), folder / "x");
    };
    CHECK(sftp_failure_of(a_folder).code() == sftp::errc::is_folder);
    auto a_device = [&](sftp::client& files) -> awaitable<> {
        co_await files.get("/dev/null", folder / "x");
    };
    CHECK(sftp_failure_of(a_device).code() == sftp::errc::not_regular);
}

TEST_CASE("a missing local file is an error with the system's code", "[sftp]") {
    scratch folder;
    auto body = [&](sftp::client& files) -> awaitable<> {
        co_await files.put(folder / "none", (folder / "there").string());
    };
    try {
        with_client(body);
        FAIL("put what is not there");
    } catch (trawl::error const& thrown) {
        CHECK(thrown.code() == std::errc::no_such_file_or_directory);
        CHECK(std::string(thrown.what()).find((folder / "none").string()) != std::string::npos);
    }
}

TEST_CASE("a tree goes up and comes back, with modes and times where that is wanted", "[sftp]") {
    scratch folder;
    fs::create_directories(folder / "tree/deep/deeper");
    fs::create_directories(folder / "tree/empty");
    for (int i = 0; i < 150; ++i)
        write_text(folder / ("tree/deep/f" + std::to_string(i)), noise(100, unsigned(i)));
    write_text(folder / "tree/deep/deeper/big", noise(300'000));
    fs::permissions(folder / "tree/deep/deeper/big", fs::perms::owner_read);
    fs::permissions(folder / "tree/deep", fs::perms::owner_all | fs::perms::group_read);
    fs::create_symlink("deep/f1", folder / "tree/link");
    fs::create_directory_symlink("..", folder / "tree/up"); // a loop when followed
    auto const old = fs::file_time_type::clock::now() - std::chrono::hours(1000);
    fs::last_write_time(folder / "tree/deep/f7", old);
    fs::last_write_time(folder / "tree/deep", old);

    sftp::transfer_options how;
    how.recursive = how.preserve = true;
    auto body = [&](sftp::client& files) -> awaitable<> {
        auto const up = co_await files.put(folder / "tree", (folder / "there").string(), how);
        CHECK(up.files == 152);
        CHECK(up.skipped == 1);
        auto const down = co_await files.get((folder / "there").string(), folder / "back", how);
        CHECK(down.files == 152);
    };
    with_client(body);
    auto wanted = names_in(folder / "tree");
    std::erase(wanted, "up");
    for (auto const* copy : {"there", "back"}) {
        INFO(copy);
        CHECK(names_in(folder / copy) == wanted);
        for (int i = 0; i < 150; ++i)
            CHECK(read_text(folder / copy / "deep" / ("f" + std::to_string(i))) ==
                  noise(100, unsigned(i)));
        CHECK(read_text(folder / copy / "deep/deeper/big") == noise(300'000));
        CHECK(read_text(folder / copy / "link") == noise(100, 1));
        CHECK(fs::status(folder / copy / "deep/deeper/big").permissions() == fs::perms::owner_read);
        CHECK(fs::status(folder / copy / "deep").permissions() ==
              (fs::perms::owner_all | fs::perms::group_read));
        for (auto const* name : {"deep/f7", "deep"}) {
            auto const off = fs::last_write_time(folder / copy / name) - old;
            CHECK(std::chrono::abs(off) <= 1s); // the protocol has whole seconds
        }
    }
}

TEST_CASE("a pattern is matched on the server", "[sftp]") {
    scratch folder;
    for (auto const* name : {"a1", "a2", "b1"}) {
        fs::create_directory(folder / name);
        write_text(folder / name / "x.log", "x");
        write_text(folder / name / ".hidden", "x");
    }
    write_text(folder / "a2/y.log", "y");
    auto const at = [&](std::string const& name) { return (folder / name).string(); };
    auto body = [&](sftp::client& files) -> awaitable<> {
        using texts = std::vector<std::string>;
        auto found = co_await files.glob(at("a?/*.log"));
        CHECK(found == texts{at("a1/x.log"), at("a2/x.log"), at("a2/y.log")});
        found = co_await files.glob(at("*/y.log")); // not all of them have it
        CHECK(found == texts{at("a2/y.log")});
        found = co_await files.glob(at("[b-z]*"));
        CHECK(found == texts{at("b1")});
        found = co_await files.glob(at("none*"));
        CHECK(found.empty());
        found = co_await files.glob(at("plain"));
        CHECK(found == texts{at("plain")});
        found = co_await files.glob(at("a1/.h*"));
        CHECK(found == texts{at("a1/.hidden")});
    };
    with_client(body);
}

TEST_CASE("a transfer goes on where an interrupted one ended", "[sftp]") {
    scratch folder;
    auto const whole = noise(1'000'000);
    write_text(folder / "here", whole);
    sftp::transfer_options how;
    how.resume = true;
    struct attempt {
        std::string left;
        std::uint64_t sent;
    };
    for (auto const& [left, sent] :
         {attempt{whole.substr(0, 600'000), 400'000}, attempt{noise(600'000, 2), 1'000'000},
          attempt{whole + "more", 1'000'000}, attempt{whole, 0}, attempt{"", 1'000'000}}) {
        write_text(folder / ".there.trawl-part", left);
        write_text(folder / ".back.trawl-part", left);
        auto body = [&, sent = sent](sftp::client& files) -> awaitable<> {
            auto const up = co_await files.put(folder / "here", (folder / "there").string(), how);
            CHECK(up.bytes == sent);
            auto const down = co_await files.get((folder / "there").string(), folder / "back", how);
            CHECK(down.bytes == sent);
        };
        with_client(body);
        CHECK(read_text(folder / "there") == whole);
        CHECK(read_text(folder / "back") == whole);
        CHECK(names_in(folder.path()) == std::vector<std::string>{"back", "here", "there"});
    }
}

TEST_CASE("cancelling leaves no file and a client that works", "[sftp]") {
    scratch folder;
    write_text(folder / "here", noise(40'000'000));
    auto const there = (folder / "there").string();
    auto body = [&](sftp::client& files) -> awaitable<> {
        for (auto const limit : {1ms, 5ms, 20ms}) {
            auto up = files.put(folder / "here", there);
            bool const whole = co_await within(
                limit, [](auto work) -> awaitable<> { co_await std::move(work); }(std::move(up)));
            if (whole) continue;
            auto const all = co_await files.listdir(folder.path().string());
            CHECK(all.size() == 1);
        }
        auto down = files.get((folder / "here").string(), folder / "back");
        co_await within(
            5ms, [](auto work) -> awaitable<> { co_await std::move(work); }(std::move(down)));
        auto const all = co_await files.listdir(folder.path().string());
        CHECK(all.size() == 1);
    };
    with_client(body);
}

TEST_CASE("commands and transfers share a session", "[sftp]") {
    scratch folder;
    write_text(folder / "here", noise(1'000'000));
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options());
        co_await host.connect();
        auto files = co_await sftp::open(host);
        auto all = [&](task_group& group) -> awaitable<> {
            auto command = [&]() -> awaitable<> {
                auto const done = co_await host.exec("seq 10000 | tail -1");
                CHECK(done.out == "10000\n");
            };
            auto transfer = [&]() -> awaitable<> {
                co_await files.put(folder / "here", (folder / "there").string());
            };
            group.spawn(command());
            group.spawn(transfer());
            co_return;
        };
        co_await with_group(all);
        co_await host.disconnect();
        std::exception_ptr failed;
        try {
            co_await files.stat("/");
        } catch (ssh::failure const& gone) {
            CHECK(gone.code() == ssh::errc::disconnected);
            failed = std::current_exception();
        }
        CHECK(failed);
    };
    run(body);
    CHECK(read_text(folder / "there") == noise(1'000'000));
}

TEST_CASE("SFTP waits for a channel of a server that has few", "[sftp]") {
    sshd few("MaxSessions 1");
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, good_options(few));
        co_await host.connect();
        bool opened = false;
        auto transfer = [&]() -> awaitable<> {
            auto files = co_await sftp::open(host);
            opened = true;
            co_await files.stat("/");
        };
        auto all = [&](task_group& group) -> awaitable<> {
            auto command = co_await host.start("cat");
            group.spawn(transfer()); // the server is asked, and refuses
            command.close_input();
            co_await command.wait();
            CHECK_FALSE(opened);
        };
        co_await with_group(all);
        CHECK(opened);
    };
    run(body);
}
