#include "ssh/tunnel.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <utility>

namespace trawl::ssh {
namespace detail {
namespace {

/// The server's words in "Channel opening failure: channel 43 error (2) Connection refused".
std::string refusal(std::string const& said) {
    auto const reason = said.find("error (");
    auto const words = reason == said.npos ? said.npos : said.find(") ", reason);
    return words == said.npos ? said : said.substr(words + 2);
}

/// Two connected sockets, non-blocking.
std::pair<stream_socket, stream_socket> make_pair(stream_socket::executor_type const& executor) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        throw error(std::error_code(errno, std::generic_category()), "a socket pair for a tunnel");
    asio::generic::stream_protocol const local(AF_UNIX, 0);
    return {stream_socket(executor, local, ends[0]), stream_socket(executor, local, ends[1])};
}

} // namespace

std::string to_text(asio::ip::tcp::endpoint const& at) {
    auto const address = at.address().to_string();
    return (at.address().is_v6() ? "[" + address + "]" : address) + ":" + std::to_string(at.port());
}

awaitable<std::shared_ptr<bridge>> open_bridge(state_ptr through, std::string host,
                                               std::uint16_t port,
                                               std::chrono::milliseconds limit) {
    auto const peer = host + ":" + std::to_string(port);
    auto const link = through->link;
    if (!link)
        throw failure(errc::not_connected, phase::connect, peer,
                      "the session with " + through->peer + " is not connected");
    try {
        auto opened = std::make_shared<bridge>(link);
        co_await opened->open(std::move(host), port, step_within(phase::connect, limit));
        co_return opened;
    } catch (failure const& thrown) {
        throw failure(thrown.code(), phase::connect, peer,
                      "through " + through->peer + ": " + refusal(thrown.said()));
    }
}

awaitable<tunnel> open_tunnel(state_ptr through, std::string host, std::uint16_t port,
                              std::chrono::milliseconds limit) {
    auto opened = co_await open_bridge(std::move(through), std::move(host), port, limit);
    auto executor = co_await asio::this_coro::executor;
    auto [ours, theirs] = make_pair(executor);
    opened->start(std::move(ours));
    tunnel made{std::move(theirs), std::move(opened)};
    co_return made;
}

} // namespace detail

awaitable<asio::generic::stream_protocol::socket> session::open_tunnel(std::string host,
                                                                       std::uint16_t port) {
    auto made =
        co_await detail::open_tunnel(state_, std::move(host), port, state_->how.timeouts.connect);
    co_return std::move(made.socket);
}

} // namespace trawl::ssh
