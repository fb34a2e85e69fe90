#pragma once

#include "cli/ping_writer.hpp"

#include <initializer_list>
#include <string>
#include <vector>

namespace trawl::test {

using namespace std::chrono_literals;

/// Keeps what a writer writes.
struct recorder : cli::text_sink {
    void out(std::string_view text) override { stdout_text += text; }
    void err(std::string_view text) override { stderr_text += text; }
    std::string stdout_text, stderr_text;
};

/// The hosts of a run, and the calls that one who runs it makes of what happens to them.
class ping_events {
public:
    ping_events(cli::ping_writer& writer, std::initializer_list<std::string_view> addresses)
        : writer_(writer) {
        for (auto address : addresses) add(std::string(address), std::string(address));
    }
    void add(std::string name, std::string const& address) {
        cli::pinged_host h;
        h.number = hosts.size(), h.place = h.number;
        h.name = h.label = std::move(name);
        h.address = asio::ip::make_address(address);
        hosts.push_back(std::move(h));
    }

    void begin() { writer_.begin(hosts); }
    void reply(std::size_t host, unsigned index, duration rtt = 50us, std::uint16_t bytes = 64) {
        auto e = made(host, index, icmp::status::up);
        e.rtt = rtt, e.from = e.target, e.bytes = bytes, e.hops_left = 63;
        told(e, host);
    }
    void again(std::size_t host, unsigned index, duration rtt, std::string_view from) {
        auto e = made(host, index, icmp::status::up);
        e.rtt = rtt, e.from = asio::ip::make_address(from), e.bytes = 64, e.duplicate = true;
        told(e, host);
    }
    void silence(std::size_t host, unsigned index) {
        told(made(host, index, icmp::status::down), host);
    }
    void error(std::size_t host, unsigned index, std::uint8_t type, std::uint8_t code,
               std::string_view from) {
        auto e = made(host, index, icmp::status::unreachable);
        e.rtt = 1ms, e.from = asio::ip::make_address(from), e.type = type, e.code = code;
        e.why = icmp::errc::unreachable;
        told(e, host);
    }
    void failure(std::size_t host, unsigned index, std::error_code why) {
        auto e = made(host, index, icmp::status::unknown);
        e.why = why;
        told(e, host);
    }
    void ended(std::size_t host, icmp::status how, std::error_code why = {}) {
        auto const& h = hosts[host];
        icmp::result r;
        r.address = h.address, r.status = how, r.why = why, r.rtt = h.tally.average();
        r.sent = static_cast<std::uint32_t>(h.tally.sent());
        r.received = static_cast<std::uint32_t>(h.tally.received());
        writer_.host(h, r);
    }
    void interval() {
        writer_.interval(hosts);
        for (auto& h : hosts) h.recent = {};
    }
    void snapshot() {
        writer_.snapshot(hosts);
        for (auto& h : hosts) h.recent = {};
    }
    void finish() {
        end.elapsed = 1234ms;
        writer_.finish(hosts, end);
    }

    std::vector<cli::pinged_host> hosts;
    cli::ping_end end;

private:
    icmp::echo made(std::size_t host, unsigned index, icmp::status how) const {
        icmp::echo e;
        e.target = hosts[host].address, e.index = index, e.status = how, e.position = host;
        return e;
    }
    void told(icmp::echo const& e, std::size_t host) {
        hosts[host].tally.add(e), hosts[host].recent.add(e);
        writer_.echo(hosts[host], e);
        if (!e.duplicate) hosts[host].before = e.status;
    }

    cli::ping_writer& writer_;
};

} // namespace trawl::test
