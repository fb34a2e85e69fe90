#include "cli/live_grid.hpp"
#include "cli/live_view.hpp"
#include "cli/ping_events.hpp"
#include "cli/ping_live.hpp"
#include "test.hpp"
#include "text.hpp"

#include <fmt/format.h>

#include <algorithm>

using namespace trawl;
using namespace std::chrono_literals;
using icmp::status;
using test::lines;

namespace {

constexpr cli::live_look letters{.columns = 60, .rows = 16, .colour = false, .unicode = false};

/// Tells `model` of one host of a sweep.
void ended(cli::live_model& model, std::uint64_t place, status how, duration rtt = 50us) {
    cli::pinged_host host;
    host.place = place;
    host.label = fmt::format("host-{}", place);
    icmp::result r;
    r.status = how, r.sent = 1, r.received = how == status::up;
    if (how == status::up) r.rtt = rtt;
    model.host(host, r);
}

cli::live_model model_of(std::uint64_t places) {
    return cli::live_model({.places = places, .targets = places});
}

/// Columns of a line that ends in UTF-8 and colours.
std::size_t width(std::string_view line) {
    std::size_t columns = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '\x1b')
            i = line.find('m', i);
        else
            columns += (static_cast<unsigned char>(line[i]) & 0xc0) != 0x80;
    }
    return columns;
}

} // namespace

TEST_CASE("without colour every state has a letter of its own", "[cli][live]") {
    auto model = model_of(9);
    for (std::uint64_t place = 0; place < 8; ++place) model.asked(place);
    ended(model, 1, status::up, 50us);
    ended(model, 2, status::up, 5ms);
    ended(model, 3, status::up, 50ms);
    ended(model, 4, status::up, 500ms);
    ended(model, 5, status::down);
    ended(model, 6, status::unreachable);
    ended(model, 7, status::unknown);
    model.now({.elapsed = 2s, .sent = 10});
    auto look = letters;
    look.rows = 13;
    CHECK(cli::draw(model, look) == "trawl ping  7/9 hosts  2.0 s  5 echoes/s  42.9 % loss\n"
                                    "~ + *   . unprobed             1\n"
                                    "# @ x   ~ awaiting             1\n"
                                    "! ? .   + up                   4\n"
                                    "        x down                 1\n"
                                    "        ! unreachable          1\n"
                                    "        ? unknown              1\n"
                                    "        up + <1ms * <10 # <100 @ more\n"
                                    "\n"
                                    "        round trips\n"
                                    "          <2ms ################## 1\n"
                                    "        <100ms #################################### 2\n"
                                    "           <5s ################## 1\n");
}

TEST_CASE("what an earlier run asked is neither unprobed nor what it was", "[cli][live]") {
    cli::live_model model({.places = 4, .targets = 4, .earlier = {1, 1, 0, 0}});
    model.known_earlier(0), model.known_earlier(2);
    auto const seen = lines(draw(model, letters));
    auto const has = [&](std::string_view text) {
        return std::ranges::any_of(seen, [&](auto& l) { return l.find(text) != l.npos; });
    };
    CHECK(seen[1].starts_with("= ."));
    CHECK(seen[2].starts_with("= ."));
    CHECK(has("= earlier run          2"));
    CHECK(has(". unprobed             2"));
    CHECK(has("+ up                   1"));
    ended(model, 1, status::up);
    CHECK(lines(draw(model, letters))[1].starts_with("= +"));
}

TEST_CASE("a network of 256 is sixteen by sixteen, each host at its place", "[cli][live]") {
    auto model = model_of(256);
    ended(model, 0x00, status::up);
    ended(model, 0x2f, status::down);
    ended(model, 0xff, status::unreachable);
    auto look = letters;
    look.columns = 70, look.rows = 24;
    auto const seen = lines(cli::draw(model, look));
    REQUIRE(seen.size() >= 17);
    auto const row = [&](std::size_t y) { return seen[y + 1].substr(0, 32); };
    CHECK(row(0) == "+ . . . . . . . . . . . . . . . ");
    CHECK(row(1) == ". . . . . . . . . . . . . . . . ");
    CHECK(row(2) == ". . . . . . . . . . . . . . . x ");
    CHECK(row(15) == ". . . . . . . . . . . . . . . ! ");
}

