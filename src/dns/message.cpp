#include "dns/message.hpp"

#include <boost/container/small_vector.hpp>
#include <fmt/format.h>

#include <algorithm>

namespace trawl::dns::detail {

namespace {

constexpr std::size_t header_size = 12, longest_name = 255; // RFC 1035 §4.1.1, §3.1
constexpr unsigned type_opt = 41, class_in = 1;
constexpr std::size_t most_aliases = 16;         // no sane chain is longer; loops end here
constexpr std::uint32_t longest_ttl = 7 * 86400; // BIND's; RFC 2181 §8 lets a cache cap it

enum rcode : unsigned { no_error = 0, name_error = 3, refused = 5 };

constexpr bool is_plain(unsigned char c) { return c > ' ' && c < 0x7f && c != '.' && c != '\\'; }

void append_label(std::string& text, bytes label) {
    if (std::ranges::all_of(label, is_plain)) {
        text.append(label.begin(), label.end());
        return;
    }
    for (unsigned char c : label) {
        if (is_plain(c))
            text += static_cast<char>(c);
        else if (c == '.' || c == '\\')
            text += '\\', text += static_cast<char>(c);
        else
            text += fmt::format("\\{:03}", c);
    }
}

void make_lower(std::string& text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
}

/// Reads forward; past the end everything is 0, and ok() is false from then on.
class reader {
public:
    explicit reader(bytes packet, std::size_t at = 0) : packet_(packet), at_(at) {}

    bool ok() const noexcept { return ok_; }
    std::size_t at() const noexcept { return at_; }
    void fail() noexcept { ok_ = false; }

    std::uint8_t u8() {
        auto const one = take(1);
        return one.empty() ? std::uint8_t{0} : one[0];
    }
    std::uint16_t u16() {
        auto const two = take(2);
        return two.empty() ? std::uint16_t{0} : static_cast<std::uint16_t>(two[0] << 8 | two[1]);
    }
    std::uint32_t u32() {
        std::uint32_t const high = u16();
        return high << 16 | u16();
    }
    /// The next `size` bytes; none when there are fewer.
    bytes take(std::size_t size) {
        if (!ok_ || packet_.size() - at_ < size) return fail(), bytes();
        at_ += size;
        return packet_.subspan(at_ - size, size);
    }
    std::string text(std::size_t size) {
        auto const taken = take(size);
        return {taken.begin(), taken.end()};
    }
    std::string name() {
        std::string text;
        read_name(&text);
        return text;
    }
    void skip_name() { read_name(nullptr); }

    /// As name(), into `text`; null: it is passed over.
    void read_name(std::string* text);

private:
    bytes packet_;
    std::size_t at_;
    bool ok_ = true;
};

// RFC 1035 §4.1.4. A pointer leads before the place where its name, or the part of it that another
// pointer led to, begins: so every one leads further back, and there is an end.
void reader::read_name(std::string* text) {
    std::size_t at = at_, lowest = at_, size = 1;
    bool jumped = false;
    if (text) text->clear();
    while (ok_) {
        if (at >= packet_.size()) break;
        std::size_t const length = packet_[at];
        if (length == 0) {
            if (!jumped) at_ = at + 1;
            if (text && text->empty()) *text = ".";
            return;
        }
        if (length >= 0xc0) {
            if (at + 1 >= packet_.size()) break;
            if (!jumped) at_ = at + 2;
            jumped = true;
            at = (length & 0x3f) << 8 | packet_[at + 1];
            if (at >= lowest) break;
            lowest = at;
            continue;
        }
        size += length + 1;
        if (length > 63 || size > longest_name || packet_.size() - at <= length) break;
        if (text) {
            if (!text->empty()) *text += '.';
            append_label(*text, packet_.subspan(at + 1, length));
        }
        at += length + 1;
    }
    fail();
    if (text) text->clear();
}

// ---- what a record says ----

template <class Bytes>
asio::ip::address address_of(reader& data) {
    typename Bytes::bytes_type raw{};
    auto const taken = data.take(raw.size());
    std::copy(taken.begin(), taken.end(), raw.begin());
    return Bytes(raw);
}

mx mx_of(reader& data) {
    auto const preference = data.u16();
    return {preference, data.name()};
}

srv srv_of(reader& data) {
    auto const priority = data.u16(), weight = data.u16(), port = data.u16();
    return {priority, weight, port, data.name()};
}

soa soa_of(reader& data) {
    soa made;
    made.primary = data.name();
    made.mailbox = data.name();
    for (auto* number : {&made.serial, &made.refresh, &made.retry, &made.expire, &made.minimum})
        *number = data.u32();
    return made;
}

txt txt_of(reader& data, std::size_t end) {
    txt made;
    while (data.ok() && data.at() < end) {
        auto const length = data.u8();
        made.strings.push_back(data.text(length));
    }
    return made;
}

tlsa tlsa_of(reader& data, std::size_t end) {
    auto const usage = data.u8(), selector = data.u8(), matching = data.u8();
    return {usage, selector, matching, data.text(end - std::min(end, data.at()))};
}

caa caa_of(reader& data, std::size_t end) {
    auto const flags = data.u8(), length = data.u8();
    auto tag = data.text(length);
    return {flags, std::move(tag), data.text(end - std::min(end, data.at()))};
}

value value_of(reader& data, type of, std::size_t end) {
    switch (of) {
    case type::a: return address_of<asio::ip::address_v4>(data);
    case type::aaaa: return address_of<asio::ip::address_v6>(data);
    case type::ns:
    case type::cname:
    case type::ptr: return data.name();
    case type::mx: return mx_of(data);
    case type::srv: return srv_of(data);
    case type::soa: return soa_of(data);
    case type::txt: return txt_of(data, end);
    case type::tlsa: return tlsa_of(data, end);
    case type::caa: return caa_of(data, end);
    }
    data.fail();
    return std::string();
}

// ---- the packet ----

struct record {
    unsigned type = 0, of_class = 0;
    std::uint32_t ttl = 0;
    std::size_t owner = 0, data = 0, end = 0; // where in the packet
    std::string alias;                        // of a CNAME: the owner, canonical
};

class answer_reader {
public:
    answer_reader(bytes packet, std::string_view name, type wanted)
        : packet_(packet), rest_(packet), wanted_(wanted), name_(canonical(name)) {}

