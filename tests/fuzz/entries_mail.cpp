#include "parts.hpp"

#include "mail/address.hpp"
#include "mail/encoding.hpp"
#include "mail/https_get.hpp"
#include "mail/smtp_dialogue.hpp"
#include "mail/spool_entry.hpp"
#include "mail/sts.hpp"
#include "mail/sts_files.hpp"

#include <trawl/error.hpp>
#include <trawl/mime.hpp>
#include <trawl/mime_part.hpp>

#include <fmt/format.h>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace trawl::fuzz {

using namespace std::string_view_literals;

// ---- SMTP ----

namespace {

struct parsed {
    std::vector<std::string> replies;
    std::string fault;
    friend bool operator==(parsed const&, parsed const&) = default;
};

parsed replies_of(std::string_view stream, std::size_t step) {
    smtp::detail::reply_parser parser;
    parsed made;
    while (!stream.empty()) {
        parser.feed(stream.substr(0, step));
        stream.remove_prefix(std::min(step, stream.size()));
        while (auto reply = parser.next()) {
            require(reply->code >= 200 && reply->code <= 599, "a code that no reply may have");
            (void)smtp::detail::capabilities::of(*reply);
            made.replies.push_back(reply->words());
        }
    }
    made.fault = parser.fault();
    return made;
}

/// A server that says `stream`, to a client that wants to send one mail.
void converse(std::string_view stream, smtp::tls tls, bool log_in) {
    using smtp::detail::phase;
    smtp::detail::settings how;
    how.helo = "client.example";
    how.tls = tls;
    if (log_in) how.login.user = "user", how.login.secret = "secret", how.loopback = true;
    smtp::detail::dialogue talk(how);
    auto const drain = [&] {
        std::size_t said = 0;
        for (auto chunk = talk.take(512); !chunk.empty(); chunk = talk.take(512))
            require((said += chunk.size()) < 65536, "the client does not stop talking");
    };
    auto const one = std::make_shared<smtp::detail::job>();
    one->what.envelope = {"a@b.example", {"c@d.example", "e@f.example"}};
    one->what.content = smtp::outgoing::of({}, "Subject: x\r\n\r\n.\r\n").content;
    one->open({});
    bool begun = false;
    while (!stream.empty() && talk.at() != phase::closed) {
        drain();
        if (talk.at() == phase::handshake) talk.secured(true);
        if (talk.at() == phase::ready) {
            if (begun)
                talk.quit();
            else
                talk.begin(one);
            begun = true;
            drain();
        }
        auto const line = stream.substr(0, std::min(stream.find('\n'), stream.size() - 1) + 1);
        talk.receive(line);
        stream.remove_prefix(line.size());
    }
    drain();
    if (talk.at() != phase::closed) talk.lost(std::make_error_code(std::errc::broken_pipe));
    while (talk.working()) talk.work();
    auto const done = talk.take_finished(), unsent = talk.take_unsent();
    require(begun == (done || unsent), "a message has no outcome, or two");
    require(!done || std::count(done->decided.begin(), done->decided.end(), true) == 2,
            "not every recipient has an answer");
}

} // namespace

void run_smtp(std::string_view input) {
    auto const whole = replies_of(input, input.size());
    require(whole == replies_of(input, 1), "replies depend on how the stream is cut");
    require(whole == replies_of(input, 7), "replies depend on how the stream is cut");
    converse(input, smtp::tls::none, false);
    converse(input, smtp::tls::opportunistic, true);
}

// ---- mail ----

