// The client against a server that misbehaves: a stream in memory whose other end is a script.
#include "ssh/sftp_script.hpp"

#include <trawl/task_group.hpp>

using namespace trawl;
using namespace trawl::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

TEST_CASE("short and reordered answers make no difference to the file", "[sftp][faults]") {
    for (std::size_t const most : {1u << 20, 1000u, 7u})
        for (bool const backwards : {false, true}) {
            sftp_lab here;
            here.server.most_read = most;
            here.server.backwards = backwards;
            auto const bytes = pattern(most == 7 ? 3000 : 300'000);
            here.server.files["/file"] = bytes;
            auto body = [&](sftp::client& files) -> awaitable<> {
                auto const done = co_await files.get("/file", here.folder / "got");
                CHECK(done.bytes == bytes.size());
                co_await files.put(here.folder / "got", "/again");
            };
            here.run(body);
            CHECK(read_text(here.folder / "got") == bytes);
            CHECK(here.server.files ==
                  std::map<std::string, std::string>{{"/file", bytes}, {"/again", bytes}});
            CHECK(here.server.open_handles == 0);
        }
}

TEST_CASE("no more requests are in flight than the options allow", "[sftp][faults]") {
    sftp_lab here;
    here.how.requests = 8;
    here.server.files["/file"] = pattern(4'000'000);
    here.server.files["/other"] = pattern(4'000'000);
    auto body = [&](sftp::client& files) -> awaitable<> {
        auto all = [&](task_group& group) -> awaitable<> {
            auto get = [&](std::string from, std::string to) -> awaitable<> {
                co_await files.get(from, here.folder / to);
            };
            group.spawn(get("/file", "a"));
            group.spawn(get("/other", "b"));
            co_return;
        };
        co_await with_group(all);
    };
    here.run(body);
    CHECK(here.server.most_in_flight <= 8 + 2); // two closes
    CHECK(read_text(here.folder / "a") == pattern(4'000'000));
    CHECK(read_text(here.folder / "b") == pattern(4'000'000));
}

TEST_CASE("a file that got shorter is not taken for whole", "[sftp][faults]") {
    sftp_lab here;
    here.server.files["/file"] = pattern(100'000);
    here.server.instead = [&](packet type, std::uint32_t, packet_reader) {
        if (type == packet::open) here.server.files["/file"].resize(70'000);
        return std::optional<std::string>();
    };
    CHECK(here.get_failure() == sftp::errc::changed);
}

TEST_CASE("more data than was asked for is refused", "[sftp][faults]") {
    for (std::size_t const size : {0u, 101u}) {
        sftp_lab here;
        here.server.files["/file"] = pattern(100);
        here.server.instead = [&](packet type, std::uint32_t id, packet_reader) {
            if (type != packet::read) return std::optional<std::string>();
            return std::optional(packet_writer(packet::data, id).text(pattern(size)).take());
        };
        CHECK(here.get_failure() == sftp::errc::protocol);
    }
}

TEST_CASE("what is no answer to a request ends the connection", "[sftp][faults]") {
    auto const id_of = [](std::uint32_t id) { return id; };
    std::vector<std::function<std::string(std::uint32_t)>> const bad{
        [](std::uint32_t id) { return sftp_script::ok(id + 1000); },
        [&](std::uint32_t id) { return packet_writer(packet::open, id_of(id)).take(); },
        [](std::uint32_t) { return std::string("\x7f\xff\xff\xff", 4); },
        [](std::uint32_t) { return std::string("This account is closed.\r\n"); },
        [](std::uint32_t id) { return packet_writer(packet::attrs, id).u32(15).take(); },
        [](std::uint32_t id) { return packet_writer(packet::handle, id).text("h").take(); },
        [](std::uint32_t id) { return sftp_script::ok(id); },
    };
    for (auto const& make : bad) {
        sftp_lab here;
        here.server.instead = [&](packet type, std::uint32_t id, packet_reader) {
            if (type != packet::stat) return std::optional<std::string>();
            return std::optional(make(id));
        };
        CHECK(here.get_failure() == sftp::errc::protocol);
    }
}

TEST_CASE("a greeting that is none is refused", "[sftp][faults]") {
    for (auto const& greeting :
         {packet_writer(packet::version, 2).take(), packet_writer(packet::status, 3).take(),
          std::string("Last login: today\r\n")}) {
        sftp_lab here;
        here.server.greeting = greeting;
        auto nothing = [](sftp::client&) -> awaitable<> { co_return; };
        CHECK(here.failure_of(nothing) == sftp::errc::protocol);
    }
}

TEST_CASE("names that lead out of the folder stop the copy before anything is written",
          "[sftp][faults]") {
    for (auto const& name : {std::string("../escaped"), std::string("/tmp/escaped"),
                             std::string(""), std::string("a/b"), std::string("a\0b", 3)}) {
        sftp_lab here;
        here.server.listing = {"a", name};
        auto body = [&](sftp::client& files) -> awaitable<> {
            sftp::transfer_options how;
            how.recursive = true;
            co_await files.get("/folder", here.folder / "in", how);
        };
        CHECK(here.failure_of(body) == sftp::errc::unsafe_name);
        CHECK(fs::is_empty(here.folder / "in"));
        CHECK_FALSE(fs::exists(here.folder / "escaped"));
    }
}

TEST_CASE("a failed write leaves the old file and no temporary one", "[sftp][faults]") {
    sftp_lab here;
    write_text(here.folder / "here", pattern(200'000));
    here.server.files["/file"] = "old";
    int writes = 0;
    here.server.instead = [&](packet type, std::uint32_t id, packet_reader) {
        if (type != packet::write || ++writes != 3) return std::optional<std::string>();
        return std::optional(sftp_script::status(id, sftp::errc::failure, "disk full"));
    };
    auto body = [&](sftp::client& files) -> awaitable<> {
        std::exception_ptr failed;
        try {
            co_await files.put(here.folder / "here", "/file");
        } catch (sftp::failure const& full) {
            CHECK(full.code() == sftp::errc::failure);
            CHECK(full.said() == "disk full");
            CHECK(full.path() == "/file");
            failed = std::current_exception();
        }
        CHECK(failed);
        // The client works on.
        auto const seen = co_await files.stat("/file");
        CHECK(seen.size == 3u);
    };
    here.run(body);
    CHECK(here.server.files == std::map<std::string, std::string>{{"/file", "old"}});
    CHECK(here.server.open_handles == 0);
}

TEST_CASE("without posix-rename a file is replaced all the same", "[sftp][faults]") {
    sftp_lab here;
    here.server.posix_rename = false;
    here.server.files["/file"] = "old";
    write_text(here.folder / "here", "new");
    auto body = [&](sftp::client& files) -> awaitable<> {
        CHECK_FALSE(files.supports("posix-rename@openssh.com"));
        co_await files.put(here.folder / "here", "/file");
        co_await files.put(here.folder / "here", "/fresh");
    };
    here.run(body);
    CHECK(here.server.files ==
          std::map<std::string, std::string>{{"/file", "new"}, {"/fresh", "new"}});
}

TEST_CASE("a silent server is given up in time", "[sftp][faults]") {
    sftp_lab here;
    here.how.timeout = 50ms;
    here.server.files["/file"] = "x";
    here.server.instead = [](packet type, std::uint32_t, packet_reader) {
        if (type != packet::read) return std::optional<std::string>();
        return std::optional<std::string>("");
    };
    CHECK(here.get_failure() == trawl::errc::timed_out);
}

TEST_CASE("the end of the connection ends everything that waits", "[sftp][faults]") {
    sftp_lab here;
    here.server.files["/file"] = pattern(1'000'000);
    int reads = 0;
    here.server.instead = [&](packet type, std::uint32_t, packet_reader) {
        if (type == packet::read && ++reads == 10)
            here.stream->ended(std::make_exception_ptr(
                ssh::failure(ssh::errc::disconnected, ssh::phase::exec, "test:22")));
        return std::optional<std::string>();
    };
    CHECK(here.get_failure() == ssh::errc::disconnected);
}

TEST_CASE("a file whose opening nobody waits for any more is closed again", "[sftp][faults]") {
    sftp_lab here;
    here.server.files["/file"] = "x";
    auto body = [&](sftp::client& files) -> awaitable<> {
        std::string held;
        here.server.instead = [&](packet type, std::uint32_t id, packet_reader) {
            if (type != packet::open) return std::optional<std::string>();
            ++here.server.open_handles;
            held = packet_writer(packet::handle, id).text("/file").take();
            return std::optional<std::string>("");
        };
        auto get = [&]() -> awaitable<> { co_await files.get("/file", here.folder / "got"); };
        bool const ended = co_await within(20ms, get());
        CHECK_FALSE(ended);
        REQUIRE_FALSE(held.empty());
        CHECK(here.server.open_handles == 1);
        here.stream->received(held);
        co_await files.stat("/file");
        CHECK(here.server.open_handles == 0);
    };
    here.run(body);
}

TEST_CASE("the temporary name stays in the folder and within a name's length", "[sftp]") {
    using sftp::detail::temporary_name;
    CHECK(temporary_name("/a/b", true) == "/a/.b.trawl-part");
    CHECK(temporary_name("b", true) == ".b.trawl-part");
    auto const one = temporary_name("/a/b", false), two = temporary_name("/a/b", false);
    CHECK(one != two);
    CHECK(one.starts_with("/a/.b.trawl-"));
    CHECK(temporary_name(std::string(255, 'x'), true).size() <= 255);
}
