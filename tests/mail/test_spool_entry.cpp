// The files of a spool (src/mail/spool_entry) byte by byte, and its schedule.
#include "mail/spool_world.hpp"

using namespace std::chrono_literals;
using namespace trawl;
using namespace trawl::test;
using namespace trawl::smtp::detail;
using smtp::status;

namespace {

spooled entry(std::int64_t now = 1000) {
    auto one = message({"x@d.example", "y@d.example", "z@e.example"});
    one.content = [](mime::transport way) {
        return mime::content(way == mime::transport::seven_bit ? "=C3=BC\n\n" : "\xc3\xbc\n\n")
            .open();
    };
    one.parameters.notify.failure = one.parameters.notify.delay = true;
    one.parameters.returned = smtp::returned::headers;
    one.parameters.envelope_id = "id7";
    one.parameters.require_tls = true;
    return spool_entry_of(one, now);
}

bool is_corrupt(std::string const& file) {
    try {
        (void)read_entry(file);
        return false;
    } catch (error const& e) {
        return e.code() == std::errc::bad_message;
    }
}

} // namespace

TEST_CASE("a spooled message is read as it was written", "[mail]") {
    auto const one = entry();
    auto const file = write_entry(one);
    auto const read = read_entry(file);
    CHECK(read.whole == file.size());
    auto const& found = read.entry;
    CHECK(found.created == 1000);
    CHECK(found.next == 1000);
    CHECK(found.attempts == 0);
    CHECK(found.message_id == "<1@b.example>");
    CHECK(found.sender == "a@b.example");
    CHECK(found.text == "\xc3\xbc\n\n");
    CHECK(found.seven_bit == "=C3=BC\n\n");
    CHECK(found.parameters.notify.failure);
    CHECK(found.parameters.notify.delay);
    CHECK_FALSE(found.parameters.notify.never);
    CHECK(found.parameters.returned == smtp::returned::headers);
    CHECK(found.parameters.envelope_id == "id7");
    CHECK(found.parameters.require_tls);
    CHECK(states(found) == "deferred deferred deferred");
    CHECK(found.waiting().size() == 3);
    CHECK(write_entry(found) == file);
    auto plain = message({"x@d.example"});
    plain.envelope.sender = "";
    auto const bounce = read_entry(write_entry(spool_entry_of(plain, 7))).entry;
    CHECK(bounce.sender.empty());
    CHECK(bounce.seven_bit.empty());
}

TEST_CASE("events change what is known of a spooled message", "[mail]") {
    auto const base = write_entry(entry());
    auto const begun = base + sending_line({0, 2});
    CHECK(states(read_entry(begun).entry) == "unknown deferred unknown");
    CHECK(read_entry(begun).entry.interrupted == std::vector<std::size_t>{0, 2});
    smtp::recipient const yes{"", status::accepted, 250, "2.0.0", "ok"};
    smtp::recipient const later{"", status::deferred, 450, "", "try\r\nanswer 1 accepted"};
    auto const answered = begun + answer_line(0, yes) + answer_line(2, later) + next_line(1300, 1);
    auto const found = read_entry(answered).entry;
    CHECK(states(found) == "accepted deferred deferred");
    CHECK(found.interrupted.empty());
    CHECK(found.next == 1300);
    CHECK(found.attempts == 1);
    CHECK(found.recipients[0].enhanced == "2.0.0");
    CHECK(found.recipients[2].enhanced.empty());
    CHECK(found.recipients[2].code == 450);
    CHECK(found.recipients[2].text == "try  answer 1 accepted");
}

TEST_CASE("a file cut at any byte is corrupt, or loses its last event only", "[mail]") {
    auto const base = write_entry(entry());
    auto const first = base + sending_line({0});
    auto const file = first + answer_line(0, {"", status::accepted, 250, "", "ok"});
    for (std::size_t size = 0; size < file.size(); ++size) {
        auto const part = file.substr(0, size);
        if (size < base.size()) {
            CHECK(is_corrupt(part));
            continue;
        }
        auto const read = read_entry(part);
        CHECK(read.whole == (size < first.size() ? base.size() : first.size()));
        CHECK(states(read.entry).starts_with(size < first.size() ? "deferred" : "unknown"));
    }
}

TEST_CASE("a byte changed anywhere is found", "[mail]") {
    auto const base = write_entry(entry());
    auto const first = base + sending_line({0, 1});
    auto const file = first + answer_line(0, {"", status::accepted, 250, "", "ok"});
    for (std::size_t at = 0; at < file.size(); ++at)
        for (char const to : {'\0', '\n', ' ', 'A', '9', '\xff'}) {
            auto changed = file;
            if (changed[at] == to) continue;
            changed[at] = to;
            // Without its end the last line is one that was not finished.
            bool const found = is_corrupt(changed) ||
                               (at + 1 == file.size() && read_entry(changed).whole == first.size());
            CHECK(found);
        }
}

TEST_CASE("what no envelope may hold is corrupt though its sums are right", "[mail]") {
    auto bad = entry();
    bad.recipients[0].address = "not an address@";
    CHECK(is_corrupt(write_entry(bad)));
    bad = entry();
    bad.recipients.clear();
    CHECK(is_corrupt(write_entry(bad)));
    bad = entry(-5);
    CHECK(is_corrupt(write_entry(bad)));
    CHECK(is_corrupt(write_entry(entry()) + sending_line({3}) + next_line(1, 1)));
    CHECK_THROWS_AS(spool_entry_of(message({"x@d.example\r\nRCPT TO:<y>"}), 1), error);
}

TEST_CASE("attempts are twice as far apart each time, up to four hours, for five days", "[mail]") {
    smtp::schedule const when;
    std::vector<std::int64_t> waits;
    for (std::uint32_t attempts = 1; attempts <= 8; ++attempts)
        waits.push_back(next_attempt(when, attempts, 1000) - 1000);
    CHECK(waits == std::vector<std::int64_t>{300, 600, 1200, 2400, 4800, 9600, 14400, 14400});
    CHECK(next_attempt(when, 4'000'000'000u, 0) == 14400);
    CHECK_FALSE(has_expired(when, 1000, 1000 + 5 * 86400 - 1));
    CHECK(has_expired(when, 1000, 1000 + 5 * 86400));
    smtp::schedule none;
    none.first = none.longest = 0s;
    CHECK(next_attempt(none, 1, 0) == 1);
}
