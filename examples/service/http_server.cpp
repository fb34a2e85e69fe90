#include "http_server.hpp"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <chrono>
#include <sstream>
#include <utility>

using trawl::awaitable;

namespace service {
namespace {

asio::ip::tcp::acceptor listen(asio::any_io_executor executor, asio::ip::tcp::endpoint at) try {
    return asio::ip::tcp::acceptor(executor, at);
} catch (std::system_error const& e) {
    std::ostringstream where;
    where << "listening at " << at;
    throw trawl::error(e.code(), where.str());
}

} // namespace

http_server::http_server(asio::any_io_executor executor, options configuration, handler answer,
                         trawl::observer& log)
    : options_(configuration), handler_(std::move(answer)), log_(log),
      acceptor_(listen(executor, configuration.at)), places_(configuration.connections) {}

awaitable<> http_server::run() {
    auto const body = [this](trawl::task_group& connections) { return accept_into(connections); };
    co_await trawl::with_group(body);
}

awaitable<> http_server::accept_into(trawl::task_group& connections) {
    auto executor = co_await asio::this_coro::executor;
    while (!stopping_) {
        auto place = co_await places_.acquire();
        asio::ip::tcp::socket socket(executor);
        std::error_code failed;
        co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, failed));
        if (!failed) {
            connections.spawn(serve(std::move(socket), std::move(place)));
        } else if (!stopping_) {
            log_.log(trawl::severity::warning, "http accept", failed.message());
            co_await trawl::sleep_for(
                std::chrono::milliseconds(100)); // no descriptor, for instance
        }
    }
}

void http_server::stop() {
    stopping_ = true;
    acceptor_.close();
    for (auto* client : open_) client->stop_waiting();
}

awaitable<> http_server::serve(asio::ip::tcp::socket socket, trawl::limiter::ticket) {
    exchange client(std::move(socket), options_.connection);
    open_.insert(&client);
    try {
        bool more = co_await client.next();
        while (more) {
            if (stopping_) client.close_behind();
            co_await answer(client);
            more = false;
            if (client.kept() && !stopping_) more = co_await client.next();
        }
    } catch (std::system_error const& e) {
        // It left, or was too slow: there is nobody to answer.
        if (!trawl::is_cancelled(e)) log_.log(trawl::severity::debug, "http client", e.what());
    }
    open_.erase(&client);
}

awaitable<> http_server::answer(exchange& client) {
    std::string why;
    try {
        co_await handler_(client);
    } catch (std::system_error const&) {
        if (client.answered()) throw;
        why = trawl::describe(std::current_exception());
    } catch (std::exception const& e) {
        why = e.what();
    }
    if (why.empty()) co_return;
    log_.log(trawl::severity::error, "http " + client.asked().path, why);
    client.close_behind();
    if (!client.answered()) co_await client.answer(refusal(500, why));
}

} // namespace service
