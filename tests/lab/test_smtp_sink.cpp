#include "lab_test.hpp"

#include "lab/smtp_sink.hpp"

#include <asio/ip/tcp.hpp>

#include <algorithm>
#include <random>

using namespace std::chrono_literals;
using asio::ip::tcp;
using trawl::awaitable;
using trawl::lab::world;
using trawl::test::contents;
using trawl::test::delivered;
using trawl::test::with_world;

namespace {

trawl::lab::options one_host() {
    trawl::lab::options options;
    options.hosts = trawl::test::addresses(1);
    return options;
}

// 8-bit text with dots where they hurt.
std::string letter(std::size_t lines) {
    std::string text = "From: <a@example.org>\r\nTo: <b@example.org>\r\nSubject: byte for "
                       "byte\r\n\r\n.\r\n..\r\n...x\r\n";
    for (std::size_t i = 0; i < lines; ++i)
        text += "." + std::to_string(i) +
                " Gr\xc3\xbc\xc3\x9f"
                "e \xff\x80 \x01\r\n";
    return text + "\r\n.end\r\n";
}

std::string curl(world const& lab, std::string_view more) {
    return fmt::format(
        "curl -sS --max-time 20 smtp://127.0.0.1:{}/tester --mail-from a@example.org {}",
        lab.smtp_port(), more);
}

} // namespace

TEST_CASE("curl delivers a message byte for byte, with its envelope", "[lab][smtp]") {
    with_world(one_host(), [](world& lab) -> awaitable<> {
        auto const text = letter(40'000); // about 1 MB
        auto const sent = co_await trawl::test::sh(
            curl(lab, "--mail-rcpt b@example.org --mail-rcpt root -T -"), text);
        INFO(sent.err);
        CHECK(sent.status == 0);
        auto const files = delivered(lab);
        REQUIRE(files.size() == 1);
        CHECK(files[0].extension() == ".eml");
        CHECK((contents(files[0]) ==
               "X-Envelope-From: <a@example.org>\r\nX-Envelope-To: <b@example.org>\r\n"
               "X-Envelope-To: <root>\r\n" +
                   text));
        CHECK(std::filesystem::is_empty(lab.maildir() / "tmp"));
        CHECK(lab.stats().messages == 1);
    });
}

TEST_CASE("swaks delivers, with and without pipelining", "[lab][smtp]") {
    with_world(one_host(), [](world& lab) -> awaitable<> {
        for (std::string_view more : {"--pipeline", "--protocol SMTP", "--protocol ESMTP"}) {
            auto const sent = co_await trawl::test::sh(
                fmt::format("swaks --server 127.0.0.1:{} --from s@example.org --to t@example.org "
                            "--body 'hello\\n.\\nworld' "
                            "--h-Subject swaks --timeout 20 --helo tester {}",
                            lab.smtp_port(), more));
            INFO(sent.out << sent.err);
            CHECK(sent.status == 0);
        }
        auto const files = delivered(lab);
        CHECK(files.size() == 3);
        for (auto const& file : files) {
            auto const text = contents(file);
            CHECK(text.starts_with(
                "X-Envelope-From: <s@example.org>\r\nX-Envelope-To: <t@example.org>\r\n"));
            CHECK(text.find("\r\nSubject: swaks\r\n") != std::string::npos);
            CHECK(text.find("\r\nhello\r\n.\r\nworld") != std::string::npos);
        }
    });
}

TEST_CASE("curl is told of refused and deferred recipients and of a message that is too large",
          "[lab][smtp]") {
    auto options = one_host();
    options.max_message = 100'000;
    with_world(options, [](world& lab) -> awaitable<> {
        auto const refused =
            co_await trawl::test::sh(curl(lab, "--mail-rcpt refused@example.org -T -"), letter(1));
        CHECK(refused.status == 55);
        CHECK(refused.err.find("550") != std::string::npos);
        auto const later =
            co_await trawl::test::sh(curl(lab, "--mail-rcpt deferred@example.org -T -"), letter(1));
        CHECK(later.status == 55);
        CHECK(later.err.find("451") != std::string::npos);
        // From a pipe curl cannot announce SIZE, so that the text itself is refused.
        auto const large =
            co_await trawl::test::sh(curl(lab, "--mail-rcpt b@example.org -T -"), letter(10'000));
        CHECK(large.status != 0);
        CHECK(delivered(lab).empty());
        CHECK(std::filesystem::is_empty(lab.maildir() / "tmp"));
    });
}

TEST_CASE("many clients deliver at once and no message is lost", "[lab][smtp]") {
    with_world(one_host(), [](world& lab) -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto const one = [&](int number) -> awaitable<> {
            tcp::socket client(executor);
            tcp::endpoint const server(lab.smtp_address(), lab.smtp_port());
            co_await client.async_connect(server, asio::use_awaitable);
            std::string talk = "EHLO tester\r\n";
            for (int i = 0; i < 5; ++i)
                talk += fmt::format(
                    "MAIL FROM:<c{}@x>\r\nRCPT TO:<m{}@x>\r\nDATA\r\nnumber {}-{}\r\n.\r\n", number,
                    i, number, i);
            talk += "QUIT\r\n";
            co_await asio::async_write(client, asio::buffer(talk), asio::use_awaitable);
            std::string replies;
            asio::error_code end;
            co_await asio::async_read(client, asio::dynamic_buffer(replies),
                                      asio::redirect_error(asio::use_awaitable, end));
            CHECK(end == asio::error::eof);
            CHECK(replies.ends_with("221 2.0.0 bye\r\n"));
        };
        auto const all = [&](trawl::task_group& group) -> awaitable<> {
            for (int number = 0; number < 300; ++number) group.spawn(one(number));
            co_return;
        };
        co_await trawl::with_group(all);
        auto const files = delivered(lab);
        CHECK(files.size() == 1500);
        CHECK(lab.stats().messages == 1500);
    });
}

TEST_CASE("an idle client gets 421 and one that vanishes leaves no file", "[lab][smtp]") {
    auto const whole = []() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        auto const folder =
            std::filesystem::temp_directory_path() / fmt::format("trawl-test-sink-{}", ::getpid());
        trawl::lab::smtp_sink::options options;
        options.maildir = folder;
        options.idle = 50ms;
        trawl::lab::smtp_sink sink(executor, options);
        auto const both = [&](trawl::task_group& group) -> awaitable<> {
            group.spawn_background(sink.serve());
            tcp::endpoint const server(options.address, sink.port());
            tcp::socket idle(executor);
            co_await idle.async_connect(server, asio::use_awaitable);
            std::string heard;
            asio::error_code end;
            co_await asio::async_read(idle, asio::dynamic_buffer(heard),
                                      asio::redirect_error(asio::use_awaitable, end));
            CHECK(heard.find("\r\n421 4.4.2") != std::string::npos);

            tcp::socket half(executor);
            co_await half.async_connect(server, asio::use_awaitable);
            std::string const text =
                "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf a message\r\n";
            co_await asio::async_write(half, asio::buffer(text), asio::use_awaitable);
            while (std::filesystem::is_empty(folder / "tmp")) co_await trawl::sleep_for(1ms);
            half.close();
            while (!std::filesystem::is_empty(folder / "tmp")) co_await trawl::sleep_for(1ms);
            CHECK(std::filesystem::is_empty(folder / "new"));
        };
        co_await trawl::with_group(both);
        std::filesystem::remove_all(folder);
    };
    trawl::test::run(whole);
}
