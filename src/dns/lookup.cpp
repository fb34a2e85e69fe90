#include "dns/lookup.hpp"

#include <ares.h>

#include <algorithm>
#include <new>
#include <numeric>
#include <utility>

namespace trawl::dns::detail {

namespace {

using namespace std::chrono_literals;

// A server that answers nobody for that long while it is asked is taken for dead.
constexpr duration suspicious_silence = 200ms;

answer failed(errc why) {
    answer made;
    made.status = why == errc::timed_out ? status::timed_out : status::server_failure;
    made.why = why;
    return made;
}

} // namespace

lookup::lookup(std::vector<std::unique_ptr<upstream>>& servers, options how, window::place& place,
               trawl::detail::waiter_list& ready, std::string const& name, type wanted)
    : servers_(servers), how_(how), place_(place), ready_(ready), name_(name), wanted_(wanted),
      failure_(failed(errc::timed_out)) {}

lookup::~lookup() {
    for (auto const& one : asked_) {
        one->from = nullptr;
        if (one->over) one->over->overdue(*one);
    }
}

// ---- what comes in: from inside c-ares, which must not be called from here ----

void lookup::answered(question& asked, int status, bytes packet) noexcept {
    try {
        read(asked, status, packet);
    } catch (std::bad_alloc const&) {
        fail(failed(errc::bad_answer));
    }
    ready_.wake_all();
}

void lookup::read(question& asked, int status, bytes packet) {
    auto& from = *servers_[asked.server];
    auto const now = clock::now();
    switch (status) {
    case ARES_SUCCESS: break;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED: closed_ = true; return end(failed(errc::closed), now);
    case ARES_ECONNREFUSED: return fail(failed(errc::no_server));
    case ARES_ETIMEOUT: return; // its last repetition was in vain, too
    default: return fail(failed(errc::bad_answer));
    }
    from.heard_answer(asked, now);
    if (asked.edns && rcode_of(packet) == format_error) { // RFC 6891 §7
        from.edns = false;
        order_.push_back(asked.server);
        return;
    }
    place_.answered();
    auto found = parse_answer(packet, name_, wanted_);
    if (found.status == status::server_failure)
        fail(std::move(found));
    else
        end(std::move(found), now);
}

void lookup::fail(answer failure) {
    if (!ended_) failure_ = std::move(failure);
}

void lookup::end(answer with, time_point now) {
    if (std::exchange(ended_, true)) return;
    result_ = std::move(with);
    ended_at_ = now;
}

void lookup::expire() { end(std::move(failure_), clock::now()); }

void lookup::finish(answer known) { end(std::move(known), clock::now()); }

// ---- what goes out ----

void lookup::begin(time_point now) {
    began_ = now;
    auto const patience = how_.timeout * ((1 << how_.tries) - 1);
    give_up_ = now + std::min<duration>(how_.deadline, patience);
    choose_order(now);
}

/// Servers that do not answer come last, but for a probe now and then.
void lookup::choose_order(time_point now) {
    order_.resize(servers_.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    auto const works = [this](std::size_t i) { return !servers_[i]->demoted(); };
    auto const silent = std::stable_partition(order_.begin(), order_.end(), works);
    auto const probed = std::find_if(silent, order_.end(),
                                     [&](std::size_t i) { return servers_[i]->probe_due(now); });
    bool const probe = probed != order_.end() && silent != order_.begin();
    if (probe) std::rotate(order_.begin(), probed, probed + 1);
    std::ranges::reverse(order_);
    if (!probe) return;
    ask_next(now);
    ask_next(now); // the one that works: the probe costs nobody time
}

void lookup::ask_next(time_point now) {
    auto one = std::make_shared<question>();
    one->from = this;
    one->server = order_.back();
    order_.pop_back();
    auto& to = *servers_[one->server];
    one->edns = to.edns;
    one->sent = now;
    one->sendings = 1;
    one->interval = to.patience();
    one->repeat = now + one->interval;
    asked_.push_back(one);
    to.ask(std::move(one), name_, wanted_);
}

void lookup::repeat(question& asked, time_point now) {
    asked.over->catch_up(); // when this process was late itself, the answer is here
    if (asked.ended) return;
    place_.set_overdue(asked.sent, now);
    asked.over->overdue(asked);
    auto const& server = *servers_[asked.server];
    if (!server.known() && asked.sendings >= static_cast<unsigned>(how_.tries)) {
        asked.repeat = time_point::max();
        return;
    }
    asked.over->repeat(asked, name_, wanted_);
    ++asked.sendings;
    asked.interval *= 2;
    // A server that answers others is asked often enough that half of all packets may be lost.
    if (server.known())
        asked.interval =
            std::min(asked.interval, std::max<duration>(server.patience(), how_.timeout / 4));
    asked.repeat = now + asked.interval;
}

bool lookup::is_time_for_next(question const& asked, time_point now) const {
    auto const waited = now - asked.sent;
    auto const& server = *servers_[asked.server];
    return waited >= how_.timeout ||
           (waited >= suspicious_silence && server.silent_since(asked.sent));
}

/// Looks after one question that is out; true when it is time to ask another server.
bool lookup::attend(question& asked, time_point now) {
    auto& server = *servers_[asked.server];
    if (now - asked.sent >= std::min<duration>(suspicious_silence, how_.timeout) &&
        server.silent_since(asked.sent))
        server.demote();
    if (now >= asked.repeat) repeat(asked, now);
    due_ = std::min(due_, asked.repeat);
    for (duration const after : {suspicious_silence, how_.timeout})
        if (auto const then = asked.sent + after; !order_.empty() && then > now)
            due_ = std::min(due_, then);
    return is_time_for_next(asked, now);
}

bool lookup::advance(time_point now) {
    if (began_ == time_point{}) begin(now);
    while (!ended_) {
        bool waiting = false, next = true;
        due_ = give_up_;
        for (auto const& one : asked_) {
            if (one->ended) continue;
            waiting = true;
            next &= attend(*one, now);
        }
        if (ended_) break;
        if (now >= give_up_ || (!waiting && order_.empty()))
            expire();
        else if (next && !order_.empty())
            ask_next(now); // and see what has come of it
        else
            return false;
    }
    return true;
}

} // namespace trawl::dns::detail
