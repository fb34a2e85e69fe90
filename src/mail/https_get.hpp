#pragma once

#include <trawl/async.hpp>

#include <asio/ip/address.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// As much of HTTP/1.1 (RFC 9112) as it takes to fetch one small text.
namespace trawl::smtp::detail {

/// The reply to a GET as its bytes come in, within bounds.
class http_reply {
public:
    static constexpr std::size_t most_head = 16384;
    explicit http_reply(std::size_t most_body) : most_body_(most_body) {}

    /// Any number of bytes, cut anywhere.
    void receive(std::string_view bytes);
    /// The connection has ended in good order.
    void end();

    bool complete() const noexcept { return state_ == state::complete; }
    /// What is wrong with it; empty: nothing so far.
    std::string const& fault() const noexcept { return fault_; }
    int code() const noexcept { return code_; }
    std::string const& type() const noexcept { return type_; } ///< lower case, without parameters
    std::string const& body() const noexcept { return body_; }

private:
    enum class state { head, sized, until_end, chunk_size, chunk, chunk_end, trailer, complete };
    bool step();
    void head_line(std::string_view line);
    void header(std::string_view name, std::string_view value);
    void end_of_head();
    bool body_of(std::uint64_t& left, state next);
    void fail(std::string why);

    std::size_t most_body_;
    state state_ = state::head;
    std::string pending_, body_, fault_, type_;
    int code_ = 0;
    std::size_t head_size_ = 0;
    std::uint64_t left_ = 0;
    bool sized_ = false, chunked_ = false;
};

struct https_options {
    std::string ca_file; ///< PEM; empty: the system's authorities
    std::uint16_t port = 443;
    std::chrono::milliseconds timeout{60'000}; ///< for everything
    std::size_t most_body = 65536;             ///< bytes
};

/// Fetches https://HOST/PATH from one of `addresses`: the text of a reply 200 of type text/plain.
/// The certificate has to name `host`; no redirection is followed. Throws error, said() telling what
/// came instead.
awaitable<std::string> https_get(std::string host, std::vector<asio::ip::address> addresses,
                                 std::string path, https_options how);

} // namespace trawl::smtp::detail
