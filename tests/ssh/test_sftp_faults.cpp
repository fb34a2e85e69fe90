// The client against a server that misbehaves: a stream in memory whose other end is a script.
#include "peers/sshd.hpp"
#include "ssh/sftp_packets.hpp"
#include "ssh/sftp_transfer.hpp"

#include <trawl/task_group.hpp>

#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <functional>
#include <map>

using namespace trawl;
using namespace trawl::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using sftp::detail::packet;
using sftp::detail::packet_reader;
using sftp::detail::packet_writer;

namespace {

/// A file server of one folder's worth of files in memory. Every answer may be changed by the test.
class scripted_server {
public:
    std::map<std::string, std::string> files;
    std::vector<std::string> listing{"a"}; ///< what every folder holds
    std::size_t most_read = 1 << 20;       ///< bytes of one answer
    bool backwards = false;                ///< answers of one turn of the loop in reverse order
    bool posix_rename = true;
    std::string greeting; ///< instead of its own
    std::function<std::optional<std::string>(packet, std::uint32_t id, packet_reader)>
        instead; ///< a whole packet, or nothing for the usual answer; an empty one: silence

    std::vector<packet> asked;
    int open_handles = 0;
    std::size_t most_in_flight = 0;

    std::vector<std::string> answer(std::string_view bytes) {
        std::vector<std::string> out;
        in_.feed(bytes, [&](std::string request) {
            packet_reader r(request);
            auto const type = static_cast<packet>(r.byte());
            auto const id = r.u32();
            asked.push_back(type);
            if (type == packet::init) return out.push_back(hello());
            if (instead)
                if (auto made = instead(type, id, r)) {
                    if (!made->empty()) out.push_back(*made);
                    return;
                }
            out.push_back(serve(type, id, r));
        });
        most_in_flight = std::max(most_in_flight, out.size());
        if (backwards) std::reverse(out.begin(), out.end());
        return out;
    }

    static std::string status(std::uint32_t id, sftp::errc code, std::string_view words = {}) {
        return packet_writer(packet::status, id)
            .u32(static_cast<std::uint32_t>(code))
            .text(words)
            .text("")
            .take();
    }
    static std::string ok(std::uint32_t id) { return status(id, sftp::errc{}); }

private:
    std::string hello() const {
        if (!greeting.empty()) return greeting;
        packet_writer w(packet::version, 3);
        if (posix_rename) w.text("posix-rename@openssh.com").text("1");
        return w.take();
    }

    static sftp::attributes attributes_of(std::string const& bytes) {
        sftp::attributes a;
        a.size = bytes.size();
        a.permissions = 0100644;
        return a;
    }

    std::string serve(packet type, std::uint32_t id, packet_reader r) {
        std::string const first(r.text());
        auto const missing = status(id, sftp::errc::no_such_file, "gone");
        switch (type) {
        case packet::open:
            if (r.u32() & sftp::detail::open_create) files[first];
            if (!files.count(first)) return missing;
            ++open_handles;
            return packet_writer(packet::handle, id).text(first).take();
        case packet::opendir:
            ++open_handles, listed_ = false;
            return packet_writer(packet::handle, id).text(first).take();
        case packet::close: --open_handles; return ok(id);
        case packet::read: {
            auto const offset = r.u64();
            auto const size = std::min<std::size_t>(r.u32(), most_read);
            if (offset >= files[first].size()) return status(id, sftp::errc::end_of_file);
            return packet_writer(packet::data, id).text(files[first].substr(offset, size)).take();
        }
        case packet::write: {
            auto const offset = r.u64();
            auto const data = r.text();
            auto& file = files[first];
            if (file.size() < offset + data.size()) file.resize(offset + data.size());
            file.replace(offset, data.size(), data);
            return ok(id);
        }
        case packet::readdir: {
            if (std::exchange(listed_, true)) return status(id, sftp::errc::end_of_file);
            packet_writer w(packet::name, id);
            w.u32(static_cast<std::uint32_t>(listing.size()));
            for (auto const& name : listing) w.text(name).text("").attrs(attributes_of("x"));
            return w.take();
        }
        case packet::stat: {
            if (first == "/folder") {
                sftp::attributes folder;
                folder.permissions = 040755;
                return packet_writer(packet::attrs, id).attrs(folder).take();
            }
            if (!files.count(first)) return missing;
            return packet_writer(packet::attrs, id).attrs(attributes_of(files[first])).take();
        }
        case packet::remove: return files.erase(first) ? ok(id) : missing;
        case packet::rename:
        case packet::extended: {
            auto const from = type == packet::rename ? first : std::string(r.text());
            std::string const to(r.text());
            if (type == packet::rename && files.count(to)) return status(id, sftp::errc::failure);
            files[to] = files[from];
            files.erase(from);
            return ok(id);
        }
        default: return status(id, sftp::errc::unsupported);
        }
    }

