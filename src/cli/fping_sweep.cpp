#include "cli/fping_sweep.hpp"

#include "cli/environment.hpp"

#include <algorithm>
#include <string_view>

namespace trawl::cli {
namespace {

using namespace std::chrono_literals;

std::chrono::milliseconds whole(duration length) {
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(length), 1ms);
}

} // namespace

std::optional<std::vector<std::string>> fping_command(std::vector<std::string> const& argv) {
    if (argv.empty()) return {};
    std::string_view name = argv[0];
    name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
    if (name.starts_with("fping")) return argv;
    if (argv.size() < 3 || argv[1] != "ping") return {};
    auto const given = [&](char const* word) {
        return std::ranges::find(argv, word) != argv.end();
    };
    if (given("--fping") && given("--live"))
        throw usage_error("ping: --live and --fping exclude each other");
    if (argv[2] != "--fping") return {};
    std::vector<std::string> words(argv.begin() + 2, argv.end());
    words[0] = "fping";
    return words;
}

icmp::pinger::options pinger_options(fping_options const& o) {
    icmp::pinger::options made;
    made.timeout = whole(o.timeout);
    made.payload = static_cast<std::uint16_t>(o.bytes); // at most 65488
    made.random_payload = o.random_bytes;
    made.hop_limit = o.hop_limit;
    made.traffic_class = o.traffic_class;
    made.dont_fragment = o.dont_fragment;
    made.source = o.source;
    made.interface = o.interface;
    made.mark = o.mark;
    return made;
}

icmp::sweep::options sweep_options(fping_options const& o) {
    using mode = fping_options::mode;
    icmp::sweep::options made;
    made.timeout = whole(o.timeout);
    made.interval = whole(o.period);
    made.retries = o.how == mode::reach ? o.retries : 0;
    made.backoff = o.how == mode::reach ? o.backoff : 1;
    made.count = o.how == mode::loop ? 0 : o.how == mode::count ? o.count : 1;
    made.every_echo = true;
    if (o.interval > duration{}) made.rate = 1 / std::chrono::duration<double>(o.interval).count();
    return made;
}

} // namespace trawl::cli
