// Many messages over kept connections: client::send_all and pool, against smtp-sink and scripts.
#include "mail/aiosmtpd.hpp"
#include "mail/peers.hpp"
#include "mail/sending.hpp"
#include "test.hpp"

#include <map>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using step = scripted_server::step;
using smtp::status;

namespace {

smtp::outgoing numbered(std::uint64_t tag) {
    auto one = smtp::outgoing::of(letter("x" + std::to_string(tag) + "@c.example"));
    one.tag = tag;
    return one;
}

/// The tags that each status was reported for.
struct outcomes {
    std::map<std::uint64_t, status> seen;
    std::size_t twice = 0;
    std::string last_text;
    void operator()(std::uint64_t tag, smtp::receipt receipt) {
        twice += !seen.emplace(tag, receipt.recipients.at(0).status).second;
        last_text = receipt.recipients.at(0).text;
    }
    std::size_t count(status s) const {
        std::size_t n = 0;
        for (auto const& [tag, one] : seen) n += one == s;
        return n;
    }
};

/// Sends `count` numbered messages by `sender.send_all` while `server`, if there is one, runs.
template <class Sender>
awaitable<> send_numbered(Sender& sender, std::size_t count, outcomes& seen,
                          scripted_server* server = nullptr) {
    queue<smtp::outgoing> messages(10);
    auto fill = [&]() -> awaitable<> {
        for (std::size_t i = 0; i < count; ++i) {
            auto pushing = messages.push(numbered(i));
            co_await std::move(pushing);
        }
        messages.close();
    };
    std::function<void(std::uint64_t, smtp::receipt)> const done = std::ref(seen);
    std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
        if (server) group.spawn_background(server->serve());
        group.spawn(fill());
        group.spawn(sender.send_all(messages, done));
        co_return;
    };
    co_await with_group(body);
    co_await sender.quit();
}

} // namespace

TEST_CASE("a client sends all of a queue over one connection", "[mail]") {
    test::smtp_sink server({});
    outcomes seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(server.port));
        co_await send_numbered(client, 200, seen);
    };
    test::run(main);
    CHECK(seen.count(status::accepted) == 200);
    CHECK(seen.twice == 0);
    CHECK(server.messages().size() == 200);
}

TEST_CASE("what goes before a message is awaited, and may keep it back", "[mail]") {
    test::smtp_sink server({});
    outcomes seen;
    std::vector<std::uint64_t> announced;
    auto const before = [&](std::uint64_t tag) -> awaitable<> {
        co_await yield();
        if (tag == 1) throw error(std::make_error_code(std::errc::no_space_on_device), "notes");
        announced.push_back(tag);
    };
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::client client(executor, plain_to(server.port));
        queue<smtp::outgoing> messages(10);
        for (std::uint64_t tag = 0; tag < 4; ++tag) {
            auto one = numbered(tag);
            one.before = [&before, tag] { return before(tag); };
            CHECK(messages.try_push(std::move(one)) == queue_status::ok);
        }
        messages.close();
        std::function<void(std::uint64_t, smtp::receipt)> const done = std::ref(seen);
        co_await client.send_all(messages, done);
        co_await client.quit();
    };
    test::run(main);
    CHECK(announced == std::vector<std::uint64_t>{0, 2, 3});
    CHECK(seen.count(status::accepted) == 3);
    CHECK(seen.seen[1] == status::deferred);
    CHECK(server.messages().size() == 3);
}

TEST_CASE("a pool sends each message once, over as many connections as are allowed", "[mail]") {
    test::smtp_sink server({});
    outcomes seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::pool_options how;
        how.connections = 30;
        how.messages = 7;
        smtp::pool pool(executor, plain_to(server.port), how);
        co_await send_numbered(pool, 500, seen);
        auto const one = co_await pool.send(letter());
        CHECK(summary(one) == "x@c.example accepted 250");
        co_await pool.quit();
    };
    test::run(main);
    CHECK(seen.count(status::accepted) == 500);
    CHECK(seen.twice == 0);
    CHECK(server.messages().size() == 501);
}

TEST_CASE("a pool of nobody's server defers everything at once", "[mail]") {
    auto const port = test::free_port();
    outcomes seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        smtp::pool pool(executor, plain_to(port), {});
        co_await send_numbered(pool, 300, seen);
    };
    auto const began = clock::now();
    test::run(main);
    CHECK(clock::now() - began < 10s);
    CHECK(seen.count(status::deferred) == 300);
    CHECK(seen.last_text.find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
}