namespace {

/// No part of a value may begin a line of its own: that would be a header of the attacker's.
void look_at_message(std::string_view message, bool seven_bit) {
    auto head = message.substr(0, message.find("\r\n\r\n"));
    while (!head.empty()) {
        auto line = cut(head, '\n');
        if (line.ends_with('\r')) line.remove_suffix(1);
        require(line.find('\r') == std::string_view::npos, "a bare CR in a header");
        bool const ours =
            line.starts_with(' ') || line.starts_with('\t') ||
            std::ranges::any_of(std::array{"From:"sv, "To:"sv, "Subject:"sv, "Date:"sv,
                                           "Message-ID:"sv, "MIME-Version:"sv, "X-Fuzz:"sv,
                                           "Content-Type:"sv, "Content-Transfer-Encoding:"sv},
                                [&](auto name) { return line.starts_with(name); });
        require(ours, "a value became a header");
    }
    for (std::size_t i = 0, begin = 0; i < message.size(); ++i) {
        require(!seven_bit || static_cast<unsigned char>(message[i]) < 128, "an 8-bit byte");
        if (message[i] != '\n') continue;
        require(i > 0 && message[i - 1] == '\r', "a bare LF");
        require(i - begin <= 999, "a line of more than 998 bytes");
        begin = i + 1;
    }
}

} // namespace

/// Fields with NUL between them: mailboxes, subject, header, attachment name, text.
void run_mime(std::string_view input) {
    auto const mailboxes = cut(input, '\0'), subject = cut(input, '\0'), header = cut(input, '\0'),
               name = cut(input, '\0');
    mime::message letter;
    letter.from("a@b.example").text(std::string(input));
    auto const tried = [](auto&& set) {
        try {
            set();
        } catch (error const&) {
        }
    };
    tried([&] { letter.to(mailboxes); });
    tried([&] { letter.subject(subject); });
    tried([&] { letter.header("X-Fuzz", header); });
    tried([&] { letter.attach(std::string(input), std::string(name)); });
    tried([&] {
        for (auto const& m : mime::parse_mailboxes(mailboxes))
            require(mime::detail::address_fault(m.address, true).empty(),
                    "parse_mailboxes gave an address that is none");
    });
    if (letter.needs_utf8()) return look_at_message(letter.serialize(mime::transport::utf8), false);
    look_at_message(letter.serialize(mime::transport::seven_bit), true);
    look_at_message(letter.serialize(mime::transport::eight_bit), false);
}

namespace {

bool same(mime::part const& a, mime::part const& b) {
    return a.fields == b.fields && a.type == b.type && a.parameters == b.parameters &&
           a.disposition == b.disposition && a.disposition_parameters == b.disposition_parameters &&
           a.body.bytes() == b.body.bytes() &&
           std::ranges::equal(a.parts, b.parts,
                              [](auto const& x, auto const& y) { return same(x, y); });
}

void look_at_part(mime::part const& p, std::size_t depth) {
    require(depth <= 51, "nested beyond the limit");
    require(mime::detail::is_utf8(mime::text_of(p)) || !p.param("charset").empty(),
            "text that is not UTF-8");
    for (auto const& [name, value] : p.fields) {
        require(mime::detail::is_utf8(value), "a value that is not UTF-8");
        require(value.find_first_of("\r\n\0"sv) == std::string::npos, "a line break in a value");
    }
    for (auto const& child : p.parts) look_at_part(child, depth + 1);
}

} // namespace

/// A message of a stranger: what is read survives being written.
void run_mail(std::string_view input) {
    auto const tree = mime::read(input);
    look_at_part(tree, 0);
    auto const written = mime::write(tree, mime::transport::utf8);
    for (std::size_t i = 0, begin = 0; i < written.size(); ++i) {
        if (written[i] != '\n') continue;
        require(i > 0 && written[i - 1] == '\r', "a bare LF");
        require(i - begin <= 999, "a line of more than 998 bytes");
        begin = i + 1;
    }
    require(same(mime::read(written), tree), "a message does not survive being written");
}

// ---- files of a spool ----

