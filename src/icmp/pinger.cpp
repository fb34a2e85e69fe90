#include "icmp/neighbour.hpp"
#include "icmp/packet_ring.hpp"
#include "icmp/state.hpp"

#include <asio/co_spawn.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <net/if.h>
#include <random>

namespace trawl::icmp {
namespace {

class icmp_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl.icmp"; }
    std::string message(int code) const override {
        switch (static_cast<errc>(code)) {
        case errc::not_permitted:
            return "no right to ICMP sockets (needs CAP_NET_RAW, or a group in "
                   "net.ipv4.ping_group_range)";
        case errc::no_socket: return "the kernel has no ICMP socket for this address family";
        case errc::unreachable: return "reported unreachable";
        case errc::hops_exceeded: return "hop limit exceeded on the way";
        case errc::replies_dropped: return "replies may have been lost in our receive buffer";
        case errc::pinger_closed: return "the pinger was closed";
        }
        return "unknown";
    }
};

std::uint64_t random_number() {
    std::random_device source;
    static_assert(sizeof(std::random_device::result_type) == 4);
    return std::uint64_t{source()} << 32 | source();
}

bool forbidden(std::error_code failure) {
    return failure == std::errc::operation_not_permitted || failure == std::errc::permission_denied;
}

} // namespace