TEST_CASE("half a block is a host, and two networks are two squares", "[cli][live]") {
    auto model = model_of(512);
    for (std::uint64_t place = 0; place < 256; ++place) ended(model, place, status::up);
    for (std::uint64_t place = 256; place < 512; ++place) ended(model, place, status::down);
    auto const look = cli::live_look{.columns = 100, .rows = 40};
    cli::live_grid const grid(model, look, 64, 39);
    CHECK(grid.columns() == 32);
    CHECK(grid.rows() == 16);
    CHECK_FALSE(grid.aggregated());
    cli::styled_line top(64, true), bottom(64, true);
    grid.draw(0, top);
    grid.draw(8, bottom);
    std::string up, down;
    for (int i = 0; i < 16; ++i) up += "▀", down += "▀";
    auto const blank = std::string(16, ' ');
    CHECK(top.line() == "\x1b[38;5;46m\x1b[48;5;46m" + up + "\x1b[39m\x1b[49m" + blank + "\n");
    CHECK(bottom.line() ==
          "\x1b[38;5;160m\x1b[48;5;160m" + down + "\x1b[39m\x1b[49m" + blank + "\n");
}

TEST_CASE("a cell of several hosts shows the share that is up, or the worst", "[cli][live]") {
    auto const cell = [](std::uint64_t up, std::uint64_t down, std::uint64_t unreachable,
                         std::uint64_t unknown) {
        cli::live_cell c;
        c.targets = 10, c.asked = 5, c.status = {up, down, unreachable, unknown}, c.rtt = 5ms;
        return cli::mark_of(c);
    };
    CHECK(cli::mark_of(cli::live_cell{}).letter == ' ');
    CHECK(cell(0, 0, 0, 0) == cli::awaiting_mark);
    CHECK(cell(7, 0, 0, 0) == cli::up_marks[1]);
    CHECK(cell(1, 99, 0, 0).letter == '1');
    CHECK(cell(5, 3, 1, 1).letter == '5');
    CHECK(cell(99, 1, 0, 0).letter == '9');
    CHECK(cell(0, 5, 0, 0) == cli::down_mark);
    CHECK(cell(0, 5, 1, 0) == cli::unreachable_mark);
    CHECK(cell(0, 5, 1, 1) == cli::unknown_mark);
}

TEST_CASE("whatever its size, a terminal gets no more than it can hold", "[cli][live]") {
    for (std::uint64_t const places : {1u, 3u, 200u, 256u, 257u, 5000u, 65536u, 16777216u}) {
        auto model = model_of(places);
        for (std::uint64_t p = 0; p < std::min<std::uint64_t>(places, 300); ++p)
            ended(model, p, p % 3 == 0 ? status::down : status::up, 10us * (p + 1));
        for (std::size_t columns : {1u, 20u, 35u, 80u, 100u, 300u})
            for (std::size_t rows : {1u, 2u, 9u, 24u, 40u, 130u})
                for (bool const colour : {true, false}) {
                    cli::live_look const look{columns, rows, colour, colour};
                    INFO(places << " in " << columns << "x" << rows << " " << colour);
                    auto const seen = lines(cli::draw(model, look));
                    REQUIRE(seen.size() <= rows);
                    for (auto const& line : seen) REQUIRE(width(line) <= columns);
                }
    }
}

TEST_CASE("a /16 is drawn whole where there is room, and coarser where not", "[cli][live]") {
    auto const model = model_of(65536);
    cli::live_look const look;
    cli::live_grid const whole(model, look, 256, 128);
    CHECK(whole.columns() == 256);
    CHECK(whole.rows() == 128);
    CHECK_FALSE(whole.aggregated());
    cli::live_grid const coarser(model, look, 100, 39);
    CHECK(coarser.columns() == 64);
    CHECK(coarser.rows() == 32);
    CHECK(coarser.aggregated());
    CHECK(cli::live_grid(model, look, 1, 1).empty());
}

TEST_CASE("millions of targets share 65,536 cells", "[cli][live]") {
    auto model = model_of(std::uint64_t{1} << 24);
    CHECK(model.cells() == 65536);
    CHECK(model.cell(0).targets == 256);
    ended(model, 256, status::up);
    CHECK(model.cell(1).up() == 1);
    CHECK(model_of(65537).cells() == 32769);
    CHECK(model_of(65537).cell(32768).targets == 1);
    CHECK(model_of(~std::uint64_t{0}).cells() == 65536);
}

