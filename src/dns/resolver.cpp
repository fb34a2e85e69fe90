#include "dns/engine.hpp"
#include "dns/hosts_file.hpp"
#include "dns/message.hpp"

#include <trawl/dns.hpp>
#include <trawl/error.hpp>

#include <algorithm>

namespace trawl::dns {

namespace {

using asio::ip::address;
using detail::engine;

// RFC 6761 §6.3: never asked of a server.
bool is_localhost(std::string_view name) {
    auto const plain = detail::canonical(name);
    return plain == "localhost" || plain.ends_with(".localhost");
}

bool is_negative(answer const& found) {
    return found.status == status::no_such_name || found.status == status::no_data;
}

[[noreturn]] void fail(answer const& found, std::string const& name) {
    throw error(is_negative(found) ? make_error_code(errc::not_found) : found.why, "dns " + name);
}

template <class T>
std::vector<T> all_of(answer const& found) {
    std::vector<T> all;
    for (auto const& one : found.values)
        if (auto const* value = std::get_if<T>(&one)) all.push_back(*value);
    return all;
}

awaitable<answer> ask(std::shared_ptr<engine> over, std::string name, type wanted) {
    answer found;
    for (auto const& candidate : over->candidates(name)) {
        found = co_await engine::ask(over, candidate, wanted);
        if (!is_negative(found)) break;
    }
    co_return found;
}

awaitable<std::vector<address>> ask_for_addresses(std::shared_ptr<engine> over, std::string name) {
    answer reason;
    for (auto const& candidate : over->candidates(name)) {
        auto both = co_await engine::ask_both(over, candidate);
        auto found = all_of<address>(both.v6);
        auto const v4 = all_of<address>(both.v4);
        found.insert(found.end(), v4.begin(), v4.end());
        if (!found.empty()) co_return found;
        // A family that could not be told is the reason, not the one that is known to be empty. Two
        // questions that share a socket also share its ICMP errors, so that one may only time out
        // where the other was refused.
        bool const v6_tells = is_negative(both.v4) || both.v6.why == errc::no_server;
        reason = v6_tells ? both.v6 : both.v4;
        if (!is_negative(reason)) break;
    }
    fail(reason, name);
}

awaitable<std::vector<std::string>> ask_for_names(std::shared_ptr<engine> over, address whose) {
    auto const found = co_await engine::ask(over, detail::reverse_name(whose), type::ptr);
    if (found.status != status::answered) fail(found, whose.to_string());
    co_return all_of<std::string>(found);
}

template <class T>
awaitable<T> ready(T value) {
    co_return value;
}

template <class T>
awaitable<T> refuse(std::string name) {
    throw error(errc::bad_name, "dns " + name);
    co_return T(); // makes it a coroutine: it throws where it is awaited
}

} // namespace

struct resolver::state {
    state(asio::any_io_executor executor, options const& how)
        : hosts(how.hosts), over(std::make_shared<engine>(std::move(executor), how)) {}
    ~state() { over->close(); }

    detail::watched_hosts hosts;
    std::shared_ptr<engine> over; // shared with the look-ups that are under way
};

resolver::resolver(asio::any_io_executor executor) : resolver(std::move(executor), options()) {}

resolver::resolver(asio::any_io_executor executor, options configuration)
    : state_(std::make_unique<state>(std::move(executor), configuration)) {}

resolver::~resolver() = default;

awaitable<std::vector<address>> resolver::addresses(std::string name) {
    std::error_code not_literal;
    auto const literal = asio::ip::make_address(name, not_literal);
    bool const whole = name.find('\0') == std::string::npos;
    if (!not_literal && whole) return ready(std::vector<address>(1, literal));
    if (!detail::is_name(name)) return refuse<std::vector<address>>(std::move(name));
    auto const& hosts = state_->hosts.at(clock::now());
    if (auto known = hosts.addresses(name); !known.empty()) return ready(std::move(known));
    if (is_localhost(name))
        return ready(std::vector<address>{asio::ip::address_v4::loopback(),
                                          asio::ip::address_v6::loopback()});
    return ask_for_addresses(state_->over, std::move(name));
}

awaitable<std::vector<std::string>> resolver::names(address whose) {
    auto const& hosts = state_->hosts.at(clock::now());
    if (auto known = hosts.names(whose); !known.empty()) return ready(std::move(known));
    return ask_for_names(state_->over, whose);
}

awaitable<answer> resolver::look_up(std::string name, type wanted) {
    if (!detail::is_name(name)) return refuse<answer>(std::move(name));
    if (state_->over->is_exact(name)) return engine::ask(state_->over, std::move(name), wanted);
    return ask(state_->over, std::move(name), wanted);
}

awaitable<answer> resolver::look_up(address whose) {
    return engine::ask(state_->over, detail::reverse_name(whose), type::ptr);
}

std::size_t resolver::in_flight() const noexcept { return state_->over->in_flight(); }

} // namespace trawl::dns
