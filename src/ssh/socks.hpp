#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace trawl::ssh::detail {

/// A client's wish to be connected, in the words of SOCKS 5 (RFC 1928: CONNECT, no authentication)
/// or of SOCKS 4 and 4a. Takes bytes, waits for nothing, and asks for no byte beyond the request:
/// what follows is the connection's own.
///
///     5:  05 n METHODS ──reply 05 00──> 05 01 00 TYPE ADDRESS PORT ──> complete
///     4:  04 01 PORT ADDRESS USER 00, and for 0.0.0.x NAME 00 ──> complete
class socks_request {
public:
    enum class stage { reading, complete, refused };
    enum class outcome { granted, failed, prohibited, refused };

    stage at() const noexcept { return stage_; }
    /// How many bytes take() is to be given; at least 1 while reading.
    std::size_t wanted() const noexcept { return wanted_ - bytes_.size(); }
    /// Takes up to wanted() bytes. Returns what is to be sent to the client now; when the request is
    /// refused, that is the last.
    std::string take(std::string_view bytes);

    /// Of a complete request: a name or an address as text, 255 bytes at most, printable.
    std::string const& host() const noexcept { return host_; }
    std::uint16_t port() const noexcept { return port_; }
    /// The answer to a complete request.
    std::string answer(outcome how) const;

private:
    std::string greeting();
    std::string methods();
    std::string request();
    std::string address();
    std::string request_4();
    std::string text_4();
    std::string wait_for(std::size_t total, std::string (socks_request::*then)());
    std::string refuse(std::string reply);
    std::string complete(std::string host, std::size_t port_at);
    std::string reply_5(unsigned char code) const;
    std::uint16_t number(std::size_t at) const;

    stage stage_ = stage::reading;
    std::size_t wanted_ = 2; // in bytes_ before next_ goes on
    std::string (socks_request::*next_)() = &socks_request::greeting;
    std::string bytes_, host_;
    std::uint16_t port_ = 0;
    bool version_4_ = false, named_ = false;
    std::size_t text_ = 0; // where SOCKS 4's current text begins
};

} // namespace trawl::ssh::detail