TEST_CASE("a host asked again and again is counted once, by its last echo", "[cli][live]") {
    struct nowhere : cli::live_screen {
        cli::live_look look() const override { return {60, 24, false, false}; }
        void show(std::string_view text) override { shown = text; }
        void close(std::string_view text) override { shown = text; }
        std::string shown;
    } screen;
    struct nothing : cli::ping_writer {
        void unresolved(std::string_view, std::string_view, std::uint64_t) override {}
        void finish(cli::pinged_hosts, cli::ping_end const&) override {}
    };
    cli::ping_live live(std::make_unique<nothing>(), model_of(3), screen);
    test::ping_events run(live, {"10.0.0.1", "10.0.0.2"});
    run.begin();
    live.unresolved("nowhere", "not found", 2);
    live.asked(0), live.asked(1), live.asked(2);
    run.reply(0, 0, 10ms), run.silence(1, 0);
    run.reply(0, 1, 30ms), run.reply(1, 1, 4ms);
    run.silence(0, 2), run.silence(1, 2);
    live.redraw({.elapsed = 3s, .sent = 6});
    auto seen = lines(screen.shown);
    CHECK(seen[0] == "trawl ping  1/3 hosts  3.0 s  2 echoes/s  50.0 % loss");
    CHECK(seen[1] == "x x   . unprobed             0");
    CHECK(seen[2] == "?     ~ awaiting             0");
    CHECK(seen[3] == "      + up                   0");
    CHECK(seen[4] == "      x down                 2");
    auto const has = [&](std::string const& line) {
        INFO(screen.shown);
        CHECK(std::ranges::find(seen, line) != seen.end());
    };
    has("      10.0.0.2          67% 4.00ms x1x");
    has("      10.0.0.1          33% 20.0ms 18x");
    run.ended(0, status::up), run.ended(1, status::up);
    run.finish();
    seen = lines(screen.shown);
    CHECK(seen[0].starts_with("trawl ping  3/3 hosts"));
    CHECK(seen[3] == "      + up                   2");
    CHECK(seen[4] == "      x down                 0");
}

TEST_CASE("of many hosts the worst are kept", "[cli][live]") {
    cli::worst_hosts worst;
    for (std::uint64_t place = 0; place < 10000; ++place) {
        cli::pinged_host host;
        host.place = place;
        host.label = fmt::format("a\x1b[2J\n{}", place);
        worst.add(host, place % 2000 == 7 ? std::nullopt : std::optional<duration>(1us * place),
                  place % 2000 == 7 ? 100 : 0, 1us * place);
    }
    auto const all = worst.ordered();
    REQUIRE(all.size() == cli::worst_hosts::most);
    CHECK(all[0].place == 8007);
    CHECK(all[4].place == 7);
    CHECK(all[5].place == 9999);
    CHECK(all[0].label == "a\\x1b[2J?8007");
    cli::pinged_host again;
    again.place = 9999;
    for (int i = 0; i < 100; ++i) worst.add(again, 1us * i, 0, 5s);
    auto const last = worst.ordered()[5].last;
    REQUIRE(last.size() == cli::worst_hosts::remembered);
    CHECK(last.back() == 99us);
}

TEST_CASE("round trips are counted by 1, 2 and 5", "[cli][live]") {
    using cli::rtt_histogram;
    CHECK(rtt_histogram::limit(0) == 10us);
    CHECK(rtt_histogram::limit(5) == 500us);
    CHECK(rtt_histogram::limit(18) == 10s);
    rtt_histogram h;
    for (duration rtt : {duration(0), duration(9999ns), duration(10us), duration(20us),
                         duration(9s), duration(1h)})
        h.add(rtt);
    CHECK(h.counts()[0] == 2);
    CHECK(h.counts()[1] == 1);
    CHECK(h.counts()[2] == 1);
    CHECK(h.counts()[18] == 2);
}

TEST_CASE("a line ends at the right margin, between characters", "[cli][live]") {
    cli::styled_line line(4, true);
    line.text("ab", 46).text("äöü");
    CHECK(line.width() == 4);
    CHECK(line.line() == "\x1b[38;5;46mab\x1b[39mäö\n");
    CHECK(cli::styled_line(4, false).text("ab", 46).column(3).text("cd").line() == "ab c\n");
    CHECK(cli::styled_line(4, true).text("abcde", 46).line() == "\x1b[38;5;46mabcd\x1b[m\n");
}