std::error_category const& category() noexcept {
    static icmp_category const instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

std::string_view to_string(status s) noexcept {
    switch (s) {
    case status::up: return "up";
    case status::down: return "down";
    case status::unreachable: return "unreachable";
    case status::unknown: break;
    }
    return "unknown";
}

// ---- opening ----

detail::ports::ports(asio::any_io_executor const& executor, pinger::options const& o,
                     std::uint16_t id)
    : padding_(o.payload > proof_size ? o.payload - proof_size : 0), form_{.payload = o.payload} {
    std::minstd_rand chance(static_cast<std::uint32_t>(random_number()));
    if (o.random_payload)
        for (auto& byte : padding_) byte = static_cast<std::uint8_t>(chance() >> 8);
    form_.padding_sum = static_cast<std::uint16_t>(~checksum(padding_));
    open(v4, family::v4, executor, o, id);
    open(v6, family::v6, executor, o, id);
}

void detail::ports::open(port& p, family f, asio::any_io_executor const& executor,
                         pinger::options const& o, std::uint16_t id) {
    auto try_kind = [&](socket_kind k) {
        p.carrier = socket_channel::open({f, k, id, padding_}, o, p.missing);
        if (p.carrier) kind = k;
        return p.carrier != nullptr;
    };
    bool const choose = o.kind == socket_kind::automatic;
    if (!try_kind(choose ? socket_kind::raw : o.kind) && choose && forbidden(p.missing)) {
        auto const why = p.missing.message();
        if (try_kind(socket_kind::datagram) && o.watch)
            o.watch->log(severity::warning, f == family::v4 ? "icmp" : "icmp6",
                         fmt::format("no raw socket ({}): using an unprivileged one", why));
    }
    if (!p.carrier) {
        p.said = p.missing.message();
        p.missing = forbidden(p.missing) ? errc::not_permitted : errc::no_socket;
        return;
    }
    bool const wanted = o.packet_rings || o.ask_neighbours;
    if (kind == socket_kind::raw && wanted && o.mark == 0) go_past_ip(p, f, o, id);
    for (int const fd : p.carrier->descriptors())
        p.descriptors.push_back(std::make_unique<port::watched_descriptor>(
            asio::posix::stream_descriptor(executor, fd)));
}

// Where frames are of no use, or may not be sent, the raw socket does all.
void detail::ports::go_past_ip(port& p, family f, pinger::options const& o, std::uint16_t id) {
    std::error_code failure;
    if (!routes_) routes_ = route_monitor::open(failure);
    bool opened = false;
    if (routes_) {
        packet_options how;
        how.shape = {.payload = o.payload,
                     .padding = padding_,
                     .hop_limit = o.hop_limit,
                     .traffic_class = o.traffic_class,
                     .dont_fragment = o.dont_fragment};
        if (o.source && o.source->is_v4() == (f == family::v4)) how.source = host(*o.source);
        how.interface = o.interface.empty() ? 0 : ::if_nametoindex(o.interface.c_str());
        how.receive_buffer = o.receive_buffer;
        auto wrap = [&](auto made) {
            opened = made != nullptr;
            if (made) p.carrier = std::move(made);
        };
        if (o.packet_rings)
            wrap(packet_ring_channel::open(f, id, p.carrier, routes_, how, failure));
        else
            wrap(neighbour_channel::open(f, p.carrier, routes_, {.packets = how}, failure));
    }
    if (!opened && o.watch)
        o.watch->log(severity::warning, f == family::v4 ? "icmp" : "icmp6",
                     fmt::format("no packet socket ({}): through the kernel's neighbour table",
                                 failure.message()));
}

// Three quarters of the replies that fit: errors and other programs' packets are charged too.
std::size_t detail::ports::window() const noexcept {
    std::size_t smallest = std::numeric_limits<std::size_t>::max();
    for (auto* p : {&v4, &v6})
        if (p->carrier) smallest = std::min(smallest, p->carrier->capacity());
    return std::max<std::size_t>(1, smallest / 4 * 3);
}

pinger::state::state(asio::any_io_executor on, options const& o)
    : executor(std::move(on)), id(static_cast<std::uint16_t>(random_number())),
      ports(executor, o, id),
      engine({.outstanding = o.outstanding, .window = ports.window()},
             {random_number(), random_number()}, id, clock::now(), ports.form()),
      driver(engine, ports.v4.carrier.get(), ports.v6.carrier.get()), timeout_(o.timeout) {
    driver.missing_v4 = ports.v4.missing;
    driver.missing_v6 = ports.v6.missing;
}

void pinger::state::require(detail::family f) const {
    auto const& p = ports.of(f);
    if (!p.carrier) throw error(p.missing, f == detail::family::v4 ? "icmp" : "icmp6", p.said);
}

void pinger::state::require_any() const {
    if (!ports.v6.carrier) require(detail::family::v4);
}

// ---- the pump ----

void pinger::state::kick() {
    if (parked_) parked_->signal();
    if (pumping_ || closed_) return;
    pumping_ = true;
    asio::co_spawn(executor, pump(shared_from_this()),
                   [self = shared_from_this()](std::exception_ptr e) {
                       self->pumping_ = false;
                       if (!e) return;
                       self->failure_ = e;
                       self->wake_all();
                   });
}

awaitable<> pinger::state::pump(std::shared_ptr<state> self) {
    co_await yield(); // never inside the call that kicked
    self->driver.begin();
    while (!self->closed_) {
        auto const next = self->driver.turn();
        self->deliver();
        if (next.again)
            co_await yield();
        else if (next.wake != time_point::max())
            co_await self->rest(next.wake);
        else
            break; // nothing is outstanding
    }
    for (auto* p : {&self->ports.v4, &self->ports.v6})
        for (auto& d : p->descriptors)
            if (d->watched) d->readiness.cancel();
    self->pumping_ = false;
}

awaitable<> pinger::state::rest(time_point wake) {
    struct place {
        explicit place(state& s) : of(s) { of.parked_ = &self; }
        ~place() { of.parked_ = nullptr; }
        state& of;
        detail::waiter self;
    } here(*this);
    for (auto f : {detail::family::v4, detail::family::v6})
        if (driver.listens(f))
            for (auto& d : ports.of(f).descriptors) watch(*d);
    co_await here.self.wait(wake, false);
}

void pinger::state::watch(detail::port::watched_descriptor& d) {
    if (std::exchange(d.watched, true)) return;
    auto ready = [weak = weak_from_this(), &d](std::error_code) {
        auto self = weak.lock();
        if (!self) return;
        d.watched = false;
        // Also when an earlier pump's wait was cancelled: the present one watches anew.
        if (self->parked_) self->parked_->signal();
    };
    d.readiness.async_wait(asio::posix::stream_descriptor::wait_read, std::move(ready));
}

void pinger::state::settle() {
    if (engine.idle() && parked_) parked_->signal();
}

void pinger::state::close() {
    closed_ = true;
    if (parked_) parked_->signal();
    wake_all();
}

// Probes find no answer and throw what check() throws; sweeps look for themselves.
void pinger::state::wake_all() {
    asking.wake_all();
    for (auto* l : listeners) l->wake();
}

void pinger::state::check() const {
    if (failure_) std::rethrow_exception(failure_);
    if (closed_) throw error(errc::pinger_closed, "icmp");
}

// ---- probes ----

/// A probe that waits; it lives in the frame of its coroutine, and its address is the tag.
struct pinger::state::question {
    explicit question(state& s) : of(s), asker(s.asking) {}
    ~question() {
        if (answer) return;
        of.engine.forget(submitted);
        of.settle();
    }
    std::uint64_t tag() const noexcept { return reinterpret_cast<std::uintptr_t>(this); }

    state& of;
    std::uint32_t submitted = 0;
    std::optional<detail::outcome> answer;
    detail::waiter asker;
};

void pinger::state::deliver() {
    for (auto const& p : probes_)
        while (!p.lane->outcomes.empty()) {
            auto const done = p.lane->outcomes.pop();
            auto* asked = reinterpret_cast<question*>(static_cast<std::uintptr_t>(done.tag));
            asked->answer = done;
            asked->asker.signal();
        }
    for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i]->notify();
}

