#pragma once

#include <trawl/async.hpp>
#include <trawl/task_group.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/ip/udp.hpp>
#include <asio/read.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace trawl::test {

/// A scripted name server on loopback, UDP and TCP on one port: what it answers is what the case
/// says.
class name_server {
public:
    enum type : unsigned { a = 1, cname = 5, soa = 6, ptr = 12, mx = 15, txt = 16, aaaa = 28 };
    using bytes = std::vector<unsigned char>;

    struct query {
        std::string name; // lower case, without the last dot
        unsigned type;
        bool tcp;
        std::size_t number; // how often this very question was asked before
        bytes packet;
    };
    struct record {
        std::string name;
        unsigned type;
        bytes data;
        unsigned ttl = 60;
    };
    struct reply {
        unsigned rcode = 0;
        std::vector<record> records = {};
        bool truncated = false;
        std::chrono::milliseconds delay{0};
        std::optional<bytes> raw = {}; // sent instead, as it is
        bool authenticated = false;    // AD
        std::vector<record> authority = {};
    };
    using script = std::function<std::optional<reply>(query const&)>; // nullopt: says nothing

    name_server(asio::any_io_executor executor, script says)
        : script_(std::move(says)), udp_(executor), tcp_(executor) {
        using asio::ip::address_v4;
        for (int attempt = 0;; ++attempt) { // until a port is free for both
            udp_ = asio::ip::udp::socket(executor, {address_v4::loopback(), 0});
            std::error_code failure;
            tcp_.open(asio::ip::tcp::v4());
            tcp_.bind({address_v4::loopback(), port()}, failure);
            if (!failure) break;
            if (attempt == 20) throw std::system_error(failure);
            tcp_.close();
        }
        tcp_.listen();
    }

    std::uint16_t port() const { return udp_.local_endpoint().port(); }
    std::string where() const { return "127.0.0.1:" + std::to_string(port()); }
    std::vector<query> const& asked() const { return asked_; }

    /// Before start(): a TCP connection is cut as soon as it stands, so that what the client writes
    /// finds a broken pipe (EPIPE).
    void cut_connections() { cuts_ = true; }

    /// Starts to serve; ends with the group.
    void start(task_group& group) {
        group.spawn_background(serve_udp(group));
        group.spawn_background(cuts_ ? cut_tcp() : serve_tcp(group));
    }

    static bytes encode(std::string_view name) {
        bytes wire;
        while (!name.empty()) {
            auto const label = name.substr(0, name.find('.'));
            wire.push_back(static_cast<unsigned char>(label.size()));
            wire.insert(wire.end(), label.begin(), label.end());
            name.remove_prefix(std::min(name.size(), label.size() + 1));
        }
        wire.push_back(0);
        return wire;
    }
    static record address(std::string name, std::string_view text) {
        auto const value = asio::ip::make_address(text);
        if (value.is_v4()) {
            auto const four = value.to_v4().to_bytes();
            return {std::move(name), a, bytes(four.begin(), four.end())};
        }
        auto const sixteen = value.to_v6().to_bytes();
        return {std::move(name), aaaa, bytes(sixteen.begin(), sixteen.end())};
    }

private:
    static void put16(bytes& to, unsigned value) {
        to.push_back(static_cast<unsigned char>(value >> 8));
        to.push_back(static_cast<unsigned char>(value & 255));
    }

    query parse(bytes packet, bool tcp) {
        query found{"", 0, tcp, 0, std::move(packet)};
        auto const& p = found.packet;
        std::size_t at = 12;
        while (at < p.size() && p[at] != 0) {
            if (!found.name.empty()) found.name += '.';
            for (std::size_t i = 1; i <= p[at]; ++i) {
                auto const c = static_cast<char>(p.at(at + i));
                found.name += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
            }
            at += p[at] + 1u;
        }
        found.type = p.at(at + 1) * 256u + p.at(at + 2);
        for (auto const& before : asked_)
            found.number +=
                before.name == found.name && before.type == found.type && before.tcp == tcp;
        asked_.push_back(found);
        return found;
    }

