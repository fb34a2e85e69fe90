#include <trawl/ssh.hpp>
#include <trawl/ssh_agent.hpp>

#include "ssh/agent_messages.hpp"
#include "ssh/known_hosts.hpp"
#include "ssh/base64.hpp"

#include <asio/buffer.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <cstdlib>

namespace trawl::ssh {
namespace {

constexpr std::size_t largest_message = 256 * 1024; // as OpenSSH's agent
constexpr std::size_t most_connections = 16;        // its backlog is 128, for all of its users

awaitable<std::string> exchange(asio::any_io_executor executor, std::string socket,
                                std::string request) {
    asio::local::stream_protocol::socket link(executor);
    asio::local::stream_protocol::endpoint const at(socket);
    co_await link.async_connect(at, asio::use_awaitable);
    co_await asio::async_write(link, asio::buffer(request), asio::use_awaitable);
    std::array<char, 4> head{};
    co_await asio::async_read(link, asio::buffer(head), asio::use_awaitable);
    std::size_t size = 0;
    for (char const c : head) size = size << 8 | static_cast<unsigned char>(c);
    if (size > largest_message) throw error(errc::bad_agent, "ssh agent " + socket, "too much");
    std::string answer(size, '\0');
    co_await asio::async_read(link, asio::buffer(answer), asio::use_awaitable);
    co_return answer;
}

} // namespace

std::string agent_key::fingerprint() const { return detail::sha256_fingerprint(blob); }

agent::agent(asio::any_io_executor executor, options configuration)
    : executor_(std::move(executor)), options_(std::move(configuration)),
      connections_(most_connections) {
    char const* const set = std::getenv("SSH_AUTH_SOCK");
    if (options_.socket.empty() && set) options_.socket = set;
}

awaitable<std::string> agent::ask(std::string request) {
    auto const where = "ssh agent " + options_.socket.string();
    auto const place = co_await connections_.acquire();
    auto framed = detail::frame(request);
    try {
        auto answer = exchange(executor_, options_.socket.string(), std::move(framed));
        co_return co_await with_timeout(options_.timeout, std::move(answer), where);
    } catch (error const&) {
        throw;
    } catch (std::system_error const& failed) {
        if (is_cancelled(failed)) throw;
        throw error(failed.code(), where);
    }
}

awaitable<std::vector<agent_key>> agent::keys() {
    auto const answer = co_await ask(detail::make_identities_request());
    auto keys = detail::parse_identities_answer(answer);
    if (!keys)
        throw error(errc::bad_agent, "ssh agent " + options_.socket.string(), "lists no keys");
    co_return std::move(*keys);
}

awaitable<std::string> agent::sign(agent_key key, std::string data, std::uint32_t flags) {
    detail::sign_request const what{std::move(key.blob), std::move(data), flags};
    auto const answer = co_await ask(detail::make_sign_request(what));
    auto signature = detail::parse_signature_answer(answer);
    if (!signature)
        throw error(errc::bad_agent, "ssh agent " + options_.socket.string(),
                    "does not sign with " + key.comment);
    co_return std::move(*signature);
}

} // namespace trawl::ssh
