// Servers that lie, stall and flood: a definite outcome in time from each of them, without memory.
#include "mail/memory.hpp"
#include "mail/peers.hpp"
#include "mail/sending.hpp"
#include "test.hpp"

#include <trawl/smtp.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>

using namespace std::chrono_literals;
using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using step = scripted_server::step;
using script = scripted_server::script;

namespace {

constexpr auto asked = 200ms;

struct hostile {
    std::string name;
    script steps;
    std::string expected; ///< of the receipt, or the error's code
    smtp::tls tls = smtp::tls::none;
    std::string to = "x@c.example";
    std::string text = "ok\n";
    bool never_mail = false; ///< it must not even hear a MAIL
};

std::string bad(smtp::errc code) { return make_error_code(code).message(); }
std::string late() { return make_error_code(trawl::errc::timed_out).message(); }

script greeted(std::string const& hello, std::string const& next) {
    return {
        {step::say, "220 mx\r\n"}, {step::hear, "\r\n"}, {step::say, hello}, {step::hear, next}};
}
script in_envelope(script rest) { return then(until_data(), std::move(rest)); }
script go(std::string const& recipients, script rest) {
    return in_envelope(
        then({{step::say, "250 ok\r\n" + recipients + "354 go\r\n"}}, std::move(rest)));
}

std::vector<hostile> servers() {
    auto const tls = smtp::tls::required;
    std::string const two = "x@c.example, y@c.example", offer = "250-mx\r\n250 STARTTLS\r\n";
    script const taken{{step::hear, "\r\n.\r\n"}, {step::say, "250 ok\r\n"}};
    return {
        {"no banner", {{step::hang, ""}}, late()},
        {"a dripping banner", {{step::drip, "220-" + std::string(100, 'x')}}, late()},
        {"garbage for a banner",
         {{step::say, "SSH-2.0-x\r\n"}, {step::hang, ""}},
         bad(smtp::errc::bad_reply)},
        {"10 MB in a line", {{step::flood, std::string(65536, '2')}}, bad(smtp::errc::bad_reply)},
        {"endless lines",
         {{step::say, "220 mx\r\n"}, {step::hear, "\r\n"}, {step::flood, "250-more\r\n"}},
         bad(smtp::errc::bad_reply)},
        {"a dripping reply", in_envelope({{step::drip, "250-" + std::string(100, 'x')}}), late()},
        {"DATA never answered",
         in_envelope({{step::say, "250 ok\r\n250 ok\r\n"}, {step::hang, ""}}), late()},
        {"codes that differ",
         in_envelope(
             {{step::say, "250-ok\r\n550-no\r\n250 ok\r\n250 ok\r\n354 go\r\n"}, {step::hang, ""}}),
         bad(smtp::errc::bad_reply)},
        {"a NUL", in_envelope({{step::say, "250 o\0k\r\n250 ok\r\n354 go\r\n"s}, {step::hang, ""}}),
         bad(smtp::errc::bad_reply)},
        {"replies that nobody asked for",
         in_envelope(
             {{step::say, "250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"}, {step::hang, ""}}),
         bad(smtp::errc::out_of_step)},
        {"injection behind STARTTLS",
         then(greeted(offer, "STARTTLS\r\n"),
              {{step::say, "220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"}, {step::hang, ""}}),
         bad(smtp::errc::injected_reply), tls, "x@c.example", "ok\n", true},
        {"no STARTTLS", then(greeted("250 mx\r\n", "QUIT\r\n"), {{step::close, ""}}),
         bad(smtp::errc::tls_unavailable), tls, "x@c.example", "ok\n", true},
        {"454 to STARTTLS",
         then(greeted(offer, "STARTTLS\r\n"), {{step::say, "454 not now\r\n"}, {step::hang, ""}}),
         bad(smtp::errc::tls_unavailable), tls, "x@c.example", "ok\n", true},
        {"no EHLO, where TLS is required",
         then(greeted("502 what\r\n", "HELO client.example\r\n"),
              {{step::say, "250 mx\r\n"}, {step::hang, ""}}),
         bad(smtp::errc::tls_unavailable), tls, "x@c.example", "ok\n", true},
        {"a handshake that never comes",
         then(greeted(offer, "STARTTLS\r\n"), {{step::say, "220 go\r\n"}, {step::hang, ""}}),
         late(), tls, "x@c.example", "ok\n", true},
        {"one of two refused", go("250 ok\r\n550 no\r\n", taken),
         "x@c.example accepted 250; y@c.example refused 550", smtp::tls::none, two},
        {"one of two deferred", go("250 ok\r\n451 later\r\n", taken),
         "x@c.example accepted 250; y@c.example deferred 451", smtp::tls::none, two},
        {"all refused, and 354",
         go("550 no\r\n", {{step::hear, ".\r\n"}, {step::say, "554 none\r\n"}, {step::hang, ""}}),
         "x@c.example refused 550"},
        {"closed behind the dot", go("250 ok\r\n", {{step::hear, "\r\n.\r\n"}, {step::close, ""}}),
         "x@c.example unknown 0"},
        {"silent behind the dot", go("250 ok\r\n", {{step::hear, "\r\n.\r\n"}, {step::hang, ""}}),
         "x@c.example unknown 0"},
        {"one that stops reading", go("250 ok\r\n", {{step::hang, ""}}), late(), smtp::tls::none,
         "x@c.example", lines(12'000'000)},
        {"a reset amid the message", go("250 ok\r\n", {{step::hear, "xxxx"}, {step::reset, ""}}),
         "", smtp::tls::none, "x@c.example", lines(12'000'000)},
    };
}

/// Adds up what this process's own timers are late: time that a busy machine did not give us.
awaitable<> watch_clock(duration& lost) {
    for (;;) {
        auto const due = clock::now() + 2ms;
        co_await sleep_for(2ms);
        auto const late = clock::now() - due;
        if (late > 1ms) lost += late;
    }
}

void meet(hostile const& one) {
    std::string heard;
    duration lost{};
    time_point began, ended;
    outcome seen;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        scripted_server server(executor, {one.steps});
        auto how = plain_to(server.port());
        how.tls = one.tls;
        auto& limits = how.limits;
        limits.connect = limits.tls = limits.banner = limits.command = limits.data = limits.block =
            limits.dot = asked;
        limits.quit = asked / 10;
        smtp::client client(executor, std::move(how));
        std::function<awaitable<>(task_group&)> const body = [&](task_group& group) -> awaitable<> {
            group.spawn_background(server.serve());
            group.spawn_background(watch_clock(lost));
            auto message = letter(one.to, one.text);
            began = clock::now();
            seen = co_await attempt(client, std::move(message));
            ended = clock::now();
        };
        co_await with_group(body);
        heard = server.heard();
    };
    test::run(main);
    INFO(one.name);
    CHECK(ended - began <= asked * 6 / 5 + lost);
    if (seen.receipt) {
        CHECK(summary(*seen.receipt) == one.expected);
    } else {
        REQUIRE(seen.failure);
        INFO(seen.failure->what());
        if (!one.expected.empty()) CHECK(seen.failure->code().message() == one.expected);
    }
    if (one.never_mail) {
        CHECK(heard.find("MAIL") == heard.npos);
        CHECK(heard.find("AUTH") == heard.npos);
    }
}

} // namespace

TEST_CASE("every hostile server ends in time with a definite outcome, and costs no memory",
          "[mail]") {
    auto const all = servers();
    for (auto const& one : all) meet(one);
    if (!memory_is_ours) return;
    for (auto const& one : all) { // what is allocated once has been
        forget_peak();
        auto const before = memory("VmRSS");
        meet(one);
        INFO(one.name);
        // The letter itself is in memory, in the test's copies too.
        CHECK(memory("VmHWM") - before < 1024 + static_cast<long>(4 * one.text.size() / 1024));
    }
}
