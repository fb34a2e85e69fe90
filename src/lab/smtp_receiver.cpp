#include "lab/smtp_receiver.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace trawl::lab {
namespace {

// RFC 5321 §4.5.3.1.4 says 512; parameters of the extensions add to that.
constexpr std::size_t max_command_line = 2048;

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

bool same(std::string_view a, std::string_view b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return upper(x) == upper(y); });
}

// "FROM:<a@b> ..." -> "<a@b> ...". A space after the colon is wrong (§3.3) but common.
bool strip_keyword(std::string_view& argument, std::string_view keyword) {
    if (!same(argument.substr(0, keyword.size()), keyword)) return false;
    argument.remove_prefix(keyword.size());
    while (argument.starts_with(' ')) argument.remove_prefix(1);
    return true;
}

std::string_view next_word(std::string_view& text) {
    while (text.starts_with(' ')) text.remove_prefix(1);
    auto const word = text.substr(0, text.find(' '));
    text.remove_prefix(word.size());
    return word;
}

bool printable(std::string_view text) {
    return std::none_of(text.begin(), text.end(), [](char c) {
        auto const byte = static_cast<unsigned char>(c);
        return byte < 0x20 || byte == 0x7f;
    });
}

} // namespace

bool parse_path(std::string_view argument, std::string& address, std::string_view& rest) {
    if (!argument.starts_with('<')) return false;
    std::size_t end = 1;
    for (bool quoted = false; end < argument.size(); ++end) {
        char const c = argument[end];
        if (quoted && c == '\\') {
            ++end;
            continue;
        }
        if (c == '"') quoted = !quoted;
        if (quoted) continue;
        if (c == '>') break;
        if (c == ' ' || c == '<' || c == '(' || c == ')' || c == ',' || c == ';') {
            // Only a source route has commas: <@one,@two:user@example.org>.
            if (c != ',' || argument[1] != '@') return false;
        }
    }
    if (end >= argument.size()) return false;
    auto inside = argument.substr(1, end - 1);
    if (inside.starts_with('@')) {
        auto const colon = inside.find(':');
        if (colon == std::string_view::npos) return false;
        inside.remove_prefix(colon + 1);
        if (inside.empty()) return false;
    }
    if (inside.size() > 320) return false; // 64 + @ + 255, §4.5.3.1
    if (!inside.empty() && (inside.front() == '@' || inside.back() == '@')) return false;
    address.assign(inside);
    rest = argument.substr(end + 1);
    return rest.empty() || rest.front() == ' ';
}

smtp_receiver::smtp_receiver(options limits, mail_store& store)
    : limits_(std::move(limits)), store_(store) {
    reply(fmt::format("220 {} ESMTP trawl lab", limits_.name));
}

smtp_receiver::~smtp_receiver() {
    if (storing_) store_.abandon();
}

std::string smtp_receiver::take_replies() { return std::exchange(replies_, {}); }

void smtp_receiver::receive(std::string_view bytes) {
    while (!bytes.empty() && !finished_)
        bytes.remove_prefix(phase_ == phase::data ? take_text(bytes) : take_command(bytes));
}

std::size_t smtp_receiver::take_command(std::string_view bytes) {
    auto const newline = bytes.find('\n');
    auto const used = newline == std::string_view::npos ? bytes.size() : newline + 1;
    if (line_.size() + used > max_command_line) {
        overlong_ = true;
        line_.clear();
    }
    if (!overlong_) line_ += bytes.substr(0, used);
    if (newline == std::string_view::npos) return used;

    auto const line = std::exchange(line_, {});
    if (std::exchange(overlong_, false))
        refuse("500 5.5.2 line too long");
    else if (!line.ends_with("\r\n"))
        refuse("500 5.5.2 a line ends in CRLF, not in LF alone"); // §2.3.8
    else if (auto const text = std::string_view(line).substr(0, line.size() - 2); !printable(text))
        refuse("500 5.5.2 control character in a command");
    else
        command(text);
    return used;
}