namespace {

std::string sum_of(std::string_view bytes) {
    auto const* const begin = reinterpret_cast<unsigned char const*>(bytes.data());
    return fmt::format("{:08x}", ::crc32_z(0, begin, bytes.size()));
}

/// A spool's file that is taken means the same when it is written again.
void look_at_spooled(std::string const& file) {
    using namespace smtp::detail;
    entry_read read;
    try {
        read = read_entry(file);
    } catch (error const&) {
        return;
    }
    auto const& one = read.entry;
    require(read.whole <= file.size(), "more was read than there is");
    require(!one.recipients.empty() && one.waiting().size() <= one.recipients.size(),
            "a message for nobody");
    auto const again = read_entry(write_entry(one)).entry;
    require(again.text == one.text && again.seven_bit == one.seven_bit &&
                again.sender == one.sender && again.recipients.size() == one.recipients.size(),
            "a message does not survive being written");
    auto events = write_entry(one);
    for (std::size_t i = 0; i < one.recipients.size(); ++i)
        events += answer_line(i, one.recipients[i]);
    auto const told = read_entry(events).entry;
    for (std::size_t i = 0; i < one.recipients.size(); ++i)
        require(told.recipients[i].status == one.recipients[i].status,
                "an answer does not survive being written");
}

} // namespace

/// As it is; as an envelope and as events with sums that agree, which few mutations would get right.
void run_spool(std::string_view input) {
    look_at_spooled(std::string(input));
    std::string head = "trawl spool 1\n";
    std::string events = "trawl spool 1\ncreated 5\nrecipient x@d.example\nrecipient y@d.example\n"
                         "text 0\nseven-bit 0\n";
    events += fmt::format("crc32 {}\n", sum_of(events));
    for (auto rest = input; !rest.empty();) {
        auto const line = std::string(cut(rest, '\n'));
        head += line + '\n';
        events += fmt::format("{} {}\n", line, sum_of(line));
    }
    look_at_spooled(head + fmt::format("crc32 {}\n", sum_of(head)));
    look_at_spooled(events);
}

// ---- MTA-STS ----

namespace {

smtp::detail::http_reply reply_in(std::string_view bytes, std::size_t step) {
    smtp::detail::http_reply reply(500);
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size())))
        reply.receive(bytes.substr(0, step));
    reply.end();
    return reply;
}

} // namespace

/// The input is what a web server sends, a policy, and a TXT record.
void run_sts(std::string_view input) {
    using namespace smtp::detail;
    auto const whole = reply_in(input, input.size() + 1);
    require(whole.complete() == whole.fault().empty(), "a reply neither complete nor refused");
    require(whole.body().size() <= 500, "a text that is too long");
    auto const cut_up = reply_in(input, 3);
    require(
        whole.complete() == cut_up.complete() &&
            (!whole.complete() || (whole.body() == cut_up.body() && whole.code() == cut_up.code())),
        "a reply depends on how the stream is cut");
    if (auto const policy =
            read_sts_policy(whole.complete() ? std::string_view(whole.body()) : input)) {
        require(policy->mode == sts_mode::none || !policy->mx.empty(), "a policy for no exchanger");
        require(policy->max_age.count() >= 0 && policy->max_age.count() <= 31'557'600,
                "an age out of range");
        require(!policy->has("") && !policy->has("com"), "a pattern that stands for anything");
        for (auto const& pattern : policy->mx)
            require(policy->has(pattern.starts_with("*.") ? "x" + pattern.substr(1) : pattern),
                    "a pattern that does not stand for itself");
    }
    kept_policy const fresh{"1", std::string(input), 5};
    auto const again = read_kept_policy(write_kept_policy("d.example", fresh), "d.example");
    require(again.text == input && again.until == 5, "a policy's file that does not say it");
    try {
        auto const kept = read_kept_policy(input, "d.example");
        auto const twice = read_kept_policy(write_kept_policy("d.example", kept), "d.example");
        require(twice.text == kept.text && twice.id == kept.id && twice.until == kept.until,
                "a policy's file means something else when it is written again");
    } catch (error const& e) {
        require(e.code() == std::errc::bad_message, "not refused as a damaged file");
    }
    auto const id = sts_id_of(input);
    require(!id || (!id->empty() && id->size() <= 32), "an id out of range");
}

} // namespace trawl::fuzz
