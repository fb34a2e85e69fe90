#include "entries.hpp"

#include "backup/hash.hpp"
#include "backup/ignore.hpp"
#include "backup/manifest.hpp"
#include "backup/sealed.hpp"
#include "backup/sparse.hpp"
#include "dns/message.hpp"
#include "icmp/packet.hpp"
#include "mail/address.hpp"
#include "mail/encoding.hpp"
#include "mail/https_get.hpp"
#include "mail/smtp_dialogue.hpp"
#include "mail/spool_entry.hpp"
#include "mail/sts.hpp"
#include "ssh/known_hosts.hpp"
#include "ssh/sftp_packets.hpp"
#include "ssh/socks.hpp"

#include <trawl/error.hpp>
#include <trawl/mime.hpp>
#include <trawl/mime_part.hpp>
#include <trawl/ssh_config.hpp>
#include <trawl/targets.hpp>

#include <fmt/format.h>

#include <zlib.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace trawl::fuzz {
namespace {

using namespace std::string_view_literals;

void require(bool holds, char const* what) {
    if (!holds) throw broken(what);
}

/// `text` up to `separator`, which is taken off with it.
std::string_view cut(std::string_view& text, char separator) {
    auto const end = std::min(text.find(separator), text.size());
    auto const piece = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return piece;
}

// ---- ICMP ----

using icmp::detail::family;

void look_at_message(family f, icmp::detail::bytes message) {
    using icmp::detail::kind;
    auto const found = icmp::detail::parse(f, message);
    require(found.kind == kind::malformed || message.size() >= icmp::detail::echo_header,
            "a message shorter than its header was taken for one");
    require(!found.proof || message.size() >= icmp::detail::echo_size,
            "a proof was read from bytes that are not there");
    require(!found.destination || found.destination->family == f,
            "an error quotes a destination of the other family");
    require(found.kind != kind::reply || message[0] == (f == family::v4 ? 0 : 129),
            "something else was taken for an echo reply");
}

/// First as it is, then with a checksum that agrees: few mutations would get past it otherwise.
void look_at_both(family f, std::vector<std::uint8_t> message) {
    look_at_message(f, message);
    if (message.size() < icmp::detail::echo_header) return;
    message[2] = message[3] = 0;
    auto const sum = icmp::detail::checksum(message);
    message[2] = static_cast<std::uint8_t>(sum >> 8);
    message[3] = static_cast<std::uint8_t>(sum & 0xff);
    look_at_message(f, message);
}

/// The input is a packet with its IPv4 header, an ICMP message, or what an error queue quotes.
void run_icmp(std::string_view input) {
    std::vector<std::uint8_t> const all(input.begin(), input.end());
    look_at_both(family::v4, all);
    look_at_both(family::v6, all);
    if (auto const packet = icmp::detail::parse_ipv4(all)) {
        require(packet->payload.size() + 20 <= all.size(), "a payload beyond its packet");
        look_at_both(family::v4, {packet->payload.begin(), packet->payload.end()});
    }
    for (auto const type : std::array<std::uint8_t, 6>{1, 2, 3, 4, 11, 12})
        for (auto const f : {family::v4, family::v6}) {
            auto const found = icmp::detail::parse_quoted(f, type, 0, all);
            require(!found.proof || all.size() >= icmp::detail::echo_size,
                    "a proof was read from bytes that are not there");
        }
}

// ---- targets ----

/// What was accepted has a size, can be walked, and each target reads back as itself.
void look_at_list(targets::list const& list) {
    auto const size = list.size();
    require(list.empty() == (size == 0), "an empty list with targets in it");
    if (size == 0) return;
    targets::cursor walk(list);
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(size, 8); ++i) {
        auto const next = walk.next();
        require(next && *next == list.at(i), "the cursor and at() differ");
        auto const again = targets::parse(next->to_string());
        require(again.size() == 1 && again.at(0) == *next, "a target does not read back as itself");
    }
    if (size < ~std::uint64_t{0}) (void)list.at(size - 1).to_string();
}

/// Up to '!' added, what follows excluded.
void run_targets(std::string_view input) {
    auto const added = cut(input, '!');
    targets::list list;
    try {
        list.add(added);
    } catch (error const& e) {
        require(e.code() == errc::bad_target, "not refused as a bad target");
        require(list.empty(), "a refused text changed the list");
        return;
    }
    look_at_list(list);
    auto const before = list.size();
    try {
        list.exclude(input);
    } catch (error const& e) {
        require(e.code() == errc::bad_target, "not refused as a bad target");
        require(list.size() == before, "a refused text changed the list");
        return;
    }
    require(list.size() <= before, "an exclusion added targets");
    look_at_list(list);
}

// ---- SMTP ----

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