    sftp::detail::packet_stream in_;
    bool listed_ = false;
};

/// Carries each turn's requests to the server and brings its answers in the next.
class pretend_stream : public ssh::detail::byte_stream {
public:
    pretend_stream(asio::any_io_executor executor, scripted_server& server)
        : executor_(std::move(executor)), server_(server) {}

    void send(std::string bytes) override {
        out_ += bytes;
        if (std::exchange(posted_, true)) return;
        asio::post(executor_, [this, alive = std::weak_ptr<int>(alive_)] {
            if (!alive.expired()) flush();
        });
    }
    void flush() override {
        posted_ = false;
        auto const bytes = std::exchange(out_, {});
        if (!bytes.empty())
            for (auto const& next : server_.answer(bytes)) in_ += next;
        asio::post(executor_, [this, alive = std::weak_ptr<int>(alive_)] {
            if (alive.expired()) return;
            if (auto const arrived = std::exchange(in_, {}); !arrived.empty()) received(arrived);
        });
    }
    std::string const& peer() const noexcept override { return peer_; }

private:
    asio::any_io_executor executor_;
    scripted_server& server_;
    std::string peer_ = "test:22", out_, in_;
    bool posted_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

struct lab {
    scripted_server server;
    scratch folder;
    pretend_stream* stream = nullptr;
    sftp::options how;

    void run(std::function<awaitable<>(sftp::client&)> body) {
        auto all = [&]() -> awaitable<> {
            auto made =
                std::make_unique<pretend_stream>(co_await asio::this_coro::executor, server);
            stream = made.get();
            auto files = co_await sftp::detail::start_client(std::move(made), how);
            co_await body(files);
            co_await yield(); // requests that nobody waits for
            stream->flush();
        };
        test::run(all);
    }

    std::error_code failure_of(std::function<awaitable<>(sftp::client&)> body) {
        try {
            run(body);
        } catch (trawl::error const& thrown) {
            words = thrown.what();
            return thrown.code();
        }
        FAIL("it did not fail");
        return {};
    }

    std::error_code get_failure() {
        auto body = [&](sftp::client& files) -> awaitable<> {
            co_await files.get("/file", folder / "got");
        };
        auto const code = failure_of(body);
        CHECK(fs::is_empty(folder.path())); // neither the file nor a temporary one
        return code;
    }

    std::string words;
};

std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 13);
    return bytes;
}

} // namespace

TEST_CASE("short and reordered answers make no difference to the file", "[sftp][faults]") {
    for (std::size_t const most : {1u << 20, 1000u, 7u})
        for (bool const backwards : {false, true}) {
            lab here;
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
    lab here;
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
    lab here;
    here.server.files["/file"] = pattern(100'000);
    here.server.instead = [&](packet type, std::uint32_t, packet_reader) {
        if (type == packet::open) here.server.files["/file"].resize(70'000);
        return std::optional<std::string>();
    };
    CHECK(here.get_failure() == sftp::errc::changed);
}

TEST_CASE("more data than was asked for is refused", "[sftp][faults]") {
    for (std::size_t const size : {0u, 101u}) {
        lab here;
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
        [](std::uint32_t id) { return scripted_server::ok(id + 1000); },
        [&](std::uint32_t id) { return packet_writer(packet::open, id_of(id)).take(); },
        [](std::uint32_t) { return std::string("\x7f\xff\xff\xff", 4); },
        [](std::uint32_t) { return std::string("This account is closed.\r\n"); },
        [](std::uint32_t id) { return packet_writer(packet::attrs, id).u32(15).take(); },
        [](std::uint32_t id) { return packet_writer(packet::handle, id).text("h").take(); },
        [](std::uint32_t id) { return scripted_server::ok(id); },
    };
    for (auto const& make : bad) {
        lab here;
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
        lab here;
        here.server.greeting = greeting;
        auto nothing = [](sftp::client&) -> awaitable<> { co_return; };
        CHECK(here.failure_of(nothing) == sftp::errc::protocol);
    }
}

TEST_CASE("names that lead out of the folder stop the copy before anything is written",
          "[sftp][faults]") {
    for (auto const& name : {std::string("../escaped"), std::string("/tmp/escaped"),
                             std::string(""), std::string("a/b"), std::string("a\0b", 3)}) {
        lab here;
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
    lab here;
    write_text(here.folder / "here", pattern(200'000));
    here.server.files["/file"] = "old";
    int writes = 0;
    here.server.instead = [&](packet type, std::uint32_t id, packet_reader) {
        if (type != packet::write || ++writes != 3) return std::optional<std::string>();
        return std::optional(scripted_server::status(id, sftp::errc::failure, "disk full"));
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
    lab here;
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
    lab here;
    here.how.timeout = 50ms;
    here.server.files["/file"] = "x";
    here.server.instead = [](packet type, std::uint32_t, packet_reader) {
        if (type != packet::read) return std::optional<std::string>();
        return std::optional<std::string>("");
    };
    CHECK(here.get_failure() == trawl::errc::timed_out);
}

TEST_CASE("the end of the connection ends everything that waits", "[sftp][faults]") {
    lab here;
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
    lab here;
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
