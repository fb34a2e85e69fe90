#include "mail/spool_entry.hpp"

#include "mail/smtp_connection.hpp"

#include <fmt/format.h>

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace trawl::smtp::detail {
namespace {

constexpr std::string_view magic = "trawl spool 1";
constexpr std::size_t most_words = 1000; ///< bytes of a server's words that are kept

std::uint32_t sum(std::string_view bytes, std::uint32_t before = 0) {
    return static_cast<std::uint32_t>(
        ::crc32_z(before, reinterpret_cast<Bytef const*>(bytes.data()), bytes.size()));
}

/// A line without what would end it.
std::string flat(std::string_view text) {
    std::string made(text.substr(0, most_words));
    for (char& c : made)
        if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
    return made;
}

std::string summed(std::string line) {
    auto const of = sum(line);
    return fmt::format("{} {:08x}\n", line, of);
}

[[noreturn]] void corrupt(std::string what) {
    throw error(std::make_error_code(std::errc::bad_message), "spool", std::move(what));
}

template <class Number>
Number number_of(std::string_view text, int base = 10) {
    Number found{};
    auto const [end, failure] =
        std::from_chars(text.data(), text.data() + text.size(), found, base);
    if (failure != std::errc() || end != text.data() + text.size())
        corrupt(fmt::format("\"{}\" is no number", flat(text.substr(0, 40))));
    return found;
}

std::int64_t time_in(std::string_view text) {
    constexpr std::int64_t year_3000 = 32'503'680'000;
    auto const found = number_of<std::int64_t>(text);
    if (found < 0 || found > year_3000) corrupt("a time that cannot be");
    return found;
}

/// Cuts the first word off; blanks between words are single.
std::string_view word_of(std::string_view& line) {
    auto const end = std::min(line.find(' '), line.size());
    auto const word = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
    return word;
}

std::string_view to_string(returned r) {
    return r == returned::full ? "full" : r == returned::headers ? "headers" : "unspecified";
}

std::string notify_words(notify const& n) {
    std::string made;
    for (auto const& [set, word] : {std::pair(n.never, "never"), std::pair(n.success, "success"),
                                    std::pair(n.failure, "failure"), std::pair(n.delay, "delay")})
        if (set) made += (made.empty() ? "" : " ") + std::string(word);
    return made;
}

// ---- reading ----

class entry_reader {
public:
    explicit entry_reader(std::string_view file) : file_(file) {}
    entry_read read();

private:
    /// The next line without its end; nullopt when it has none.
    std::optional<std::string_view> line();
    bool header(std::string_view one); // false at its last line
    void texts();
    void event(std::string_view one);
    std::size_t number_in(std::string_view word) const;

    std::string_view file_;
    std::size_t at_ = 0;
    std::size_t text_size_ = 0, seven_bit_size_ = 0;
    std::uint32_t header_sum_ = 0, expected_ = 0;
    spooled made_;
};

std::optional<std::string_view> entry_reader::line() {
    auto const end = file_.find('\n', at_);
    if (end == std::string_view::npos) return std::nullopt;
    auto const found = file_.substr(at_, end - at_);
    at_ = end + 1;
    return found;
}

bool entry_reader::header(std::string_view one) {
    auto const begin = at_ - one.size() - 1;
    auto const key = word_of(one);
    auto const value = std::string(one);
    auto& p = made_.parameters;
    if (key == "created")
        made_.created = made_.next = time_in(value);
    else if (key == "message-id")
        made_.message_id = value;
    else if (key == "sender")
        made_.sender = value;
    else if (key == "notify") {
        for (std::string_view rest = one; !rest.empty();) {
            auto const word = word_of(rest);
            bool* const flag = word == "never"     ? &p.notify.never
                               : word == "success" ? &p.notify.success
                               : word == "failure" ? &p.notify.failure
                               : word == "delay"   ? &p.notify.delay
                                                   : nullptr;
            if (!flag) corrupt("a notify of no known kind");
            *flag = true;
        }
    } else if (key == "return")
        p.returned = value == "full" ? returned::full : returned::headers;
    else if (key == "envelope-id")
        p.envelope_id = value;
    else if (key == "require-tls")
        p.require_tls = true;
    else if (key == "recipient")
        made_.recipients.push_back({value, status::deferred, 0, "", ""});
    else if (key == "text")
        text_size_ = number_of<std::size_t>(value);
    else if (key == "seven-bit")
        seven_bit_size_ = number_of<std::size_t>(value);
    else if (key == "crc32") {
        expected_ = number_of<std::uint32_t>(value, 16);
        header_sum_ = sum(file_.substr(0, begin));
        return false;
    } else
        corrupt(fmt::format("a line \"{}\"", flat(key.substr(0, 40))));
    return true;
}

void entry_reader::texts() {
    auto const rest = file_.substr(at_);
    if (text_size_ > rest.size() || seven_bit_size_ > rest.size() - text_size_)
        corrupt("the text is cut off");
    auto const both = rest.substr(0, text_size_ + seven_bit_size_);
    if (sum(both, header_sum_) != expected_) corrupt("envelope and text do not match their sum");
    made_.text = both.substr(0, text_size_);
    made_.seven_bit = both.substr(text_size_);
    at_ += both.size();
}

/// The recipient that a word of an event stands for.
std::size_t entry_reader::number_in(std::string_view word) const {
    auto const which = number_of<std::size_t>(word);
    if (which >= made_.recipients.size()) corrupt("a recipient that is not there");
    return which;
}

void entry_reader::event(std::string_view one) {
    auto const word = word_of(one);
    if (word == "sending") {
        while (!one.empty()) {
            auto const which = number_in(word_of(one));
            auto& r = made_.recipients[which];
            r = {r.address, status::unknown, 0, "",
                 "stopped while the message was sent: it may or may not have arrived"};
            std::erase(made_.interrupted, which);
            made_.interrupted.push_back(which);
        }
    } else if (word == "answer") {
        auto const which = number_in(word_of(one));
        std::erase(made_.interrupted, which);
        auto& r = made_.recipients[which];
        auto const is = word_of(one);
        r.status = is == "accepted"   ? status::accepted
                   : is == "refused"  ? status::refused
                   : is == "deferred" ? status::deferred
                   : is == "unknown"  ? status::unknown
                                      : (corrupt("an answer of no known kind"), status::unknown);
        r.code = number_of<int>(word_of(one));
        r.enhanced = word_of(one);
        if (r.enhanced == "-") r.enhanced.clear();
        r.text = one;
    } else if (word == "next") {
        made_.next = time_in(word_of(one));
        made_.attempts = number_of<std::uint32_t>(word_of(one));
    } else
        corrupt(fmt::format("an event \"{}\"", flat(word.substr(0, 40))));
}

entry_read entry_reader::read() {
    auto first = line();
    if (!first || *first != magic) corrupt("not a message of a spool");
    for (;;) {
        auto const one = line();
        if (!one) corrupt("the envelope is cut off");
        if (!header(*one)) break;
    }
    texts();
    auto whole = at_;
    while (auto const one = line()) {
        auto const space = one->rfind(' ');
        bool const good =
            space != std::string_view::npos && one->size() - space == 9 &&
            fmt::format("{:08x}", sum(one->substr(0, space))) == one->substr(space + 1);
        if (!good) corrupt("an event does not match its sum");
        event(one->substr(0, space));
        whole = at_;
    }
    outgoing checked;
    checked.envelope.sender = made_.sender;
    for (auto const& r : made_.recipients) checked.envelope.recipients.push_back(r.address);
    checked.parameters = made_.parameters;
    try {
        require_valid(checked);
    } catch (error const& e) {
        corrupt(e.what());
    }
    return {std::move(made_), whole};
}

} // namespace

std::vector<std::size_t> spooled::waiting() const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < recipients.size(); ++i)
        if (recipients[i].status == status::deferred) found.push_back(i);
    return found;
}

