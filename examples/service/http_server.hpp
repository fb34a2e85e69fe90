#pragma once

#include "exchange.hpp"

#include <trawl/limiter.hpp>
#include <trawl/observer.hpp>
#include <trawl/task_group.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>

#include <cstddef>
#include <functional>
#include <set>

namespace service {

/// HTTP/1.1 on one executor: a coroutine for each connection, all of them children of run().
class http_server {
public:
    struct options {
        asio::ip::tcp::endpoint at;   ///< port 0: a free one
        std::size_t connections = 64; ///< at a time; further clients wait in the backlog
        exchange::options connection = {};
    };
    /// Answers one request. What it throws is answered with 500, or ends a stream that has begun.
    using handler = std::function<trawl::awaitable<>(exchange&)>;

    /// Listens at once. `log` outlives the server. Throws trawl::error when it cannot.
    http_server(asio::any_io_executor executor, options configuration, handler answer,
                trawl::observer& log);
    http_server(http_server const&) = delete;
    http_server& operator=(http_server const&) = delete;

    asio::ip::tcp::endpoint where() const { return acceptor_.local_endpoint(); }

    /// Serves until stop(), then returns when the last connection has ended.
    trawl::awaitable<> run();
    /// Accepts no more; idle connections are closed, the others after their answer.
    void stop();

private:
    trawl::awaitable<> accept_into(trawl::task_group& connections);
    trawl::awaitable<> serve(asio::ip::tcp::socket socket, trawl::limiter::ticket place);
    trawl::awaitable<> answer(exchange& client);

    options options_;
    handler handler_;
    trawl::observer& log_;
    asio::ip::tcp::acceptor acceptor_;
    trawl::limiter places_;
    std::set<exchange*> open_;
    bool stopping_ = false;
};

} // namespace service
