#include "lab/listener.hpp"

#include "lab/lab.hpp"

#include <trawl/error.hpp>

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

#include <fmt/format.h>

namespace trawl::lab {

using asio::ip::tcp;

namespace {

std::string name_of(tcp::endpoint const& where) {
    auto const address = where.address().to_string();
    return fmt::format(fmt::runtime(where.address().is_v6() ? "[{}]:{}" : "{}:{}"), address,
                       where.port());
}

} // namespace

tcp::acceptor listen(asio::any_io_executor const& executor, tcp::endpoint const& where) {
    if (!where.address().is_loopback())
        throw error(errc::not_loopback, "lab listen " + name_of(where));
    tcp::acceptor listener(executor);
    try {
        listener.open(where.protocol());
        listener.set_option(tcp::acceptor::reuse_address(true));
        listener.bind(where);
        listener.listen();
    } catch (std::system_error const& failure) {
        throw error(failure.code(), "lab listen " + name_of(where));
    }
    return listener;
}

awaitable<tcp::socket> accept(tcp::acceptor& listener) {
    for (;;) {
        asio::error_code failure;
        auto socket =
            co_await listener.async_accept(asio::redirect_error(asio::use_awaitable, failure));
        if (!failure) co_return socket;
        if (failure == asio::error::operation_aborted) throw std::system_error(failure);
        if (failure == std::errc::too_many_files_open ||
            failure == std::errc::too_many_files_open_in_system ||
            failure == std::errc::no_buffer_space || failure == std::errc::not_enough_memory)
            co_await sleep_for(
                std::chrono::milliseconds(100)); // the backlog keeps the client meanwhile
        else if (failure != std::errc::connection_aborted && failure != std::errc::protocol_error)
            throw error(failure, "lab accept " + name_of(listener.local_endpoint()));
    }
}

} // namespace trawl::lab
