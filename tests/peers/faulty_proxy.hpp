#pragma once

#include <trawl/async.hpp>
#include <trawl/task_group.hpp>

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace trawl::test {

/// A TCP proxy on loopback that spoils what it carries: one fault a connection, at a byte that the
/// test chooses.
class faulty_proxy {
public:
    using tcp = asio::ip::tcp;

    enum class kind {
        none,
        cut,   ///< closes both sides
        stall, ///< nothing arrives any more, and both sides stay open
        flip,  ///< of one bit
    };
    struct fault {
        kind what = kind::none;
        bool to_client = true; ///< in which direction
        std::size_t after = 0; ///< so many bytes of it
    };

    /// `next` is asked for each connection.
    faulty_proxy(asio::any_io_executor executor, tcp::endpoint target, std::function<fault()> next)
        : acceptor_(executor, tcp::endpoint(asio::ip::address_v4::loopback(), 0)), target_(target),
          next_(std::move(next)) {}

    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    std::size_t open() const noexcept { return open_; }       ///< connections now
    std::size_t flipped() const noexcept { return flipped_; } ///< bits

    /// Until it is cancelled.
    awaitable<> serve() {
        auto const all = [this](task_group& group) -> awaitable<> {
            for (;;) {
                tcp::socket client(acceptor_.get_executor());
                co_await acceptor_.async_accept(client, asio::use_awaitable);
                group.spawn(join(std::move(client)));
            }
        };
        co_await with_group(all);
    }

private:
    awaitable<> join(tcp::socket client) {
        tcp::socket server(acceptor_.get_executor());
        asio::error_code failed;
        co_await server.async_connect(target_, asio::redirect_error(asio::use_awaitable, failed));
        if (failed) co_return;
        for (auto* end : {&client, &server}) end->set_option(tcp::no_delay(true));
        auto const chosen = next_();
        fault const none;
        ++open_;
        auto const both = [&](task_group& group) -> awaitable<> {
            group.spawn(carry(server, client, chosen.to_client ? chosen : none));
            group.spawn(carry(client, server, chosen.to_client ? none : chosen));
            co_return;
        };
        co_await with_group(both);
        --open_;
    }

    awaitable<> carry(tcp::socket& from, tcp::socket& to, fault spoil) {
        std::array<char, 16 * 1024> piece;
        asio::error_code end;
        for (std::size_t before = 0;;) {
            auto size = co_await from.async_read_some(
                asio::buffer(piece), asio::redirect_error(asio::use_awaitable, end));
            if (end) break;
            bool const reached = spoil.what != kind::none && before + size > spoil.after;
            auto const left = spoil.after - std::min(before, spoil.after);
            if (reached && spoil.what == kind::flip && before <= spoil.after)
                piece[left] = static_cast<char>(piece[left] ^ 4), ++flipped_;
            else if (reached && spoil.what != kind::flip)
                size = left;
            before += size;
            co_await asio::async_write(to, asio::buffer(piece.data(), size),
                                       asio::redirect_error(asio::use_awaitable, end));
            if (reached && spoil.what == kind::cut) end = asio::error::connection_aborted;
            if (end) break;
        }
        asio::error_code ignored;
        to.shutdown(tcp::socket::shutdown_send, ignored);
        if (end == asio::error::eof) co_return;
        for (auto* side : {&from, &to}) side->shutdown(tcp::socket::shutdown_both, ignored);
    }

    tcp::acceptor acceptor_;
    tcp::endpoint target_;
    std::function<fault()> next_;
    std::size_t open_ = 0, flipped_ = 0;
};

} // namespace trawl::test