    answer read();

private:
    record next();
    bool read_sections();
    void read_answers(unsigned count);
    void read_authority(unsigned count);
    void read_additional(unsigned count);
    void follow_aliases();
    void collect_values();
    std::string const& owner_of(record const& one);
    void hold_for(std::uint32_t ttl);
    answer failed(errc why) const;

    bytes packet_;
    reader rest_;
    type wanted_;
    std::string name_;  // canonical; at the end that of the last alias
    std::string owner_; // of the record that owner_of() has looked at
    boost::container::small_vector<record, 2> answers_;
    std::optional<std::uint32_t> negative_ttl_; // RFC 2308 §5
    std::optional<std::uint32_t> ttl_;
    unsigned extended_rcode_ = 0;
    answer made_;
};

record answer_reader::next() {
    record one;
    one.owner = rest_.at();
    rest_.skip_name();
    one.type = rest_.u16();
    one.of_class = rest_.u16();
    one.ttl = rest_.u32();
    if (one.ttl >> 31) one.ttl = 0; // RFC 2181 §8
    std::size_t const length = rest_.u16();
    one.data = rest_.at();
    rest_.take(length);
    one.end = rest_.at();
    return one;
}

void answer_reader::read_answers(unsigned count) {
    for (; count > 0 && rest_.ok(); --count) {
        auto one = next();
        bool const alias = one.type == static_cast<unsigned>(type::cname);
        bool const ours = alias || one.type == static_cast<unsigned>(wanted_);
        if (!ours || one.of_class != class_in) continue;
        if (alias) one.alias = owner_of(one);
        answers_.push_back(std::move(one));
    }
}

void answer_reader::read_authority(unsigned count) {
    for (; count > 0 && rest_.ok(); --count) {
        auto const one = next();
        if (one.type != static_cast<unsigned>(type::soa) || !rest_.ok()) continue;
        reader data(packet_.first(one.end), one.data);
        auto const zone = soa_of(data);
        if (data.ok()) negative_ttl_ = std::min(one.ttl, zone.minimum);
    }
}

void answer_reader::read_additional(unsigned count) {
    for (; count > 0 && rest_.ok(); --count) {
        auto const one = next();
        if (one.type == type_opt) extended_rcode_ = one.ttl >> 24; // RFC 6891 §6.1.3
    }
}

bool answer_reader::read_sections() {
    unsigned const questions = rest_.u16(), answers = rest_.u16(), authority = rest_.u16(),
                   additional = rest_.u16();
    for (unsigned i = 0; i < questions && rest_.ok(); ++i) {
        rest_.skip_name();
        rest_.take(4);
    }
    read_answers(answers);
    read_authority(authority);
    read_additional(additional);
    return rest_.ok();
}

std::string const& answer_reader::owner_of(record const& one) {
    reader at(packet_, one.owner);
    at.read_name(&owner_);
    make_lower(owner_);
    return owner_;
}

void answer_reader::hold_for(std::uint32_t ttl) { ttl_ = std::min(ttl_.value_or(ttl), ttl); }

void answer_reader::follow_aliases() {
    if (wanted_ == type::cname) return;
    for (std::size_t steps = 0; steps < most_aliases; ++steps) {
        auto const alias = std::ranges::find_if(
            answers_, [&](record const& r) { return !r.alias.empty() && r.alias == name_; });
        if (alias == answers_.end()) return;
        reader data(packet_.first(alias->end), alias->data);
        auto target = data.name();
        make_lower(target);
        if (!data.ok()) return rest_.fail();
        hold_for(alias->ttl);
        name_ = std::move(target);
    }
    rest_.fail();
}

void answer_reader::collect_values() {
    for (auto const& one : answers_) {
        if (one.type != static_cast<unsigned>(wanted_) || owner_of(one) != name_) continue;
        // A compressed name may point anywhere before, but nothing reads past the record's end.
        reader data(packet_.first(one.end), one.data);
        auto found = value_of(data, wanted_, one.end);
        if (!data.ok() || data.at() != one.end) return rest_.fail();
        made_.values.push_back(std::move(found));
        hold_for(one.ttl);
    }
}

answer answer_reader::failed(errc why) const {
    answer made;
    made.status = status::server_failure;
    made.why = why;
    return made;
}

answer answer_reader::read() {
    rest_.u16(); // the id
    auto const flags = rest_.u16();
    bool const whole = read_sections();
    auto const code = (flags & 15u) | extended_rcode_ << 4;
    if (code == refused) return failed(errc::refused);
    if (code != no_error && code != name_error && packet_.size() >= header_size)
        return failed(errc::server_failure);
    if (!whole) return failed(errc::bad_answer);
    follow_aliases();
    if (code == no_error) collect_values();
    if (!rest_.ok()) return failed(errc::bad_answer);

    made_.status = !made_.values.empty() ? status::answered
                   : code == name_error  ? status::no_such_name
                                         : status::no_data;
    if (made_.values.empty()) hold_for(negative_ttl_.value_or(0));
    made_.ttl = std::chrono::seconds(std::min(ttl_.value_or(0), longest_ttl));
    made_.authenticated = flags & 0x20u;
    made_.name = std::move(name_);
    return std::move(made_);
}

void put16(std::vector<unsigned char>& to, unsigned value) {
    to.push_back(static_cast<unsigned char>(value >> 8 & 255));
    to.push_back(static_cast<unsigned char>(value & 255));
}

} // namespace

bool is_name(std::string_view name) {
    if (name.ends_with('.')) name.remove_suffix(1);
    if (name.empty() || name.size() > 253) return false;
    std::size_t label = 0;
    for (unsigned char c : name) {
        if (c <= ' ' || c >= 0x7f || c == '\\') return false;
        if (c == '.' && label == 0) return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63) return false;
    }
    return label > 0;
}