void run_smtp(std::string_view input) {
    auto const whole = replies_of(input, input.size());
    require(whole == replies_of(input, 1), "replies depend on how the stream is cut");
    require(whole == replies_of(input, 7), "replies depend on how the stream is cut");
    converse(input, smtp::tls::none, false);
    converse(input, smtp::tls::opportunistic, true);
}

// ---- mail ----

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

// ---- known_hosts ----

void run_known_hosts(std::string_view input) {
    using namespace ssh::detail;
    while (!input.empty()) {
        known_entry found;
        if (parse_line(cut(input, '\n'), found) != line_kind::entry) continue;
        for (auto const name : {"server.example"sv, "[10.0.0.7]:2222"sv, ""sv})
            (void)found.applies_to(name);
        require(found.hashed.has_value() == found.patterns.empty(), "neither a hash nor a name");
        (void)found.plain();
        known_entry again;
        require(parse_line(format_line("h", found.key), again) == line_kind::entry &&
                    again.key.type == found.key.type && again.key.blob == found.key.blob,
                "a key does not survive being written");
    }
}

// ---- ssh_config ----

/// Every Include finds the input again, so that nesting has to end.
void run_ssh_config(std::string_view input) {
    ssh::config all({"me", "/home/me"});
    std::size_t left = 20; // each may include more than one
    auto const find = [&](std::string const&) {
        std::vector<ssh::config::file> found;
        if (left > 0) --left, found.push_back({"again", std::string(input)});
        return found;
    };
    all.parse({"config", std::string(input)}, find);
    for (auto const* host : {"a", "web1", "x.example"}) {
        auto const named = all.lookup(host);
        require(named.port != 0, "a port that is none");
        require(!named.host_name || !named.host_name->empty(), "an empty host name");
        require(all.lookup(host, "root").user == "root", "a user that was named is not taken");
    }
}

// ---- backup manifests ----

/// What is found by halving is what is found by parsing all.
void look_up(backup::detail::manifest const& whole, std::string_view text) {
    std::string complaint;
    std::string_view lines;
    auto const head = backup::detail::parse_head(text, lines, complaint);
    require(head.has_value(), "the head of a sound manifest is refused");
    for (auto const& e : whole.entries) {
        auto const found = backup::detail::find_entry(lines, *head, e.path, complaint);
        require(found && found->path == e.path && found->content == e.content &&
                    found->offset == e.offset,
                "an entry is not found");
    }
    require(!backup::detail::find_entry(lines, *head, "no/such path", complaint) ||
                whole.find("no/such path"),
            "an entry is found that is not there");
}

void look_at_manifest(std::string_view text) {
    std::string complaint;
    auto const state = backup::detail::parse_manifest(text, complaint);
    require(state.has_value() == complaint.empty(), "refused without a reason");
    if (!state) return;
    auto const written = backup::detail::serialize(*state);
    auto const again = backup::detail::parse_manifest(written, complaint);
    require(again && backup::detail::serialize(*again) == written,
            "a manifest does not survive being written");
    look_up(*state, text);
}

/// First as it is, then with an end line that agrees: no mutation would get past it otherwise.
void run_manifest(std::string_view input) {
    look_at_manifest(input);
    std::string complaint;
    auto rest = input;
    (void)backup::detail::parse_header(cut(rest, '\n'), complaint);
    auto const end = input.find("{\"end\"");
    std::string text(input.substr(0, end));
    if (!text.ends_with('\n')) text += '\n';
    auto const sum = backup::detail::hasher(backup::hash::sha256).of(text);
    text += fmt::format("{{\"end\":true,\"lines\":{},\"sha256\":\"{}\"}}\n",
                        std::ranges::count(text, '\n'), backup::detail::hex(sum));
    look_at_manifest(text);
}

/// The head of anything, and a search in what follows.
void run_manifest_search(std::string_view input) {
    auto const path = std::string(cut(input, '\n'));
    std::string complaint;
    std::string_view lines;
    auto const head = backup::detail::parse_head(input, lines, complaint);
    require(head.has_value() == complaint.empty(), "refused without a reason");
    if (!head) return;
    auto const found = backup::detail::find_entry(lines, *head, path, complaint);
    require(!found || found->path == path, "another entry than the one that was looked for");
}

// ---- patterns of gitignore(5) ----

/// The first line is a path, the others are patterns.
void run_ignore(std::string_view input) {
    auto const path = cut(input, '\n');
    backup::detail::ignore_list const all(input);
    for (bool const folder : {false, true}) {
        auto const verdict = all.leaves_out(path, folder);
        std::optional<bool> last; // the last line that matches counts
        for (auto rest = input; !rest.empty();)
            if (auto const one = backup::detail::ignore_pattern::parse(cut(rest, '\n')))
                if (one->matches(path, folder)) last = !one->negative();
        require(verdict == last, "a list is not the sum of its lines");
    }
}

