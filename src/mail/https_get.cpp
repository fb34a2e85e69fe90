#include "mail/https_get.hpp"

#include "mail/address.hpp"
#include "mail/characters.hpp"
#include "net/tls.hpp"

#include <trawl/net.hpp>

#include <asio/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace trawl::smtp::detail {
namespace {

using mime::detail::lower;
using mime::detail::trimmed;

/// All of `text` as a number without sign.
bool read_number(std::string_view text, std::uint64_t& into, int base) {
    auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), into, base);
    return failure == std::errc() && end == text.data() + text.size();
}

} // namespace

void http_reply::fail(std::string why) {
    fault_ = std::move(why);
    pending_.clear();
}

void http_reply::receive(std::string_view bytes) {
    if (complete() || !fault_.empty()) return;
    pending_ += bytes;
    while (fault_.empty() && !complete() && step()) {
    }
}

/// Takes one line, or some of the body, off what is pending; false when more has to come.
bool http_reply::step() {
    switch (state_) {
    case state::sized: return body_of(left_, state::complete);
    case state::chunk: return body_of(left_, state::chunk_end);
    case state::until_end: {
        std::uint64_t all = most_body_ + 1;
        return body_of(all, state::until_end);
    }
    default: break;
    }
    auto const end = pending_.find('\n');
    auto const size = end == std::string::npos ? pending_.size() : end + 1;
    if (head_size_ + size > most_head) return fail("a head that does not end"), false;
    if (end == std::string::npos) return false;
    head_size_ += size;
    auto line = std::string_view(pending_).substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto const copy = std::string(line);
    pending_.erase(0, end + 1);
    head_line(copy);
    return true;
}

void http_reply::head_line(std::string_view line) {
    switch (state_) {
    case state::chunk_size: // RFC 9112 §7.1; extensions mean nothing here
        line = trimmed(line.substr(0, line.find(';')));
        if (line.size() > 8 || !read_number(line, left_, 16)) return fail("a chunk without size");
        if (left_ > most_body_ - body_.size()) return fail("a text that is too long");
        state_ = left_ == 0 ? state::trailer : state::chunk;
        return;
    case state::chunk_end:
        if (!line.empty()) return fail("a chunk longer than its size");
        state_ = state::chunk_size;
        return;
    case state::trailer:
        if (line.empty()) state_ = state::complete;
        return;
    default: break;
    }
    if (code_ == 0) { // the status line
        std::uint64_t code = 0;
        bool const good = line.size() >= 12 && line.starts_with("HTTP/1.") && line[8] == ' ' &&
                          (line.size() == 12 || line[12] == ' ') &&
                          read_number(line.substr(9, 3), code, 10) && code >= 100 && code < 600;
        if (!good) return fail("not HTTP/1.1");
        code_ = static_cast<int>(code);
        return;
    }
    if (line.empty()) return end_of_head();
    auto const colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 || line.front() == ' ' ||
        line.front() == '\t' || line[colon - 1] == ' ')
        return fail("a header that is none");
    header(lower(line.substr(0, colon)), trimmed(line.substr(colon + 1)));
}

void http_reply::header(std::string_view name, std::string_view value) {
    if (name == "content-type")
        type_ = lower(trimmed(value.substr(0, value.find(';'))));
    else if (name == "transfer-encoding") {
        if (chunked_ || lower(value) != "chunked") return fail("an unknown transfer encoding");
        chunked_ = true;
    } else if (name == "content-length") {
        std::uint64_t size = 0;
        if (!read_number(value, size, 10) || (sized_ && size != left_))
            return fail("a length that is none");
        sized_ = true;
        left_ = size;
    }
}

void http_reply::end_of_head() {
    if (code_ < 200) { // RFC 9110 §15.2: another one follows
        code_ = 0;
        return;
    }
    // Both would be an attack on somebody's proxy (RFC 9112 §6.3).
    if (sized_ && chunked_) return fail("two lengths");
    if (sized_ && left_ > most_body_) return fail("a text that is too long");
    state_ = chunked_ ? state::chunk_size : sized_ ? state::sized : state::until_end;
    if (sized_ && left_ == 0) state_ = state::complete;
}

bool http_reply::body_of(std::uint64_t& left, state next) {
    auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(left, pending_.size()));
    if (size > most_body_ - body_.size()) return fail("a text that is too long"), false;
    body_.append(pending_, 0, size);
    pending_.erase(0, size);
    left -= size;
    if (left == 0) state_ = next;
    return left == 0 && state_ != state::until_end;
}

void http_reply::end() {
    if (!fault_.empty() || complete()) return;
    if (state_ == state::until_end)
        state_ = state::complete;
    else
        fail("the connection ended before the text");
}

namespace {

[[noreturn]] void refuse(std::string const& host, std::string why) {
    throw error(std::make_error_code(std::errc::bad_message), "https " + host, std::move(why));
}

awaitable<std::string> fetch(std::string host, std::vector<asio::ip::address> addresses,
                             std::string path, https_options how) {
    net::options reaching;
    reaching.timeout = how.timeout;
    auto socket = co_await net::connect(host, std::move(addresses), how.port, reaching);
    net::stream wire(std::move(socket));
    net::tls_options trust;
    trust.host = host;
    trust.ca_file = how.ca_file;
    auto shaking = wire.start_tls(std::make_shared<net::tls_context>(std::move(trust)));
    co_await std::move(shaking);
    auto const request = fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/plain\r\n"
                                     "User-Agent: trawl\r\nConnection: close\r\n\r\n",
                                     path, host);
    co_await wire.write(request);
    http_reply reply(how.most_body);
    std::array<char, 4096> buffer;
    while (!reply.complete() && reply.fault().empty()) {
        std::size_t size = 0;
        try {
            size = co_await wire.read_some(asio::buffer(buffer));
        } catch (std::system_error const& e) {
            if (e.code() != asio::error::eof) throw;
        }
        if (size > 0)
            reply.receive({buffer.data(), size});
        else
            reply.end();
    }
    if (!reply.fault().empty()) refuse(host, reply.fault());
    if (reply.code() != 200) refuse(host, fmt::format("status {}", reply.code()));
    if (reply.type() != "text/plain")
        refuse(host, fmt::format("type \"{}\"", mime::detail::shown(reply.type())));
    co_return reply.body();
}

} // namespace

awaitable<std::string> https_get(std::string host, std::vector<asio::ip::address> addresses,
                                 std::string path, https_options how) {
    auto const limit = how.timeout;
    auto const where = "https " + host;
    auto fetching = fetch(std::move(host), std::move(addresses), std::move(path), std::move(how));
    std::string text;
    std::error_code failure;
    try {
        text = co_await with_timeout(limit, std::move(fetching), where);
    } catch (error const&) {
        throw;
    } catch (std::system_error const& e) {
        if (is_cancelled(e)) throw;
        failure = e.code();
    }
    if (failure) throw error(failure, where);
    co_return text;
}

} // namespace trawl::smtp::detail