TEST_CASE("messages that a lost connection cannot have delivered are sent again", "[mail]") {
    scripted_server::script const begin{{step::say, "220 mx\r\n"},
                                        {step::hear, "\r\n"},
                                        {step::say, "250-mx\r\n250 PIPELINING\r\n"},
                                        {step::hear, "DATA\r\n"},
                                        {step::say, "250 ok\r\n250 ok\r\n354 go\r\n"},
                                        {step::hear, "\r\n.\r\n"}};
    auto lost = begin, unknown = begin;
    lost.push_back({step::say, "250 taken\r\n"}); // 0; the envelope of 1 is there
    lost.push_back({step::hear, "DATA\r\n"});
    lost.push_back({step::close, ""});
    unknown.push_back({step::close, ""}); // 1, and 2 is not sent yet
    auto taken = begin;
    taken.push_back({step::say, "250 taken\r\n"}); // 2
    taken.push_back({step::hang, ""});
    outcomes seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        scripted_server server(executor, {lost, unknown, taken});
        smtp::client client(executor, plain_to(server.port()));
        co_await send_numbered(client, 3, seen, &server);
        CHECK(server.connections() == 3);
    };
    test::run(main);
    CHECK(seen.twice == 0);
    CHECK(seen.seen == std::map<std::uint64_t, status>{
                           {0, status::accepted}, {1, status::unknown}, {2, status::accepted}});
}

TEST_CASE("a connection that nobody greets gets company after half of the deadline", "[mail]") {
    scripted_server::script const good{{step::say, "220 mx\r\n"},
                                       {step::hear, "\r\n"},
                                       {step::say, "250-mx\r\n250 PIPELINING\r\n"},
                                       {step::hear, "DATA\r\n"},
                                       {step::say, "250 ok\r\n250 ok\r\n354 go\r\n"},
                                       {step::hear, "\r\n.\r\n"},
                                       {step::say, "250 taken\r\n"},
                                       {step::hang, ""}};
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        // The first connection is accepted by the kernel and never by the server.
        asio::ip::tcp::acceptor listener(executor, {asio::ip::address_v4::loopback(), 0});
        auto how = plain_to(listener.local_endpoint().port());
        how.limits.banner = 400ms;
        auto serve = [&]() -> awaitable<> {
            auto first = co_await listener.async_accept(asio::use_awaitable);
            auto second = co_await listener.async_accept(asio::use_awaitable);
            scripted_server::script const steps = good;
            std::string pending;
            for (auto const& [what, text] : steps) {
                if (what == step::say)
                    co_await asio::async_write(second, asio::buffer(text), asio::use_awaitable);
                if (what == step::hear) {
                    auto const size = co_await asio::async_read_until(
                        second, asio::dynamic_buffer(pending), text, asio::use_awaitable);
                    pending.erase(0, size);
                }
            }
            co_await sleep_for(1h);
        };
        smtp::client client(executor, std::move(how));
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(serve());
            auto const seen = co_await attempt(client, letter());
            REQUIRE(seen.receipt);
            CHECK(summary(*seen.receipt) == "x@c.example accepted 250");
        };
        co_await with_group(body);
    };
    test::run(main);
}

TEST_CASE("a pinned key is believed without an authority, and no other key", "[mail]") {
    aiosmtpd server("starttls");
    write_file(server.folder.path / "pin", "openssl x509 -in " +
                                               (server.folder.path / "server.pem").string() +
                                               " -pubkey -noout | openssl pkey -pubin -outform der "
                                               "| openssl dgst -sha256 -binary | openssl base64\n");
    auto const out = server.folder.path / "pin.out";
    REQUIRE(child_process({"sh", server.folder.path / "pin"}, out).wait() == 0);
    auto pin = read_file(out);
    while (pin.ends_with('\n')) pin.pop_back();
    for (bool right : {true, false}) {
        if (!right) pin[0] = pin[0] == 'A' ? 'B' : 'A';
        outcome seen;
        auto const main = [&]() -> awaitable<> {
            auto executor = co_await asio::this_coro::executor;
            auto how = plain_to(server.port);
            how.tls = smtp::tls::required;
            how.pinned_keys = {pin};
            smtp::client client(executor, std::move(how));
            seen = co_await attempt(client, letter());
            co_await client.quit();
        };
        test::run(main);
        CHECK(seen.receipt.has_value() == right);
        if (!right) {
            REQUIRE(seen.failure);
            CHECK(seen.failure->said() == "the key is not a pinned one");
        }
    }
}