std::string canonical(std::string_view name) {
    if (name.size() > 1 && name.ends_with('.')) name.remove_suffix(1);
    std::string lower(name);
    make_lower(lower);
    return lower;
}

std::string reverse_name(asio::ip::address const& address) {
    std::string name;
    if (address.is_v4()) {
        auto const octets = address.to_v4().to_bytes();
        return fmt::format("{}.{}.{}.{}.in-addr.arpa", octets[3], octets[2], octets[1], octets[0]);
    }
    auto const octets = address.to_v6().to_bytes();
    for (auto octet = octets.rbegin(); octet != octets.rend(); ++octet)
        name += fmt::format("{:x}.{:x}.", *octet & 15, *octet >> 4);
    return name + "ip6.arpa";
}

void append_query(std::vector<unsigned char>& packet, std::uint16_t id, std::string_view name,
                  type wanted, bool edns) {
    if (name.ends_with('.')) name.remove_suffix(1);
    put16(packet, id);
    put16(packet, 0x0120); // RD, AD
    for (unsigned count : {1u, 0u, 0u, edns ? 1u : 0u}) put16(packet, count);
    while (!name.empty()) {
        auto const label = name.substr(0, name.find('.'));
        packet.push_back(static_cast<unsigned char>(label.size()));
        packet.insert(packet.end(), label.begin(), label.end());
        name.remove_prefix(std::min(name.size(), label.size() + 1));
    }
    packet.push_back(0);
    put16(packet, static_cast<unsigned>(wanted));
    put16(packet, class_in);
    if (!edns) return;
    packet.push_back(0); // the root
    for (unsigned word : {type_opt, unsigned{udp_payload}, 0u, 0u, 0u}) put16(packet, word);
}

answer parse_answer(bytes packet, std::string_view name, type wanted) {
    return answer_reader(packet, name, wanted).read();
}

unsigned rcode_of(bytes packet) noexcept {
    return packet.size() < header_size ? 0u : packet[3] & 15u;
}

} // namespace trawl::dns::detail
