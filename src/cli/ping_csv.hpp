#pragma once

#include "cli/ping_writer.hpp"

namespace trawl::cli {

/// `field` as it stands in a row (RFC 4180 §2): in quotes when it holds a comma, a quote or a line
/// end.
std::string csv_field(std::string_view field);

/// One row for each host, as it ends, under a row of names. Times are in milliseconds; what is not
/// known is empty. Lines end with "\n" alone, as the tools of this system expect.
class ping_csv : public ping_writer {
public:
    /// `sink` is not owned.
    explicit ping_csv(text_sink& sink) : sink_(sink) {}

    bool wants_echoes() const override { return false; }
    void unresolved(std::string_view name, std::string_view why, std::uint64_t place) override;
    void host(pinged_host const&, icmp::result const&) override;
    void finish(pinged_hosts, ping_end const&) override;

private:
    void row(std::string_view text);

    text_sink& sink_;
    bool begun_ = false;
};

} // namespace trawl::cli