    static bytes encode(query const& question, reply const& answer) {
        if (answer.raw) return *answer.raw;
        bytes packet(question.packet.begin(), question.packet.begin() + 2);
        put16(packet, 0x8180u | answer.rcode | (answer.truncated ? 0x0200u : 0u) |
                          (answer.authenticated ? 0x0020u : 0u));
        put16(packet, 1);
        put16(packet, answer.truncated ? 0 : static_cast<unsigned>(answer.records.size()));
        put16(packet, answer.truncated ? 0 : static_cast<unsigned>(answer.authority.size()));
        put16(packet, 0);
        auto const name = encode(question.name);
        packet.insert(packet.end(), name.begin(), name.end());
        put16(packet, question.type);
        put16(packet, 1);
        if (answer.truncated) return packet;
        for (auto const& record : answer.records) put(packet, record);
        for (auto const& record : answer.authority) put(packet, record);
        return packet;
    }

    static void put(bytes& packet, record const& one) {
        auto const owner = encode(one.name);
        packet.insert(packet.end(), owner.begin(), owner.end());
        put16(packet, one.type);
        put16(packet, 1);
        put16(packet, one.ttl >> 16);
        put16(packet, one.ttl & 0xffff);
        put16(packet, static_cast<unsigned>(one.data.size()));
        packet.insert(packet.end(), one.data.begin(), one.data.end());
    }

    awaitable<> serve_udp(task_group& group) {
        bytes buffer(4096);
        for (;;) {
            asio::ip::udp::endpoint peer;
            auto const room = asio::buffer(buffer);
            auto const size = co_await udp_.async_receive_from(room, peer, asio::use_awaitable);
            auto const question =
                parse(bytes(buffer.begin(), buffer.begin() + static_cast<long>(size)), false);
            auto const answer = script_(question);
            if (!answer) continue;
            auto packet = encode(question, *answer);
            group.spawn_background(send(std::move(packet), peer, answer->delay));
        }
    }

    awaitable<> send(bytes packet, asio::ip::udp::endpoint peer, std::chrono::milliseconds delay) {
        if (delay.count() > 0) co_await sleep_for(delay);
        auto const data = asio::buffer(packet);
        co_await udp_.async_send_to(data, peer, asio::use_awaitable);
    }

    awaitable<> serve_tcp(task_group& group) {
        for (;;) {
            auto peer = co_await tcp_.async_accept(asio::use_awaitable);
            group.spawn_background(talk(std::move(peer)));
        }
    }

    /// Looks at every turn of the loop, and so before the client can learn that it is connected. A reset
    /// after the end of what this side sends is a broken pipe there.
    awaitable<> cut_tcp() {
        tcp_.non_blocking(true);
        for (;; co_await yield()) {
            std::error_code none;
            auto peer = tcp_.accept(none);
            if (none) continue;
            peer.shutdown(asio::ip::tcp::socket::shutdown_send);
            peer.set_option(asio::socket_base::linger(true, 0));
            peer.close(); // the destructor would not linger
        }
    }

    awaitable<> talk(asio::ip::tcp::socket peer) {
        try {
            for (;;) {
                std::array<unsigned char, 2> length;
                auto const head = asio::buffer(length);
                co_await asio::async_read(peer, head, asio::use_awaitable);
                bytes packet(length[0] * 256u + length[1]);
                auto const body = asio::buffer(packet);
                co_await asio::async_read(peer, body, asio::use_awaitable);
                auto const question = parse(std::move(packet), true);
                auto const answer = script_(question);
                if (!answer) continue;
                auto const wire = encode(question, *answer);
                bytes framed;
                put16(framed, static_cast<unsigned>(wire.size()));
                framed.insert(framed.end(), wire.begin(), wire.end());
                auto const data = asio::buffer(framed);
                co_await asio::async_write(peer, data, asio::use_awaitable);
            }
        } catch (std::system_error const& e) {
            if (e.code() != asio::error::eof) throw;
        }
    }

    script script_;
    asio::ip::udp::socket udp_;
    asio::ip::tcp::acceptor tcp_;
    bool cuts_ = false;
    std::vector<query> asked_;
};

} // namespace trawl::test
