#include "ssh/socks.hpp"

#include <asio/ip/address.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace trawl::ssh::detail {
namespace {

constexpr char connect_command = 1;
constexpr std::size_t longest_text = 255;
constexpr std::size_t head = 4; // of a request of version 5, before the address

/// RFC 1928 §6.
enum reply_code : unsigned char {
    succeeded = 0,
    general_failure = 1,
    not_allowed = 2,
    connection_refused = 5,
    command_not_supported = 7,
    address_type_not_supported = 8,
};

template <class Address>
std::string address_text(char const* bytes) {
    typename Address::bytes_type raw;
    std::memcpy(raw.data(), bytes, raw.size());
    return Address(raw).to_string();
}

/// Without what ends a text elsewhere, or a line of the log.
bool is_printable(std::string_view name) {
    auto const bad = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == 0x7f; };
    return !name.empty() && std::ranges::none_of(name, bad);
}

} // namespace

std::string socks_request::take(std::string_view bytes) {
    if (stage_ != stage::reading) return {};
    bytes_ += bytes.substr(0, wanted());
    return wanted() == 0 ? (this->*next_)() : std::string();
}

std::string socks_request::wait_for(std::size_t total, std::string (socks_request::*then)()) {
    wanted_ = total, next_ = then;
    return {};
}

std::string socks_request::refuse(std::string reply) {
    stage_ = stage::refused;
    wanted_ = bytes_.size();
    return reply;
}

std::string socks_request::complete(std::string host, std::size_t port_at) {
    stage_ = stage::complete;
    host_ = std::move(host), port_ = number(port_at);
    wanted_ = bytes_.size();
    return {};
}

std::uint16_t socks_request::number(std::size_t at) const {
    return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes_[at]) << 8 |
                                      static_cast<unsigned char>(bytes_[at + 1]));
}

std::string socks_request::greeting() {
    auto const second = static_cast<unsigned char>(bytes_[1]);
    if (bytes_[0] == 5 && second > 0) return wait_for(2u + second, &socks_request::methods);
    if (bytes_[0] == 4 && second == connect_command) return wait_for(8, &socks_request::request_4);
    version_4_ = bytes_[0] == 4;
    return refuse(version_4_ ? answer(outcome::failed) : std::string());
}

std::string socks_request::methods() {
    bool const none_offered = bytes_.find('\0', 2) == bytes_.npos; // 0: no authentication
    bytes_.clear();
    if (none_offered) return refuse("\x05\xff");
    wait_for(head + 1, &socks_request::request);
    return std::string("\x05\x00", 2);
}

std::string socks_request::request() {
    if (bytes_[0] != 5) return refuse(reply_5(general_failure));
    if (bytes_[1] != connect_command) return refuse(reply_5(command_not_supported));
    std::size_t size = 0;
    switch (bytes_[3]) {
    case 1: size = 4; break;
    case 3: size = 1u + static_cast<unsigned char>(bytes_[head]); break;
    case 4: size = 16; break;
    default: return refuse(reply_5(address_type_not_supported));
    }
    return wait_for(head + size + 2, &socks_request::address);
}

std::string socks_request::address() {
    auto const* const at = bytes_.data() + head;
    auto const end = bytes_.size() - 2;
    if (bytes_[3] == 1) return complete(address_text<asio::ip::address_v4>(at), end);
    if (bytes_[3] == 4) return complete(address_text<asio::ip::address_v6>(at), end);
    auto name = bytes_.substr(head + 1, end - head - 1);
    if (!is_printable(name)) return refuse(reply_5(general_failure));
    return complete(std::move(name), end);
}

std::string socks_request::request_4() {
    version_4_ = true;
    named_ = bytes_.compare(4, 3, "\0\0\0", 3) == 0 && bytes_[7] != 0;
    text_ = 8;
    return wait_for(9, &socks_request::text_4);
}

/// One byte more of the user's name, which nobody looks at, or of the host's.
std::string socks_request::text_4() {
    if (bytes_.back() != 0) {
        if (bytes_.size() - text_ > longest_text) return refuse(answer(outcome::failed));
        return wait_for(bytes_.size() + 1, &socks_request::text_4);
    }
    bool const is_user = text_ == 8;
    if (is_user && !named_)
        return complete(address_text<asio::ip::address_v4>(bytes_.data() + 4), 2);
    if (is_user) {
        text_ = bytes_.size();
        return wait_for(bytes_.size() + 1, &socks_request::text_4);
    }
    auto name = bytes_.substr(text_, bytes_.size() - 1 - text_);
    if (!is_printable(name)) return refuse(answer(outcome::failed));
    return complete(std::move(name), 2);
}

std::string socks_request::reply_5(unsigned char code) const {
    std::string reply("\x05\x00\x00\x01\0\0\0\0\0\0", 10); // the address bound is nobody's business
    reply[1] = static_cast<char>(code);
    return reply;
}

std::string socks_request::answer(outcome how) const {
    if (version_4_)
        return std::string("\0", 1) + (how == outcome::granted ? "\x5a" : "\x5b") +
               std::string(6, '\0');
    switch (how) {
    case outcome::granted: return reply_5(succeeded);
    case outcome::prohibited: return reply_5(not_allowed);
    case outcome::refused: return reply_5(connection_refused);
    case outcome::failed: break;
    }
    return reply_5(general_failure);
}

} // namespace trawl::ssh::detail
