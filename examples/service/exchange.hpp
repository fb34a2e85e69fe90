#pragma once

#include "http_request.hpp"
#include "http_response.hpp"

#include <trawl/async.hpp>

#include <asio/ip/tcp.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace service {

/// One client's connection: reads a request, then carries the answer to it, whole or as a stream.
class exchange {
public:
    struct options {
        request_reader::limits limits = {};
        std::chrono::milliseconds idle{30'000};  ///< for the first byte of a request
        std::chrono::milliseconds read{10'000};  ///< for the rest of it
        std::chrono::milliseconds write{30'000}; ///< for each piece of an answer
    };

    exchange(asio::ip::tcp::socket socket, options const& how);
    exchange(exchange const&) = delete;
    exchange& operator=(exchange const&) = delete;

    /// Waits for a request. False when none came: the client left, was silent for too long, or sent
    /// something that was refused.
    trawl::awaitable<bool> next();
    /// Ends a wait of next() that has no byte of a request yet.
    void stop_waiting();

    request const& asked() const noexcept { return request_; }
    bool answered() const noexcept { return answered_; }
    /// Whether another request may follow.
    bool kept() const noexcept { return request_.keep_alive; }
    /// No request follows the answer.
    void close_behind() noexcept { request_.keep_alive = false; }

    trawl::awaitable<> answer(response whole);

    /// An answer whose body comes piece by piece, one caller at a time.
    trawl::awaitable<> begin(response head);
    trawl::awaitable<> write(std::string piece);
    trawl::awaitable<> end();

    /// Runs until it is cancelled or the client leaves, and throws then: a background child of the
    /// group in which a long answer is made. What the client sends meanwhile is its next request.
    trawl::awaitable<> until_it_leaves();

    /// Closes so that an answer to a request that was not read to its end arrives (RFC 9112 §9.6).
    trawl::awaitable<> linger();

private:
    trawl::awaitable<std::size_t> fill();
    trawl::awaitable<bool> rest();
    trawl::awaitable<> send(std::string text);
    trawl::awaitable<> send_all(std::string text);
    trawl::awaitable<bool> refuse(int status, std::string why);

    asio::ip::tcp::socket socket_;
    options const& options_;
    request_reader reader_;
    request request_;
    std::string input_; // read and not yet taken by the reader
    std::array<char, 8192> piece_;
    bool waiting_ = false, answered_ = false, chunks_ = false;
};

} // namespace service
