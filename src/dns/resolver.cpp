#include "dns/answer.hpp"
#include "dns/channel.hpp"
#include "dns/hosts_file.hpp"

#include <trawl/dns.hpp>
#include <trawl/error.hpp>

#include <algorithm>

namespace trawl::dns {

namespace {

using asio::ip::address;
using detail::channel;
using detail::type;

constexpr auto resolution_delay = std::chrono::milliseconds(50); // RFC 8305 §3

bool is_name(std::string_view name) {
    if (name.ends_with('.')) name.remove_suffix(1);
    if (name.empty() || name.size() > 253) return false;
    std::size_t label = 0;
    for (char c : name) {
        if (c <= ' ' || c == 0x7f || c == '\\') return false; // outside ASCII is negative
        if (c == '.' && label == 0) return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63) return false;
    }
    return label > 0;
}

// RFC 6761 §6.3: never asked of a server.
bool is_localhost(std::string_view name) {
    auto const plain = detail::canonical(name);
    return plain == "localhost" || plain.ends_with(".localhost");
}

// resolv.conf(5): a name with enough dots is tried as it is first, any other one last.
std::vector<std::string> candidates(std::string const& name, channel const& over) {
    if (name.ends_with('.')) return {name};
    std::vector<std::string> names;
    bool const absolute = std::count(name.begin(), name.end(), '.') >= over.dots();
    if (absolute) names.push_back(name);
    for (auto const& domain : over.search())
        if (auto longer = name + "." + domain; is_name(longer)) names.push_back(longer);
    if (!absolute) names.push_back(name);
    return names;
}

[[noreturn]] void fail(int status, std::string const& name) {
    auto const code = detail::code_of(status);
    throw error(code, "dns " + name, code == errc::bad_answer ? ares_strerror(status) : "");
}

// Asks for both families of one name. Empty, with `status` negative, when there is none.
awaitable<std::vector<address>> both_families(std::shared_ptr<channel> over, std::string name,
                                              duration limit, int& status) {
    auto v4 = co_await over->ask(name, type::a);
    auto const deadline = clock::now() + limit;
    auto v6 = co_await over->ask(name, type::aaaa);

    int v4_status = ARES_ETIMEOUT, v6_status = ARES_ETIMEOUT;
    std::vector<address> found, first;
    bool const answered = co_await over->wait(v4, deadline);
    if (answered) found = detail::addresses_of(*v4, type::a, v4_status);
    auto const patience =
        found.empty() ? deadline : std::min(deadline, clock::now() + resolution_delay);
    if (co_await over->wait(v6, patience)) first = detail::addresses_of(*v6, type::aaaa, v6_status);
    found.insert(found.begin(), first.begin(), first.end());
    // A family that could not be told is the reason, not the one that is known to be empty. Two
    // questions that share a socket also share its ICMP errors, so that one may only time out where
    // the other was refused.
    bool const v6_tells = detail::negative(v4_status) || v6_status == ARES_ECONNREFUSED;
    status = v6_tells && v6_status != ARES_SUCCESS ? v6_status : v4_status;
    co_return found;
}

awaitable<std::vector<address>> ask_for_addresses(std::shared_ptr<channel> over, std::string name,
                                                  duration limit) {
    channel::interest const asking(over);
    int status = ARES_ENOTFOUND;
    for (auto const& candidate : candidates(name, *over)) {
        auto found = co_await both_families(over, candidate, limit, status);
        if (!found.empty()) co_return found;
        if (!detail::negative(status)) break;
    }
    fail(status, name);
}

awaitable<std::vector<std::string>> ask_for_names(std::shared_ptr<channel> over, address whose,
                                                  duration limit) {
    channel::interest const asking(over);
    auto asked = co_await over->ask(detail::reverse_name(whose) + ".", type::ptr);
    int status = ARES_ETIMEOUT;
    std::vector<std::string> found;
    bool const answered = co_await over->wait(asked, clock::now() + limit);
    if (answered) found = detail::names_of(*asked, whose, status);
    if (found.empty()) fail(status, whose.to_string());
    co_return found;
}

template <class T>
awaitable<T> ready(T value) {
    co_return value;
}

awaitable<std::vector<address>> refuse(std::string name) {
    throw error(errc::bad_name, "dns " + name);
    co_return std::vector<address>(); // makes it a coroutine: it throws where it is awaited
}

} // namespace

struct resolver::state {
    state(asio::any_io_executor executor, options const& configuration)
        : hosts(detail::hosts_file::read(configuration.hosts)), limit(configuration.deadline),
          over(std::make_shared<channel>(std::move(executor), configuration)) {}
    ~state() { over->close(); }

    detail::hosts_file hosts;
    duration limit;
    std::shared_ptr<channel> over; // shared with the lookups that are under way
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
    if (!is_name(name)) return refuse(std::move(name));
    if (auto known = state_->hosts.addresses(name); !known.empty()) return ready(std::move(known));
    if (is_localhost(name))
        return ready(std::vector<address>{asio::ip::address_v4::loopback(),
                                          asio::ip::address_v6::loopback()});
    return ask_for_addresses(state_->over, std::move(name), state_->limit);
}

awaitable<std::vector<std::string>> resolver::names(address whose) {
    if (auto known = state_->hosts.names(whose); !known.empty()) return ready(std::move(known));
    return ask_for_names(state_->over, whose, state_->limit);
}

std::size_t resolver::in_flight() const noexcept { return state_->over->in_flight(); }

} // namespace trawl::dns