// ---- encrypted files ----

class file_of : public backup::stored_file {
public:
    explicit file_of(std::string bytes) : bytes_(std::move(bytes)) {}
    std::uint64_t size() const override { return bytes_.size(); }
    std::size_t read(std::uint64_t offset, std::span<char> into) const override {
        auto const from = std::min(static_cast<std::size_t>(offset), bytes_.size());
        return std::string_view(bytes_).substr(from).copy(into.data(), into.size());
    }

private:
    std::string bytes_;
};

/// The content; nullopt for anything but what was sealed.
std::optional<std::string> unsealed(std::string bytes, backup::store_key const& key) {
    try {
        auto const file =
            backup::decrypted(std::make_unique<file_of>(std::move(bytes)), "input", key);
        return std::string(file->view());
    } catch (error const& refused) {
        require(refused.code() == backup::errc::corrupt && !refused.said().empty(),
                "refused for another reason than damage");
    }
    return std::nullopt;
}

std::string seal_all(backup::detail::sealer to, std::string_view plain) {
    using backup::detail::sealed_plain;
    auto bytes = to.head();
    for (; plain.size() > sealed_plain; plain.remove_prefix(sealed_plain))
        bytes += to.seal(plain.substr(0, sealed_plain), false);
    return bytes + to.seal(plain, true);
}

/// The input as such a file, then as the content of one, of which a bit flips that it chooses.
void run_sealed(std::string_view input) {
    using namespace backup::detail;
    std::array<unsigned char, 32> const bytes{7};
    std::array<unsigned char, 16> salt{};
    backup::store_key const key(bytes);
    if (auto const plain = unsealed(std::string(input), key)) {
        std::ranges::copy(input.substr(16, 16), salt.begin());
        require(seal_all(sealer(key, salt), *plain) == input, "two files of one content and salt");
    }
    auto file = seal_all(sealer(key, salt), input);
    auto const length = sealed_length::of(file.size());
    require(length && length->plain == input.size(), "a length of another content");
    require(unsealed(file, key) == input, "what was sealed does not open");
    std::size_t place = input.size();
    for (char const c : input.substr(0, 8)) place = place * 131 + static_cast<unsigned char>(c);
    file[place % file.size()] ^= static_cast<char>(1 << place / file.size() % 8);
    require(!unsealed(file, key), "a bit that flipped is not seen");
}

// ---- maps of sparse files ----

void run_sparse(std::string_view input) {
    using pieces = std::vector<std::pair<std::uint64_t, std::string>>;
    constexpr std::uint64_t size = 100'000;
    auto const read = [&](std::size_t step, bool& sound) {
        backup::detail::sparse_reader reader(size);
        pieces placed;
        auto const place = [&](std::uint64_t at, std::string_view bytes) {
            require(at <= size && bytes.size() <= size - at, "a piece outside the file");
            bool const goes_on =
                !placed.empty() && placed.back().first + placed.back().second.size() == at;
            if (goes_on)
                placed.back().second += bytes;
            else
                placed.emplace_back(at, bytes);
        };
        sound = true;
        for (std::size_t at = 0; at < input.size() && sound; at += step)
            sound = reader.feed(input.substr(at, step), place);
        sound = sound && reader.complete();
        return placed;
    };
    bool sound = false, same = false;
    auto const whole = read(std::max<std::size_t>(input.size(), 1), sound);
    for (std::size_t const step : {1, 7}) {
        auto const again = read(step, same);
        require(same == sound && (!sound || again == whole), "it depends on how the map is cut");
    }
}

// ---- DNS ----

void look_at_answer(dns::detail::bytes packet, std::string_view name, dns::type wanted) {
    auto const found = dns::detail::parse_answer(packet, name, wanted);
    require(found.values.empty() == (found.status != dns::status::answered),
            "records without an answer, or an answer without records");
    require((found.status == dns::status::server_failure) == static_cast<bool>(found.why),
            "a failure without a reason");
    require(found.ttl.count() >= 0 && found.ttl <= std::chrono::hours(24 * 7), "a ttl of ages");
    // A record takes 11 bytes of the packet at least, and a name at most four times 255.
    require(found.values.size() * 11 <= packet.size(), "more records than there is room for");
    for (auto const& one : found.values)
        require(dns::to_string(one).size() <= 4 * (packet.size() + 2 * 255) + 100,
                "a record of more bytes than there are");
}

void run_dns(std::string_view input) {
    using dns::type;
    std::vector<unsigned char> const all(input.begin(), input.end());
    for (auto const wanted : {type::a, type::ns, type::cname, type::soa, type::ptr, type::mx,
                              type::txt, type::aaaa, type::srv, type::tlsa, type::caa})
        look_at_answer(all, "web.example", wanted);
    (void)dns::detail::rcode_of(all);
    if (!dns::detail::is_name(input)) return;
    auto const query = dns::detail::make_query(1, input, type::a, true);
    require(query.size() <= 12 + 255 + 4 + 11, "a question that is too long");
    auto const echoed = dns::detail::parse_answer(query, input, type::a);
    require(echoed.status == dns::status::no_data, "a question that cannot be read");
}

