// What somebody who is not on the path may throw at us: none of it may count as an answer.
#include "icmp/pretend_kernel.hpp"
#include "test.hpp"

#include <cstdlib>

using namespace trawl::test;

namespace {

using packet = std::vector<std::uint8_t>;

constexpr std::uint32_t targets = 64; // half of them IPv6

host target(std::uint32_t n) {
    if (n % 2 == 0) return nth(n);
    auto made = address("fd00::");
    made.octets[15] = static_cast<std::uint8_t>(n);
    return made;
}

// ---- everything that knows the engine ----

class both_families final : public source {
public:
    std::optional<item> next_target() override {
        if (next_ == targets) return std::nullopt;
        auto const n = next_++;
        return item{target(n), n};
    }

private:
    std::uint32_t next_ = 0;
};

/// An engine that has had an answer to an echo to each target, and waits for a second one.
class victim {
public:
    victim() : world_(settings()) {
        auto& answered = world_.core.open({.timeout = 1s}, &before_);
        REQUIRE(tally(world_.run(answered))[trawl::icmp::status::up] == targets);
        old_requests = std::exchange(world_.kernel.sent, {});
        world_.kernel.how.alive = [](host const&) { return false; };
        waiting_ = &world_.core.open({.timeout = 1h}, &now_);
        while (world_.kernel.sent.size() < targets) world_.drive.turn();
        requests = std::exchange(world_.kernel.sent, {});
    }

    std::vector<parcel> requests, old_requests; ///< outstanding, and answered

    void receive(host const& from, bytes icmp) {
        world_.core.receive(parse(from.family, icmp), from, std::uint8_t{64},
                            pretend_kernel::now());
    }
    /// What was taken for an answer, or for an error about one of our echoes.
    std::uint64_t believed() const {
        auto const& s = world_.core.stats();
        return s.received + s.errors - targets + waiting_->outcomes.size();
    }
    std::uint64_t refused() const {
        auto const& s = world_.core.stats();
        return s.malformed + s.forged + s.wrong_source + s.late + s.duplicates;
    }
    std::size_t outstanding() const { return world_.core.outstanding(); }

private:
    static pretend_kernel::settings settings() { return {}; }
    both_families before_, now_;
    pretend_world world_;
    lane* waiting_ = nullptr;
};

// ---- the attacks ----

class attacker {
public:
    attacker(victim& on, std::uint32_t seed) : victim_(on), chance_(seed) {}

    void attack() {
        auto const& real = pick(victim_.requests);
        auto reply = reply_to(real.bytes);
        switch (below(9)) {
        case 0: // a cookie that was guessed
            scramble(reply, 8, 8);
            return deliver(real.target, reply);
        case 1: // another number or time with a true cookie
            scramble(reply, 16 + 4 * below(4), 4);
            return deliver(real.target, reply);
        case 2: return deliver(stranger(real.target), reply);
        case 3: // the proof cut off
            reply.resize(below(echo_size));
            return deliver(real.target, reply);
        case 4: // one bit wrong: type, code or proof; the channel looks at the identifier
            flip(reply, 1);
            return deliver(real.target, reply);
        case 5: { // an echo that was answered long ago
            auto const& old = pick(victim_.old_requests);
            return deliver(old.target, reply_to(old.bytes));
        }
        case 6: return deliver(stranger(real.target), error(real, true));
        case 7: return deliver(stranger(real.target), error(real, false));
        default: return deliver(stranger(real.target), noise());
        }
    }

private:
    std::size_t below(std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(chance_);
    }
    std::uint8_t octet() { return static_cast<std::uint8_t>(below(256)); }
    parcel const& pick(std::vector<parcel> const& from) { return from[below(from.size())]; }

    /// Writes random bytes that differ from those that were there.
    void scramble(packet& p, std::size_t at, std::size_t size) {
        auto const before = p;
        while (p == before)
            for (auto i = at; i < at + size; ++i) p[i] = octet();
    }
    void flip(packet& p, std::size_t bits) {
        for (; bits > 0; --bits) {
            auto at = below(p.size() - 6);
            if (at > 1) at += 6; // not checksum, identifier and number
            p[at] = static_cast<std::uint8_t>(p[at] ^ (1u << below(8)));
        }
    }
    host stranger(host const& target) {
        auto other = target;
        auto const last = other.family == family::v4 ? 3u : 15u;
        while (other == target) other.octets[last] = octet();
        return other;
    }

    /// "Unreachable" or another error about an echo: quoting all of it with a proof that is none,
    /// or its first 8 bytes with a number that its target was not sent.
    packet error(parcel const& real, bool whole) {
        packet quoted(real.bytes.begin(), real.bytes.end());
        auto about = real.target;
        if (!whole)
            quoted[6] = static_cast<std::uint8_t>(quoted[6] + 1 + below(254)); // 256 or more away
        else if (below(2) == 0)
            scramble(quoted, 8, below(2) == 0 ? 8 : 24); // the cookie, or all of it
        else
            about = stranger(about);
        constexpr std::uint8_t v4_types[] = {3, 4, 5, 11, 12}, v6_types[] = {1, 2, 3, 4, 137};
        auto const type = (about.family == family::v4 ? v4_types : v6_types)[below(5)];
        return error_about(quoted, about, type, static_cast<std::uint8_t>(below(16)),
                           whole ? echo_size : echo_header);
    }
    packet noise() {
        packet made(below(128));
        for (auto& b : made) b = octet();
        return made;
    }

    /// Mostly with a checksum that agrees: the others end there.
    void deliver(host const& from, packet p) {
        if (from.family == family::v4 && p.size() >= echo_header && below(8) > 0) put_checksum(p);
        victim_.receive(from, p);
    }

    victim& victim_;
    std::mt19937 chance_;
};

} // namespace

TEST_CASE("no forged, broken, old or foreign packet counts as an answer", "[icmp]") {
    constexpr std::uint32_t seeds = 20;
    std::uint64_t const each = std::getenv("TRAWL_LONG") ? 50000 : 1000;
    for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
        CAPTURE(seed);
        victim attacked;
        attacker by(attacked, seed);
        for (std::uint64_t n = 1; n <= each; ++n) {
            by.attack();
            if (attacked.believed() == 0 && attacked.refused() == n) continue;
            CAPTURE(n);
            REQUIRE(attacked.believed() == 0);
            REQUIRE(attacked.refused() == n); // each is counted, and once
        }
        REQUIRE(attacked.outstanding() == targets);
        // The true replies are still taken: it was not the engine that had stopped listening.
        for (auto const& p : attacked.requests) attacked.receive(p.target, reply_to(p.bytes));
        CHECK(attacked.outstanding() == 0);
        CHECK(attacked.refused() == each);
    }
}