// A lane has one timeout. Few are in use at a time; one that nobody uses makes room.
detail::lane& pinger::state::lane_of(duration timeout) {
    constexpr std::size_t kept = 8;
    for (auto const& p : probes_)
        if (p.timeout == timeout) return *p.lane;
    auto const unused = [](auto const& p) {
        return p.lane->active() == 0 && p.lane->outcomes.empty();
    };
    if (probes_.size() >= kept)
        if (auto const old = std::ranges::find_if(probes_, unused); old != probes_.end()) {
            engine.close(*old->lane);
            probes_.erase(old);
        }
    probes_.push_back({timeout, &engine.open({.timeout = timeout})});
    return *probes_.back().lane;
}

awaitable<detail::outcome> pinger::state::put(std::shared_ptr<state> self, asio::ip::address target,
                                              echo_options how) {
    self->check();
    detail::host const to(target);
    self->require(to.family);
    question asked(*self);
    asked.submitted =
        self->engine.submit(self->lane_of(how.timeout), to, asked.tag(), how.hop_limit);
    self->kick();
    auto const woken = co_await asked.asker.wait();
    if (woken == detail::wake::cancelled) detail::throw_cancelled();
    if (!asked.answer) self->check();
    auto const& answer = *asked.answer;
    if (answer.why && answer.why.category() == std::system_category())
        throw error(answer.why, "ping " + target.to_string());
    co_return answer;
}

awaitable<std::optional<reply>> pinger::state::probe(std::shared_ptr<state> self,
                                                     asio::ip::address target) {
    echo_options how;
    how.timeout = std::chrono::ceil<std::chrono::milliseconds>(self->timeout_);
    auto const answer = co_await put(self, target, how);
    if (answer.status != status::up) co_return std::nullopt;
    co_return reply{
        .from = answer.target.address(), .rtt = answer.rtt, .hops_left = answer.answer->hops_left};
}

awaitable<echo> pinger::state::ask(std::shared_ptr<state> self, asio::ip::address target,
                                   echo_options how) {
    auto const answer = co_await put(self, target, how);
    detail::echo_outcome one{.tag = 0, .target = answer.target};
    one.status = answer.status;
    one.answer = answer.answer;
    one.why = answer.why;
    if (answer.answer) one.rtt = answer.rtt;
    co_return detail::to_echo(one);
}

echo detail::to_echo(echo_outcome const& done) {
    echo e{.target = done.target.address(),
           .position = done.tag,
           .index = done.index,
           .status = done.status,
           .duplicate = done.duplicate,
           .rtt = done.rtt,
           .from = {},
           .hops_left = {},
           .why = done.why};
    if (!done.answer) return e;
    e.from = done.answer->from.address();
    e.hops_left = done.answer->hops_left;
    e.type = done.answer->type;
    e.code = done.answer->code;
    e.bytes = done.answer->bytes;
    return e;
}

pinger::pinger(asio::any_io_executor executor) : pinger(std::move(executor), options{}) {}

pinger::pinger(asio::any_io_executor executor, options configuration)
    : state_(std::make_shared<state>(std::move(executor), configuration)) {}

pinger::~pinger() { state_->close(); }

awaitable<std::optional<reply>> pinger::probe(asio::ip::address target) {
    return state::probe(state_, std::move(target));
}

awaitable<echo> pinger::ask(asio::ip::address target, echo_options how) {
    return state::ask(state_, std::move(target), how);
}

statistics pinger::stats() const { return state_->engine.stats(); }
socket_kind pinger::kind() const noexcept { return state_->ports.kind; }

} // namespace trawl::icmp