// ---- SFTP ----

std::vector<std::string> packets_of(std::string_view stream, std::size_t step, bool& whole) {
    sftp::detail::packet_stream cutter;
    std::vector<std::string> found;
    auto const keep = [&](std::string packet) { found.push_back(std::move(packet)); };
    whole = true;
    for (; whole && !stream.empty(); stream.remove_prefix(std::min(step, stream.size())))
        whole = cutter.feed(stream.substr(0, step), keep);
    return found;
}

void look_at_reply(std::string packet) {
    using namespace sftp::detail;
    auto const size = packet.size();
    auto const found = parse_reply(std::move(packet));
    if (!found) return;
    auto const data = parse_data(*found);
    require(!data || data->size() + 9 <= size, "data beyond its packet");
    auto const handle = parse_handle(*found);
    require(!handle || handle->size() <= 256, "a handle that is too long");
    auto const names = parse_names(*found);
    require(!names || names->size() * 12 + 9 <= size, "more names than bytes for them");
    auto const attributes = parse_attributes(*found);
    (void)parse_file_system(*found), (void)parse_limits(*found);
    require(data.has_value() + handle.has_value() + names.has_value() + attributes.has_value() +
                    parse_status(*found).has_value() <=
                1,
            "one reply has two meanings");
    if (!attributes) return;
    packet_writer again(packet::attrs, found->id);
    again.attrs(*attributes);
    auto const read = parse_reply(again.take().substr(4));
    require(read && parse_attributes(*read) == attributes,
            "attributes do not survive being written");
}

/// The input is what a server sends: its version and then replies.
void run_sftp(std::string_view input) {
    bool good = false, same = false;
    auto const packets = packets_of(input, input.size(), good);
    for (std::size_t const step : {1, 7}) {
        auto const again = packets_of(input, step, same);
        require(packets == again && good == same, "packets depend on how the stream is cut");
    }
    for (auto const& packet : packets) {
        (void)sftp::detail::parse_version(packet);
        look_at_reply(packet);
    }
}

// ---- files of a spool ----

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

smtp::detail::http_reply reply_in(std::string_view bytes, std::size_t step) {
    smtp::detail::http_reply reply(500);
    for (; !bytes.empty(); bytes.remove_prefix(std::min(step, bytes.size())))
        reply.receive(bytes.substr(0, step));
    reply.end();
    return reply;
}

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
    auto const id = sts_id_of(input);
    require(!id || (!id->empty() && id->size() <= 32), "an id out of range");
}

// ---- SOCKS ----

/// The input is what a client of -D sends.
void run_socks(std::string_view input) {
    using ssh::detail::socks_request;
    socks_request whole, bytewise;
    std::string replies, again;
    std::size_t used = 0, taken = 0;
    while (whole.at() == socks_request::stage::reading && used < input.size()) {
        auto const piece = input.substr(used, whole.wanted());
        require(!piece.empty() && whole.wanted() <= 300, "it wants nothing, or too much");
        replies += whole.take(piece), used += piece.size();
    }
    while (bytewise.at() == socks_request::stage::reading && taken < input.size())
        again += bytewise.take(input.substr(taken++, 1));
    require(whole.at() == bytewise.at() && replies == again && used == taken &&
                whole.host() == bytewise.host() && whole.port() == bytewise.port(),
            "a request depends on how the stream is cut");
    if (whole.at() != socks_request::stage::complete) return;
    require(!whole.host().empty() && whole.host().size() <= 255 &&
                whole.host().find('\0') == std::string::npos,
            "a host that cannot be one");
    auto const size = whole.answer(socks_request::outcome::granted).size();
    require(size == (input.front() == 4 ? 8u : 10u), "an answer of another version");
}

constexpr entry all[] = {
    {"icmp", run_icmp},
    {"targets", run_targets},
    {"smtp", run_smtp},
    {"mime", run_mime},
    {"known_hosts", run_known_hosts},
    {"manifest", run_manifest},
    {"dns", run_dns},
    {"ssh_config", run_ssh_config},
    {"sftp", run_sftp},
    {"mail", run_mail},
    {"spool", run_spool},
    {"sts", run_sts},
    {"ignore", run_ignore},
    {"sparse", run_sparse},
    {"manifest_search", run_manifest_search},
    {"socks", run_socks},
    {"sealed", run_sealed},
};

} // namespace

std::span<entry const> entries() { return all; }

} // namespace trawl::fuzz
