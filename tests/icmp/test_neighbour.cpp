#include "icmp/channel_sweep.hpp"
#include "icmp/neighbour.hpp"
#include "icmp/on_link.hpp"
#include "test.hpp"

#include <iostream>

using namespace trawl;
using namespace trawl::icmp::detail;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t id = 0x7a11;

std::unique_ptr<neighbour_channel> open(family f, neighbour_channel::options how = {}) {
    std::error_code failure;
    auto raw = test::raw_channel(f, id);
    auto by = route_monitor::open(failure);
    REQUIRE(by);
    auto made = neighbour_channel::open(f, raw, by, how, failure);
    REQUIRE(made);
    return made;
}

/// Every tenth address from 10.66.16.0 on, up to `count` of them, as prefixes of one address.
void live_tenths(test::on_link_network const& link, std::uint32_t count) {
    auto const all = test::row("10.66.16.0", count * 10);
    std::string batch;
    for (std::uint32_t i = 0; i < count; ++i)
        batch += "route add local " + all[i * 10].address().to_string() + " dev lo\n";
    link.sh("printf '%s' '" + batch + "' | " + link.inside() + "ip -batch -");
}

/// A kernel whose neighbour table is full: it loses every echo, or says so.
class full_table final : public channel {
public:
    full_table(std::unique_ptr<channel> receiver, int refusal)
        : receiver_(std::move(receiver)), refusal_(refusal) {}
    std::size_t send(std::span<parcel const> parcels, int& failure) override {
        failure = refusal_;
        return refusal_ ? 0 : parcels.size();
    }
    std::span<arrived const> receive(bool& more) override { return receiver_->receive(more); }
    std::uint64_t drops() override { return receiver_->drops(); }
    std::size_t capacity() const override { return receiver_->capacity(); }
    std::span<int const> descriptors() const override { return receiver_->descriptors(); }

private:
    std::unique_ptr<channel> receiver_;
    int refusal_;
};

std::string milliseconds(duration d) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) + " ms";
}

void tell(std::string const& what, test::channel_sweep const& s) {
    UNSCOPED_INFO(what);
    if (!std::getenv("TRAWL_FIGURES")) return;
    std::cout << "# " << what << ": " << s.answered << " answered, sent in "
              << milliseconds(s.sending) << ", last answer after " << milliseconds(s.took) << ", "
              << s.departed << " waited for an address, " << s.deferred << " put off\n";
}

} // namespace

TEST_CASE("400 of 4,096 on a link are found past the kernel's neighbour table", "[icmp]") {
    test::on_link_network link;
    live_tenths(link, 400);
    auto const by = open(family::v4);
    test::channel_sweep sweep(*by, id);
    auto const began = clock::now();
    sweep.run(test::row("10.66.16.0", 4096), 500ms);
    tell("/20, 400 alive", sweep);
    CHECK(sweep.answered == 400);
    CHECK(clock::now() - began < 1s); // 0.5 s and the timeout
    CHECK(sweep.refused == 0);
    CHECK(sweep.strange == 0);
    CHECK(by->drops() == 0);
    for (std::size_t i = 0; i < 4000; i += 10) REQUIRE(sweep.up[i]);
}

TEST_CASE("65,536 of 65,536 on a link are found", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.0.0/16");
    auto const by = open(family::v4);
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("10.66.0.0", 65536), 2s);
    tell("/16, all alive", sweep);
    CHECK(sweep.answered == 65536);
    CHECK(by->drops() == 0);
    // Addresses that were learned are not asked for again.
    test::channel_sweep again(*by, id);
    again.run(test::row("10.66.0.0", 65536), 2s);
    tell("/16, all alive and known", again);
    CHECK(again.answered == 65536);
    CHECK(again.departed == 0);
}

TEST_CASE("a link with nobody on it is swept in the time of its sending", "[icmp]") {
    test::on_link_network link;
    auto const by = open(family::v4);
    test::channel_sweep sweep(*by, id);
    auto const began = clock::now();
    sweep.run(test::row("10.66.0.0", 65536), 200ms);
    tell("/16, nobody alive", sweep);
    CHECK(sweep.answered == 0);
    CHECK(sweep.refused == 0);
    CHECK(clock::now() - began < 5s);
}

TEST_CASE("65,536 IPv6 hosts on a link are found", "[icmp]") {
    test::on_link_network link;
    link.live_v6([](host const&) { return true; });
    auto const by = open(family::v6);
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("fd00:66::1:0", 65536), 2s);
    tell("IPv6 /112, all alive", sweep);
    CHECK(sweep.answered == 65536);
    CHECK(by->drops() == 0);
}

TEST_CASE("one in ten IPv6 hosts on a link are found", "[icmp]") {
    test::on_link_network link;
    link.live_v6([](host const& h) { return (h.octets[15] | h.octets[14] << 8) % 10 == 0; });
    auto const by = open(family::v6);
    test::channel_sweep sweep(*by, id);
    auto const began = clock::now();
    sweep.run(test::row("fd00:66::1:0", 4096), 500ms);
    tell("IPv6 /116, one in ten alive", sweep);
    CHECK(sweep.answered == 410);
    CHECK(clock::now() - began < 1500ms);
}

TEST_CASE("the time of an echo begins when it leaves, not when its address is asked for",
          "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    auto const by = open(family::v4, {.few = 0});
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("10.66.16.0", 256), 1s);
    REQUIRE(sweep.answered == 256);
    CHECK(sweep.departed == 256);
    for (auto const rtt : sweep.rtt) {
        CHECK(rtt > 0ns);
        CHECK(rtt < 100ms);
    }
}

