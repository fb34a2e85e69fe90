// Large files over several channels of a session.
#include "ssh/fixture.hpp"
#include "ssh/sftp_script.hpp"

#include <trawl/error.hpp>
#include <trawl/sftp.hpp>

using namespace trawl;
using namespace trawl::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

std::string const bytes = pattern(9 << 20);

/// A server of the file behind each of `channels`, and a client that takes it for a distant one.
struct distant_lab : sftp_lab {
    explicit distant_lab(std::size_t channels) : further(sftp_lab::further) {
        how.distant = 0ms;
        how.channels = 4;
        server.files["/file"] = bytes;
        further.resize(channels, server);
    }
    void get() {
        auto body = [this](sftp::client& files) -> awaitable<> {
            auto const done = co_await files.get("/file", folder / "got");
            CHECK(done.bytes == bytes.size());
        };
        run(body);
        CHECK(read_text(folder / "got") == bytes);
        CHECK(server.open_handles == 0);
    }
    static std::size_t reads(sftp_script const& of) {
        return static_cast<std::size_t>(std::count(of.asked.begin(), of.asked.end(), packet::read));
    }
    std::vector<sftp_script>& further;
};

} // namespace

TEST_CASE("a large file from afar is read over several channels", "[sftp][channels]") {
    distant_lab here(5);
    here.get();
    CHECK(here.opened == 3); // four in all
    std::size_t all = distant_lab::reads(here.server);
    for (auto const& each : here.further) all += distant_lab::reads(each);
    CHECK(all == bytes.size() / here.how.block);
    for (std::size_t i = 0; i < here.opened; ++i) {
        CHECK(distant_lab::reads(here.further[i]) > all / 8);
        CHECK(here.further[i].open_handles == 0);
    }
}

TEST_CASE("one channel does for a small file, a near server, or who wants no more",
          "[sftp][channels]") {
    distant_lab here(5);
    SECTION("small") {
        here.server.files["/file"].resize(7 << 20);
        auto body = [&](sftp::client& files) -> awaitable<> {
            co_await files.get("/file", here.folder / "got");
        };
        here.run(body);
    }
    SECTION("near") {
        here.how.distant = 10s;
        here.get();
    }
    SECTION("no more") {
        here.how.channels = 1;
        here.get();
    }
    CHECK(here.opened == 0);
}

TEST_CASE("a channel that is refused, or has another file, is done without", "[sftp][channels]") {
    distant_lab here(1);
    auto& other = here.further[0];
    SECTION("of another size") { other.files["/file"] += "more"; }
    SECTION("gone") { other.files.clear(); }
    SECTION("no SFTP") { other.greeting = "no"; }
    here.get();
    CHECK(here.opened == 1);
    CHECK(distant_lab::reads(other) == 0);
    CHECK(other.open_handles == 0);
}

TEST_CASE("a failure on any channel is the transfer's", "[sftp][channels]") {
    distant_lab here(1);
    here.further[0].instead = [](packet type, std::uint32_t id,
                                 packet_reader) -> std::optional<std::string> {
        if (type != packet::read) return std::nullopt;
        return sftp_script::status(id, sftp::errc::failure, "bad sector");
    };
    CHECK(here.get_failure() == sftp::errc::failure);
    CHECK(here.words.find("bad sector") != std::string::npos);
}

TEST_CASE("a session keeps half of its channels, and has all again at the end",
          "[sftp][channels]") {
    scratch folder;
    write_text(folder / "file", bytes);
    auto options = good_options();
    std::string setting;
    SECTION("of as many as the server gives") {}
    SECTION("of few") { options.max_channels = 2; }
    SECTION("of a server that has one") { setting = "MaxSessions 1"; }
    sshd few(setting);
    if (!setting.empty()) options = good_options(few);
    auto body = [&]() -> awaitable<> {
        ssh::session host(co_await asio::this_coro::executor, options);
        co_await host.connect();
        sftp::options how;
        how.distant = 0ms;
        {
            auto files = co_await sftp::open(host, how);
            co_await files.get((folder / "file").string(), folder / "got");
        }
        for (int i = 0; i < 20; ++i) {
            auto const done = co_await host.exec("true");
            CHECK(done.exit_status == 0);
        }
    };
    run(body);
    CHECK(read_text(folder / "got") == bytes);
}
