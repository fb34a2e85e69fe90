#include "cli/worst_hosts.hpp"

#include "cli/output.hpp"

#include <algorithm>
#include <tuple>

namespace trawl::cli {
namespace {

bool better(worst_hosts::host const& a, worst_hosts::host const& b) {
    return std::tie(a.loss, a.average) < std::tie(b.loss, b.average);
}

/// Names of addresses are their owners' choice.
std::string harmless(std::string_view label) {
    auto text = escaped(label);
    for (auto& c : text)
        if (c == '\n' || c == '\t') c = '?';
    return text;
}

} // namespace

void worst_hosts::add(pinged_host const& which, std::optional<duration> rtt, double loss,
                      duration average) {
    auto* const to = place_for(which, loss, average);
    if (!to) return;
    to->loss = loss;
    to->average = average;
    if (to->last.size() == remembered) to->last.erase(to->last.begin());
    to->last.push_back(rtt);
}

worst_hosts::host* worst_hosts::place_for(pinged_host const& which, double loss, duration average) {
    for (auto& h : hosts_)
        if (h.place == which.place && h.address == which.address) return &h;
    host made;
    made.place = which.place, made.address = which.address;
    made.loss = loss, made.average = average;
    if (hosts_.size() < most) {
        made.label = harmless(which.label);
        return &hosts_.emplace_back(std::move(made));
    }
    auto const best = std::ranges::min_element(hosts_, better);
    if (!better(*best, made)) return nullptr;
    made.label = harmless(which.label);
    *best = std::move(made);
    return &*best;
}

std::vector<worst_hosts::host> worst_hosts::ordered() const {
    auto all = hosts_;
    std::ranges::stable_sort(all, [](auto& a, auto& b) { return better(b, a); });
    return all;
}

} // namespace trawl::cli
