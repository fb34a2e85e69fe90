// From server to server: two sessions with one real server.
#include "ssh/fixture.hpp"

#include <trawl/sftp.hpp>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

std::string noise(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 11);
    return bytes;
}

/// Copies `from` to `to`, with a client each or (`one`) the same.
sftp::transferred copied(fs::path const& from, fs::path const& to, sftp::transfer_options how,
                         sftp::options reading = {}, sftp::options writing = {}, bool one = false) {
    sftp::transferred done;
    auto body = [&]() -> awaitable<> {
        auto const executor = co_await asio::this_coro::executor;
        ssh::session a(executor, good_options()), b(executor, good_options());
        co_await a.connect();
        co_await b.connect();
        auto source = co_await sftp::open(a, reading);
        auto target = co_await sftp::open(b, writing);
        done = co_await sftp::copy(source, from.string(), one ? source : target, to.string(), how);
    };
    run(body, 60s);
    return done;
}

std::error_code failure(fs::path const& from, fs::path const& to, sftp::transfer_options how) {
    try {
        copied(from, to, how);
    } catch (sftp::failure const& thrown) {
        return thrown.code();
    }
    return {};
}

} // namespace

TEST_CASE("a file goes from server to server, whatever the blocks and budgets of both", "[sftp]") {
    scratch folder;
    sftp::transfer_options const how;
    for (std::size_t const size : {0u, 1u, 32768u, 1'000'001u}) {
        write_text(folder / "a", noise(size));
        for (std::size_t const block : {4096u, 32768u})
            for (std::size_t const requests : {1u, 64u})
                for (bool const one : {false, true}) {
                    INFO(size << " bytes, blocks of " << block << ", " << requests << " requests");
                    sftp::options reading, writing;
                    reading.requests = requests, writing.requests = 65 - requests;
                    writing.block = block, reading.block = 36864 - block;
                    auto const done =
                        copied(folder / "a", folder / "b", how, reading, writing, one);
                    CHECK(done.files == 1);
                    CHECK(done.bytes == size);
                    CHECK((read_text(folder / "b") == noise(size)));
                }
    }
    copied("/proc/self/limits", folder / "limits", how); // has no size
    CHECK(read_text(folder / "limits").find("Max open files") != std::string::npos);
}

TEST_CASE("a tree goes from server to server with modes and times", "[sftp]") {
    scratch folder;
    fs::create_directories(folder / "tree/deep/er");
    for (int i = 0; i < 100; ++i)
        write_text(folder / ("tree/deep/f" + std::to_string(i)), noise(std::size_t(i) * 100));
    fs::permissions(folder / "tree/deep/f7", fs::perms::owner_read);
    fs::create_symlink("deep/f1", folder / "tree/link");
    fs::create_directory_symlink("..", folder / "tree/up");
    auto const old = fs::file_time_type::clock::now() - std::chrono::hours(1000);
    for (auto const* name : {"tree/deep/f7", "tree/deep"}) fs::last_write_time(folder / name, old);
    sftp::transfer_options how;
    CHECK(failure(folder / "tree", folder / "copy", how) == sftp::errc::is_folder);
    how.recursive = how.preserve = true;
    auto const done = copied(folder / "tree", folder / "copy", how);
    CHECK(done.files == 101);
    CHECK(done.skipped == 1);
    for (int i = 0; i < 100; ++i)
        CHECK((read_text(folder / ("copy/deep/f" + std::to_string(i))) ==
               noise(std::size_t(i) * 100)));
    CHECK(read_text(folder / "copy/link") == noise(100));
    CHECK(fs::status(folder / "copy/deep/f7").permissions() == fs::perms::owner_read);
    for (auto const* name : {"copy/deep/f7", "copy/deep"})
        CHECK(std::chrono::abs(fs::last_write_time(folder / name) - old) <= 1s);
    std::size_t all = 0;
    for (auto const& e : fs::recursive_directory_iterator(folder / "copy"))
        all += !e.path().empty();
    CHECK(all == 103); // no temporary name among them

    copied(folder / "tree", folder / "tree/in", how); // into itself
    CHECK((read_text(folder / "tree/in/deep/f99") == noise(9900)));
    CHECK_FALSE(fs::exists(folder / "tree/in/in"));
}

TEST_CASE("a copy from server to server that fails leaves what was there", "[sftp]") {
    scratch folder;
    sftp::transfer_options how;
    write_text(folder / "b", "old");
    CHECK(failure(folder / "none", folder / "b", how) == sftp::errc::no_such_file);
    CHECK(failure("/dev/null", folder / "b", how) == sftp::errc::not_regular);
    CHECK(failure("/proc/self/mem", folder / "b", how) == sftp::errc::failure); // cannot be read
    write_text(folder / "a", "new");
    CHECK(failure(folder / "a", folder / "none/b", how) == sftp::errc::no_such_file);
    how.resume = true;
    CHECK(failure(folder / "a", folder / "b", how) == sftp::errc::unsupported);
    CHECK(read_text(folder / "b") == "old");
    CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 2);
}