void smtp_receiver::command(std::string_view line) {
    auto argument = line;
    auto const verb = next_word(argument);
    while (argument.starts_with(' ')) argument.remove_prefix(1);
    while (argument.ends_with(' ')) argument.remove_suffix(1);

    auto const is = [&](std::string_view name) { return same(verb, name); };
    if (is("EHLO") || is("HELO"))
        hello(argument, is("EHLO"));
    else if (is("MAIL"))
        mail(argument);
    else if (is("RCPT"))
        recipient(argument);
    else if (is("DATA"))
        data(argument);
    else if (is("RSET")) {
        if (!argument.empty()) return refuse("501 5.5.4 RSET has no argument");
        reset();
        reply("250 2.0.0 forgotten");
    } else if (is("NOOP"))
        reply("250 2.0.0 OK");
    else if (is("QUIT")) {
        if (!argument.empty()) return refuse("501 5.5.4 QUIT has no argument");
        finished_ = true;
        reply("221 2.0.0 bye");
    } else if (is("VRFY")) {
        if (argument.empty()) return refuse("501 5.5.4 VRFY needs a name");
        reply("252 2.5.0 not verified; try RCPT");
    } else if (is("HELP"))
        reply("214 2.0.0 RFC 5321: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
    else if (is("EXPN") || is("STARTTLS") || is("AUTH") || is("BDAT") || is("TURN") || is("ETRN"))
        refuse("502 5.5.1 not implemented");
    else
        refuse("500 5.5.2 no such command");
}

void smtp_receiver::hello(std::string_view argument, bool extended) {
    if (argument.empty()) return refuse("501 5.5.4 give your name");
    reset(); // §4.1.4: as RSET
    phase_ = phase::greeted;
    if (!extended) return reply(fmt::format("250 {}", limits_.name));
    reply(fmt::format("250-{}", limits_.name));
    reply("250-PIPELINING");
    reply(fmt::format("250-SIZE {}", limits_.max_message));
    reply("250-8BITMIME");
    reply("250-SMTPUTF8");
    reply("250 ENHANCEDSTATUSCODES");
}

void smtp_receiver::mail(std::string_view argument) {
    if (phase_ == phase::start) return refuse("503 5.5.1 EHLO first");
    if (phase_ != phase::greeted) return refuse("503 5.5.1 a message has begun already");
    std::string address;
    std::string_view parameters;
    if (!strip_keyword(argument, "FROM:")) return refuse("501 5.5.4 MAIL FROM:<address>");
    if (!parse_path(argument, address, parameters)) return refuse("501 5.1.7 bad sender address");
    for (auto word = next_word(parameters); !word.empty(); word = next_word(parameters)) {
        auto const equals = word.find('=');
        auto const key = word.substr(0, equals);
        auto const value =
            equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
        if (same(key, "SIZE")) {
            std::uint64_t size = 0;
            auto const [end, failure] =
                std::from_chars(value.data(), value.data() + value.size(), size);
            if (value.empty() || failure == std::errc::invalid_argument ||
                end != value.data() + value.size())
                return refuse("501 5.5.4 SIZE=bytes");
            if (failure != std::errc() || size > limits_.max_message)
                return refuse(fmt::format("552 5.3.4 more than {} bytes", limits_.max_message));
        } else if (same(key, "BODY")) {
            if (!same(value, "7BIT") && !same(value, "8BITMIME"))
                return refuse("501 5.5.4 BODY=7BIT or BODY=8BITMIME");
        } else if (!same(word, "SMTPUTF8")) {
            return refuse("555 5.5.4 unknown parameter");
        }
    }
    envelope_.from = std::move(address);
    phase_ = phase::mail;
    reply("250 2.1.0 sender OK");
}

void smtp_receiver::recipient(std::string_view argument) {
    if (phase_ != phase::mail && phase_ != phase::rcpt) return refuse("503 5.5.1 MAIL first");
    std::string address;
    std::string_view parameters;
    if (!strip_keyword(argument, "TO:")) return refuse("501 5.5.4 RCPT TO:<address>");
    if (!parse_path(argument, address, parameters) || address.empty())
        return refuse("501 5.1.3 bad recipient address");
    if (!next_word(parameters).empty()) return refuse("555 5.5.4 unknown parameter");
    if (envelope_.to.size() >= limits_.max_recipients)
        return reply("452 4.5.3 too many recipients");
    if (!limits_.refused.empty() && address.starts_with(limits_.refused))
        return reply("550 5.1.1 no such mailbox");
    if (!limits_.deferred.empty() && address.starts_with(limits_.deferred))
        return reply("451 4.2.1 mailbox busy, try later");
    envelope_.to.push_back(std::move(address));
    phase_ = phase::rcpt;
    reply("250 2.1.5 recipient OK");
}

void smtp_receiver::data(std::string_view argument) {
    if (!argument.empty()) return refuse("501 5.5.4 DATA has no argument");
    if (phase_ == phase::mail) return refuse("554 5.5.1 no valid recipients"); // RFC 2920 §3.1
    if (phase_ != phase::rcpt) return refuse("503 5.5.1 MAIL and RCPT first");
    try {
        store_.begin(envelope_);
    } catch (std::system_error const& failure) {
        return refuse(fmt::format("451 4.3.0 cannot store: {}", failure.code().message()));
    }
    storing_ = true;
    size_ = line_length_ = 0;
    failure_.clear();
    at_ = at::line_start;
    phase_ = phase::data;
    reply("354 end with a line that holds a dot alone");
}

// Only CRLF ends a line here: "LF . LF" and its like are text (RFC 5321 §2.3.8, §4.1.1.4), so that
// nobody can smuggle a second message into the first.
std::size_t smtp_receiver::take_text(std::string_view bytes) {
    std::size_t i = 0;
    while (i < bytes.size()) {
        char const c = bytes[i];
        switch (at_) {
        case at::line_start:
            line_length_ = 0;
            at_ = at::text;
            if (c == '.') at_ = at::dot, ++i; // stuffing or the end: not text either way
            break;
        case at::dot:
            at_ = at::text;
            if (c == '\r') at_ = at::dot_cr, ++i;
            break;
        case at::dot_cr:
            if (c == '\n') {
                end_of_text();
                return i + 1;
            }
            store_text("\r");
            at_ = at::text;
            break;
        case at::text: {
            auto const end = std::min(bytes.find('\r', i), bytes.size());
            store_text(bytes.substr(i, end - i));
            i = end;
            if (i < bytes.size()) at_ = at::text_cr, ++i;
            break;
        }
        case at::text_cr:
            at_ = at::text;
            if (c == '\n') {
                line_length_ -= std::min<std::size_t>(line_length_, 2); // CRLF does not count
                store_text("\r\n");
                at_ = at::line_start, ++i;
            } else {
                store_text("\r");
            }
            break;
        }
    }
    return i;
}

void smtp_receiver::store_text(std::string_view text) {
    size_ += text.size();
    line_length_ += text.size();
    if (!storing_) return;
    if (size_ > limits_.max_message)
        failure_ = fmt::format("552 5.3.4 more than {} bytes", limits_.max_message);
    else if (limits_.max_text_line > 0 && line_length_ > limits_.max_text_line)
        failure_ = fmt::format("554 5.6.0 a line of more than {} bytes", limits_.max_text_line);
    else {
        try {
            return store_.append(text);
        } catch (std::system_error const& failure) {
            failure_ = fmt::format("451 4.3.0 cannot store: {}", failure.code().message());
        }
    }
    store_.abandon(); // and swallow the rest: the client may not be interrupted before its dot
    storing_ = false;
}

void smtp_receiver::end_of_text() {
    std::string name;
    if (std::exchange(storing_, false)) {
        try {
            name = store_.commit();
        } catch (std::system_error const& failure) {
            failure_ = fmt::format("451 4.3.0 cannot store: {}", failure.code().message());
            store_.abandon();
        }
    }
    auto const failure = std::exchange(failure_, {});
    reset();
    if (!failure.empty()) return refuse(failure);
    ++stored_;
    reply(fmt::format("250 2.0.0 stored as {}", name));
}

void smtp_receiver::reset() {
    envelope_ = {};
    if (phase_ != phase::start) phase_ = phase::greeted;
}

void smtp_receiver::reply(std::string_view line) {
    errors_ = 0;
    replies_ += line;
    replies_ += "\r\n";
}

void smtp_receiver::refuse(std::string_view line) {
    auto const errors = errors_ + 1;
    reply(line);
    errors_ = errors;
    if (errors_ < limits_.max_errors) return;
    reply(fmt::format("421 4.7.0 {} too many errors", limits_.name));
    finished_ = true;
}

} // namespace trawl::lab