bool spooled::all_accepted() const noexcept {
    return std::all_of(recipients.begin(), recipients.end(),
                       [](auto const& r) { return r.status == status::accepted; });
}

std::string const& spooled::text_for(mime::transport way) const {
    bool const fits = way == mime::transport::utf8 ||
                      (way == mime::transport::eight_bit && !has_8bit(header_of(text)));
    return fits || seven_bit.empty() ? text : seven_bit;
}

spooled spool_entry_of(outgoing const& one, std::int64_t now) {
    require_valid(one);
    spooled made;
    made.created = made.next = now;
    made.message_id = flat(one.message_id);
    made.sender = one.envelope.sender;
    made.parameters = one.parameters;
    for (auto const& address : one.envelope.recipients)
        made.recipients.push_back({address, status::deferred, 0, "", ""});
    made.text = mime::read_all(*one.content(mime::transport::utf8));
    try {
        made.seven_bit = mime::read_all(*one.content(mime::transport::seven_bit));
    } catch (error const& e) { // an address in its header needs SMTPUTF8
        if (e.code().category() != mime::category()) throw;
    }
    if (made.seven_bit == made.text) made.seven_bit.clear();
    return made;
}

std::string write_entry(spooled const& one) {
    auto const& p = one.parameters;
    auto head = fmt::format("{}\ncreated {}\nmessage-id {}\nsender {}\n", magic, one.created,
                            one.message_id, one.sender);
    if (p.notify.any()) head += fmt::format("notify {}\n", notify_words(p.notify));
    if (p.returned != returned::unspecified)
        head += fmt::format("return {}\n", to_string(p.returned));
    if (!p.envelope_id.empty()) head += fmt::format("envelope-id {}\n", p.envelope_id);
    if (p.require_tls) head += "require-tls\n";
    for (auto const& r : one.recipients) head += fmt::format("recipient {}\n", r.address);
    head += fmt::format("text {}\nseven-bit {}\n", one.text.size(), one.seven_bit.size());
    auto const of = sum(one.seven_bit, sum(one.text, sum(head)));
    head += fmt::format("crc32 {:08x}\n", of);
    head.reserve(head.size() + one.text.size() + one.seven_bit.size());
    head += one.text;
    head += one.seven_bit;
    return head;
}

std::string sending_line(std::vector<std::size_t> const& recipients) {
    return summed(fmt::format("sending {}", fmt::join(recipients, " ")));
}

std::string answer_line(std::size_t number, recipient const& answer) {
    return summed(fmt::format("answer {} {} {} {} {}", number, smtp::to_string(answer.status),
                              answer.code, answer.enhanced.empty() ? "-" : flat(answer.enhanced),
                              flat(answer.text)));
}

std::string next_line(std::int64_t when, std::uint32_t attempts) {
    return summed(fmt::format("next {} {}", when, attempts));
}

entry_read read_entry(std::string_view file) { return entry_reader(file).read(); }

std::int64_t next_attempt(schedule const& when, std::uint32_t attempts, std::int64_t now) noexcept {
    auto wait = std::max(when.first, std::chrono::seconds(1));
    for (std::uint32_t i = 1; i < attempts && wait < when.longest; ++i) wait *= 2;
    return now + std::min(wait, std::max(when.longest, std::chrono::seconds(1))).count();
}

bool has_expired(schedule const& when, std::int64_t created, std::int64_t now) noexcept {
    return now - created >= when.expiry.count();
}

} // namespace trawl::smtp::detail
