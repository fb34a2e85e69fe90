#pragma once

#include <trawl/plan.hpp>

#include <cstddef>
#include <string>

namespace trawl::plan {

/// Gathers what the mailed report says, in bounded memory: the totals, the first 1,000 hosts that
/// need attention, every backup, and up to 8 MiB of the results as JSON lines.
class report {
public:
    void add(host_result const& result);
    void add(std::string const& name, backup::report const& made);
    void add(std::string const& name, std::string const& why);

    /// The letter without sender and recipients.
    mime::message letter(std::string const& subject, summary const& totals) const;

private:
    void keep(std::string const& line);

    std::string hosts_, backups_, results_;
    std::size_t listed_ = 0, unlisted_ = 0;
    bool results_cut_ = false;
};

} // namespace trawl::plan