TEST_CASE("the first targets of a link are left to the kernel", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    auto const by = open(family::v4, {.few = 10});
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("10.66.16.0", 30), 1s);
    CHECK(sweep.answered == 30);
    CHECK(sweep.departed == 20);
    test::channel_sweep again(*by, id);
    again.run(test::row("10.66.16.0", 30), 1s);
    CHECK(again.answered == 30);
    CHECK(again.departed == 0);
}

TEST_CASE(
    "a neighbour table that is full already costs a retry, or nothing when the kernel says so",
    "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    int const refusal = GENERATE(0, ENOBUFS);
    std::error_code failure;
    auto by = route_monitor::open(failure);
    REQUIRE(by);
    std::unique_ptr<channel> below =
        std::make_unique<full_table>(test::raw_channel(family::v4, id), refusal);
    auto const over = neighbour_channel::open(family::v4, below, by, {}, failure);
    REQUIRE(over);
    test::channel_sweep first(*over, id);
    first.run(test::row("10.66.16.0", 100), 200ms);
    CHECK(first.answered == (refusal ? 100 : 0));
    test::channel_sweep retry(*over, id);
    retry.run(test::row("10.66.16.0", 100), 500ms);
    CHECK(retry.answered == 100);
}

TEST_CASE("link-local hosts are asked by the link that they name", "[icmp]") {
    test::on_link_network link;
    link.sh(link.inside() + "ip addr add fe80::77/64 dev far nodad");
    auto const by = open(family::v6, {.few = 0});
    auto target = test::row("fe80::77", 1);
    target[0].scope = ::if_nametoindex("near");
    test::channel_sweep sweep(*by, id);
    sweep.run(target, 1s);
    CHECK(sweep.answered == 1);
    CHECK(sweep.departed == 1);
}

TEST_CASE("source, hop limit and payload of frames are as asked", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    link.sh("ip addr add 10.64.0.9/14 dev near");
    // A host that takes echoes of this source and hop limit and size only.
    link.sh("echo 'table ip only { chain answering { type filter hook input priority 0;"
            " ip saddr 10.64.0.9 ip ttl 7 ip length 128 accept; drop; }; }' | " +
            link.inside() + "nft -f -");
    packet_options packets{.shape = {.payload = 100, .hop_limit = 7},
                           .source = test::row("10.64.0.9", 1)[0]};
    auto const by = open(family::v4, {.packets = packets, .few = 0});
    test::channel_sweep sweep(*by, id);
    sweep.run(test::row("10.66.16.0", 3), 1s);
    CHECK(sweep.answered == 3);
}

TEST_CASE("with an interface named, others' links are left to the channel below", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    for (auto const& [name, departed] : {std::pair("near", 2u), std::pair("lo", 0u)}) {
        auto const by =
            open(family::v4, {.packets = {.interface = ::if_nametoindex(name)}, .few = 0});
        test::channel_sweep sweep(*by, id);
        sweep.run(test::row("10.66.16.0", 2), 1s);
        CHECK(sweep.answered == 2);
        CHECK(sweep.departed == departed);
    }
}

TEST_CASE("what is not on an Ethernet link goes through the kernel, errors included", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    link.answer_for("192.0.2.0/24");
    link.sh("ip route add 192.0.2.0/25 via 10.64.0.2");
    auto const by = open(family::v4, {.few = 0});
    std::vector<host> mixed;
    for (auto text : {"127.0.0.1", "10.66.16.1", "192.0.2.1", "203.0.113.1", "10.64.0.1",
                      "10.66.16.2", "203.0.113.2", "127.3.2.1", "192.0.2.2"})
        mixed.push_back(host(asio::ip::make_address(text)));
    test::channel_sweep sweep(*by, id);
    sweep.run(mixed, 500ms);
    CHECK(sweep.up == std::vector<bool>{true, true, true, false, true, true, false, true, true});
    CHECK(sweep.refused == 2);
    CHECK(sweep.last_refusal == ENETUNREACH);
    CHECK(sweep.departed == 2);
}

TEST_CASE("an interface that is gone refuses the echoes for its link, and only those", "[icmp]") {
    test::on_link_network link;
    link.answer_for("10.66.16.0/24");
    auto const by = open(family::v4, {.few = 0});
    test::channel_sweep before(*by, id);
    before.run(test::row("10.66.16.0", 2), 500ms);
    REQUIRE(before.answered == 2);
    link.sh("ip link set near down");
    auto both = test::row("10.66.16.0", 3); // two that are known, one that would be asked
    both.push_back(host(asio::ip::make_address("127.0.0.1")));
    test::channel_sweep down(*by, id);
    down.run(both, 100ms);
    CHECK(down.refused == 3);
    CHECK(down.last_refusal == ENETUNREACH);
    CHECK(down.answered == 1);
    link.sh("ip link del near");
    test::channel_sweep gone(*by, id);
    gone.run(both, 100ms);
    CHECK(gone.refused == 3);
    CHECK(gone.last_refusal == ENETUNREACH);
    CHECK(gone.answered == 1);
}

TEST_CASE("without the right to packet sockets the channel below stays as it was", "[icmp]") {
    if (::getuid() != 0) test::skip("needs to give up a right it has");
    test::network_namespace alone;
    auto raw = test::raw_channel(family::v4, id);
    std::error_code failure;
    auto const by = route_monitor::open(failure);
    REQUIRE(::seteuid(65534) == 0);
    auto const made = neighbour_channel::open(family::v4, raw, by, {}, failure);
    REQUIRE(::seteuid(0) == 0);
    CHECK_FALSE(made);
    CHECK(failure == std::errc::operation_not_permitted);
    CHECK(raw);
}
