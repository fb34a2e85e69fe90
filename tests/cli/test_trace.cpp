#include "cli/verb_child.hpp"
#include "icmp/namespaces.hpp"
#include "test.hpp"

#include <boost/json.hpp>

#include <sstream>

using namespace trawl;

namespace {

/// near -- middle -- end: the route to 10.88.0.0/24 and fd00:88::/64 has one router between.
class two_hops : public test::network_namespace {
public:
    two_hops() : middle_(name("middle")), end_(name("end")) {
        for (auto const& ns : {middle_, end_})
            if (std::system(("ip netns add " + ns + " >/dev/null 2>&1").c_str()) != 0 ||
                std::system((in(ns) + "true >/dev/null 2>&1").c_str()) != 0) {
                remove();
                test::skip("may not use named network namespaces");
            }
        sh("ip link add near type veth peer name mid1 netns " + middle_);
        sh(in(middle_) + "ip link add mid2 type veth peer name far netns " + end_);
        sh("ip addr add 10.86.0.1/24 dev near && ip link set near up");
        sh(in(middle_) + "ip addr add 10.86.0.2/24 dev mid1");
        sh(in(middle_) + "ip addr add 10.87.0.2/24 dev mid2");
        sh(in(end_) + "ip addr add 10.87.0.3/24 dev far");
        sh(in(end_) + "ip addr add 10.88.0.1/24 dev lo");
        sh(in(middle_) + "ip link set mid1 up && " + in(middle_) + "ip link set mid2 up");
        sh(in(end_) + "ip link set lo up && " + in(end_) + "ip link set far up");
        sh("ip route add default via 10.86.0.2");
        sh(in(middle_) + "ip route add 10.88.0.0/24 via 10.87.0.3");
        sh(in(middle_) + "ip route add unreachable 10.89.0.0/24");
        sh(in(middle_) + "ip route add 10.90.0.0/24 via 10.87.0.3");
        sh(in(end_) + "ip route add blackhole 10.90.0.0/24");
        sh(in(middle_) + "sysctl net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0");
        sh(in(end_) + "ip route add default via 10.87.0.2");
        sh("ping -c 1 -w 5 10.88.0.1"); // the links have settled
    }
    ~two_hops() { remove(); }

private:
    static std::string name(char const* part) {
        return std::string("trawl-") + part + "-" + std::to_string(::getpid());
    }
    static std::string in(std::string const& ns) { return "ip netns exec " + ns + " "; }
    void remove() const {
        for (auto const& ns : {middle_, end_})
            (void)!std::system(("ip netns del " + ns + " >/dev/null 2>&1").c_str());
    }
    std::string middle_, end_;
};

struct traced {
    int code = 0;
    std::vector<boost::json::object> records;
};

/// Runs `trawl trace --json WORDS...` in a child process.
traced trace(std::vector<std::string> words) {
    auto const ended =
        test::run_verb("trace", cli::add_trace, std::move(words), {.json = true, .quiet = true});
    traced seen{ended.code, {}};
    std::istringstream lines(ended.out);
    for (std::string line; std::getline(lines, line);)
        seen.records.push_back(boost::json::parse(line).as_object());
    return seen;
}

std::string router(boost::json::object const& hop) {
    auto const& all = hop.at("routers").as_array();
    return all.empty() ? "" : std::string(all.at(0).as_object().at("address").as_string());
}

} // namespace

TEST_CASE("trace names the router on the way and the target behind it", "[cli][icmp]") {
    two_hops way;
    auto const seen = trace({"10.88.0.1", "-n", "-t", "0.5"});
    CHECK(seen.code == 0);
    REQUIRE(seen.records.size() == 3);
    CHECK(router(seen.records[0]) == "10.86.0.2");
    CHECK(router(seen.records[1]) == "10.88.0.1");
    for (int i : {0, 1}) CHECK(seen.records[static_cast<std::size_t>(i)].at("received") == 3);
    CHECK(seen.records[2].at("type") == "summary");
    CHECK(seen.records[2].at("hops") == 2);
}

TEST_CASE("trace ends where an error says so, and gives up on silence", "[cli][icmp]") {
    two_hops way;
    auto seen = trace({"10.89.0.1", "-n", "-t", "0.3"}); // the router knows no way on
    CHECK(seen.code == cli::nothing_reached);
    CHECK(router(seen.records.at(0)) == "10.86.0.2");
    CHECK(seen.records.back().at("up") == 0);
    seen = trace({"10.90.0.1", "-n", "-t", "0.2", "-c", "1", "-m", "5"}); // swallows it
    CHECK(seen.code == cli::nothing_reached);
    CHECK(router(seen.records.at(0)) == "10.86.0.2");
    CHECK(seen.records.size() == 3); // the router, one silent hop, the summary
}

TEST_CASE("trace refuses what it cannot do", "[cli]") {
    CHECK(trace({}).code == cli::usage);
    CHECK(trace({"127.0.0.1", "-m", "0"}).code == cli::usage);
    CHECK(trace({"127.0.0.1", "-4", "-6"}).code == cli::usage);
}
