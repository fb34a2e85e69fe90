#pragma once

#include <trawl/async.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/ip/tcp.hpp>

namespace trawl::lab {

/// Listens on `where`; port 0 chooses one. Throws error(lab::errc::not_loopback) for an address
/// that another machine could reach, before any socket is made, and what the system said otherwise.
asio::ip::tcp::acceptor listen(asio::any_io_executor const& executor,
                               asio::ip::tcp::endpoint const& where);

/// The next connection. Waits out a lack of descriptors or memory; connections that died in the
/// backlog are skipped. `listener` outlives the call. Cancelling leaves it listening.
awaitable<asio::ip::tcp::socket> accept(asio::ip::tcp::acceptor& listener);

} // namespace trawl::lab
