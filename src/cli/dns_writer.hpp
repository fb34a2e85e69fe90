#pragma once

#include "cli/environment.hpp"

#include <trawl/dns.hpp>

#include <array>
#include <cstdint>
#include <string_view>

namespace trawl::cli {

/// Writes the results of `trawl dns`, a line or a record each, and counts them.
///
///     web.example: 10.0.0.7, 10.0.0.8
///     gone.example: no such name
class dns_writer {
public:
    /// `env` outlives it.
    dns_writer(environment& env, dns::type wanted) : env_(env), wanted_(wanted) {}

    void write(std::string_view target, dns::answer const&, duration elapsed);
    /// The summary; the exit code of the command.
    int finish(std::uint64_t targets, duration elapsed);
    std::uint64_t written() const noexcept { return written_; }

private:
    std::uint64_t of(dns::status how) const { return counts_[static_cast<std::size_t>(how)]; }
    int exit_code(std::uint64_t targets) const;

    environment& env_;
    dns::type wanted_;
    std::array<std::uint64_t, 5> counts_{};   // by status
    std::uint64_t written_ = 0, unheard_ = 0; // `unheard_`: no server said anything
};

} // namespace trawl::cli
