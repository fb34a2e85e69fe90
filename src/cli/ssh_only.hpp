#pragma once

#include <trawl/targets.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace trawl::cli {

/// What --only names: some of the hosts of an earlier `trawl ssh --json`.
///
///     failed@FILE              status "failed"
///     nonzero@FILE             a command whose status was not 0
///     unfinished@FILE          no record: the run ended before
///     failed,nonzero@FILE      any of them
class earlier_results {
public:
    /// Reads the file; blocks. Throws usage_error for a word or a line that it does not know, error
    /// when the file cannot be read.
    explicit earlier_results(std::string_view words);

    bool wants(targets::target const& one) const;
    /// Targets of the list that are wanted.
    std::uint64_t count(targets::list const& list) const;
    /// The wanted hosts of the file, in its order.
    targets::list list() const;

private:
    enum class outcome { good, failed, nonzero };
    void read(std::string const& file);
    void take(std::string_view line, std::string const& place);
    bool wants(outcome how) const noexcept;

    bool failed_ = false, nonzero_ = false, unfinished_ = false;
    std::unordered_map<std::string, outcome> hosts_;
    std::vector<std::string> order_;
};

} // namespace trawl::cli
