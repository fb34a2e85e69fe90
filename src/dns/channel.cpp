#include "dns/channel.hpp"

#include <trawl/error.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>
#include <new>

namespace trawl::dns::detail {

namespace {

// c-ares counts time in whole milliseconds: look a little after the question is due.
constexpr auto clock_grain = std::chrono::milliseconds(2);

void init_library() {
    // Neither thread-safe nor needed twice; never cleaned up, as other users of c-ares may live on.
    static std::once_flag once;
    std::call_once(once, [] {
        if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) throw std::bad_alloc();
    });
}

struct server {
    asio::ip::address address;
    int port;
};

server parse_server(std::string const& text) {
    auto const fail = [&] { throw error(errc::bad_server, "name server \"" + text + "\""); };
    std::string host = text, port;
    if (text.starts_with('[')) {
        auto const close = text.find(']');
        if (close == std::string::npos) fail();
        host = text.substr(1, close - 1);
        auto const rest = text.substr(close + 1);
        if (!rest.empty() && (rest[0] != ':' || rest.size() == 1)) fail();
        if (!rest.empty()) port = rest.substr(1);
    } else if (auto const colon = text.find(':');
               colon != std::string::npos && colon == text.rfind(':')) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
        if (port.empty()) fail();
    }
    std::error_code failure;
    server found{asio::ip::make_address(host, failure), 53};
    if (failure || host.find('\0') != std::string::npos) fail();
    if (!port.empty()) {
        auto const end = port.data() + port.size();
        auto const [stop, bad] = std::from_chars(port.data(), end, found.port);
        if (bad != std::errc() || stop != end || found.port < 1 || found.port > 65535) fail();
    }
    return found;
}

} // namespace

// A c-ares socket under watch, by a descriptor of our own: c-ares closes its own whenever it likes,
// and the kernel gives the number to the next one at once.
struct channel::watch {
    watch(asio::any_io_executor const& executor, ares_socket_t theirs)
        : socket(theirs), mirror(executor, dup(theirs)) {}
    ares_socket_t socket;
    asio::posix::stream_descriptor mirror;
    bool wanted[2] = {false, false};  // to read, to write
    bool pending[2] = {false, false}; // a wait is out
};

channel::channel(asio::any_io_executor executor, resolver::options const& configuration)
    : executor_(std::move(executor)), retry_(configuration.timeout + clock_grain),
      places_(std::max<std::size_t>(1, configuration.in_flight)) {
    init_library();
    // With one server its RCODE is the answer. With several, c-ares asks the next one after
    // SERVFAIL, NOTIMP or REFUSED, and says at the end that none could be reached. How many there
    // are is known once they were read.
    try {
        open(configuration, 0);
        if (servers_ == 1) {
            close();
            open(configuration, ARES_FLAG_NOCHECKRESP);
        }
    } catch (...) {
        close();
        throw;
    }
}

void channel::open(resolver::options const& configuration, int flags) {
    std::string resolv_conf = configuration.resolv_conf.string();
    char lookups[] = "b"; // the hosts file is ours: c-ares would open and read it for every name
    ares_options options{};
    options.flags = flags;
    options.timeout = static_cast<int>(std::max<std::int64_t>(1, configuration.timeout.count()));
    options.tries = std::max(1, configuration.tries);
    options.lookups = lookups;
    options.resolvconf_path = resolv_conf.data();
    options.sock_state_cb = &channel::watch_socket;
    options.sock_state_cb_data = this;
    auto const mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                      ARES_OPT_RESOLVCONF | ARES_OPT_SOCK_STATE_CB;
    if (auto const status = ares_init_options(&handle_, &options, mask); status != ARES_SUCCESS)
        throw error(errc::no_server, "c-ares", ares_strerror(status));
    if (!configuration.servers.empty()) set_servers(configuration.servers);
    read_configuration();
}

void channel::set_servers(std::vector<std::string> const& servers) {
    std::vector<ares_addr_port_node> nodes;
    for (auto const& text : servers) {
        auto const [address, port] = parse_server(text);
        ares_addr_port_node node{};
        node.family = address.is_v4() ? AF_INET : AF_INET6;
        node.udp_port = node.tcp_port = port;
        if (address.is_v4()) {
            auto const bytes = address.to_v4().to_bytes();
            std::memcpy(&node.addr.addr4, bytes.data(), bytes.size());
        } else {
            auto const bytes = address.to_v6().to_bytes();
            std::memcpy(&node.addr.addr6, bytes.data(), bytes.size());
        }
        nodes.push_back(node);
    }
    for (std::size_t i = 0; i + 1 < nodes.size(); ++i) nodes[i].next = &nodes[i + 1];
    if (auto const status = ares_set_servers_ports(handle_, nodes.data()); status != ARES_SUCCESS)
        throw error(errc::no_server, "c-ares", ares_strerror(status));
}

void channel::read_configuration() {
    ares_options saved{};
    int mask = 0;
    if (ares_save_options(handle_, &saved, &mask) != ARES_SUCCESS) throw std::bad_alloc();
    search_.assign(saved.domains, saved.domains + saved.ndomains);
    dots_ = saved.ndots;
    ares_destroy_options(&saved);

    ares_addr_port_node* servers = nullptr;
    if (ares_get_servers_ports(handle_, &servers) != ARES_SUCCESS) throw std::bad_alloc();
    servers_ = 0;
    for (auto const* one = servers; one; one = one->next) ++servers_;
    ares_free_data(servers);
}

void channel::close() noexcept {
    // Every question calls back from here; answered() only wakes its asker.
    if (handle_) ares_destroy(std::exchange(handle_, nullptr));
    watched_.clear();
}

void channel::leave() noexcept {
    if (--interested_ == 0 && handle_) ares_cancel(handle_);
}

awaitable<std::shared_ptr<question>> channel::ask(std::string name, type wanted) {
    auto place = co_await places_.acquire();
    if (!handle_) { // closed meanwhile; the place goes on to the next one who waits
        auto refused = std::make_shared<question>(limiter::ticket());
        refused->status = ARES_EDESTRUCTION;
        refused->done = true;
        co_return refused;
    }
    auto asked = std::make_shared<question>(std::move(place));
    auto reference = std::make_unique<std::shared_ptr<question>>(asked);
    ares_query(handle_, name.c_str(), 1 /* IN */, static_cast<int>(wanted), &channel::answered,
               reference.release());
    co_return asked;
}

awaitable<bool> channel::wait(std::shared_ptr<question> asked, time_point deadline) {
    while (!asked->done) {
        trawl::detail::waiter turn(asked->askers);
        auto const woken = co_await turn.wait(std::min(deadline, clock::now() + retry_));
        if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
        if (woken == trawl::detail::wake::signalled) continue;
        if (handle_) ares_process_fd(handle_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        if (clock::now() >= deadline) break;
    }
    co_return asked->done;
}

void channel::answered(void* asked, int status, int, unsigned char* bytes, int size) {
    std::unique_ptr<std::shared_ptr<question>> const reference(
        static_cast<std::shared_ptr<question>*>(asked));
    auto& answer = **reference;
    answer.status = status;
    if (bytes && size > 0) answer.answer.assign(bytes, bytes + size);
    answer.done = true;
    answer.slot.release();
    answer.askers.wake_all();
}

void channel::watch_socket(void* self, ares_socket_t socket, int readable, int writable) {
    auto& me = *static_cast<channel*>(self);
    if (!readable &&
        !writable) { // c-ares is about to close it; the waits end with operation_aborted
        me.watched_.erase(socket);
        return;
    }
    // No exception may cross c-ares. A socket that cannot be watched (no descriptor is left for its
    // mirror) stays silent, and its questions time out.
    try {
        auto& on = me.watched_[socket];
        if (!on) on = std::make_shared<watch>(me.executor_, socket);
        on->wanted[0] = readable;
        on->wanted[1] = writable;
        me.arm(on, false);
        me.arm(on, true);
    } catch (...) {
        me.watched_.erase(socket);
    }
}

void channel::arm(std::shared_ptr<watch> const& on, bool writing) {
    if (!on->wanted[writing] || on->pending[writing]) return;
    on->pending[writing] = true;
    auto const direction = writing ? asio::posix::descriptor_base::wait_write
                                   : asio::posix::descriptor_base::wait_read;
    // Weak: a wait that is still out keeps neither the channel nor the mirror open.
    auto ready = [owner = weak_from_this(), seen = std::weak_ptr(on),
                  writing](std::error_code failure) {
        auto const self = owner.lock();
        auto const mine = seen.lock();
        if (!self || !mine) return;
        mine->pending[writing] = false;
        if (failure || !self->handle_) return;
        if (mine->wanted[writing])
            ares_process_fd(self->handle_, writing ? ARES_SOCKET_BAD : mine->socket,
                            writing ? mine->socket : ARES_SOCKET_BAD);
        // Closed meanwhile, and perhaps followed by another one of the same number?
        auto const still = self->watched_.find(mine->socket);
        if (still != self->watched_.end() && still->second == mine) self->arm(mine, writing);
    };
    on->mirror.async_wait(direction, std::move(ready));
}

} // namespace trawl::dns::detail
