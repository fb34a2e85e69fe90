#pragma once

#include <trawl/async.hpp>
#include <trawl/observer.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace service {

using labels = std::vector<std::pair<std::string, std::string>>;

/// Writes the Prometheus text format 0.0.4: each family's HELP and TYPE, then its samples.
class exposition {
public:
    static constexpr std::string_view type = "text/plain; version=0.0.4; charset=utf-8";

    /// `kind`: "counter", "gauge" or "histogram".
    exposition& family(std::string_view name, std::string_view kind, std::string_view help);
    /// A sample; `of` are its labels, whose values may hold any bytes.
    exposition& sample(std::string_view name, labels const& of, double value);
    std::string const& text() const noexcept { return text_; }

private:
    std::string text_;
};

/// Times in the buckets of smokeping_prober, so that its dashboards fit: 50 us, doubled up to 26 s.
class histogram {
public:
    void add(trawl::duration time);
    /// NAME_bucket, NAME_sum and NAME_count.
    void write(exposition& to, std::string const& name, labels const& of) const;

private:
    std::array<std::uint64_t, 20> within_{}; // each bucket's own, not those below
    std::uint64_t count_ = 0;
    double sum_ = 0;
};

/// An observer whose figures can be scraped: metrics under their own names, log records counted by
/// severity, progress by what it counts. Log records go on to the next observer, if there is one.
class prometheus_observer : public trawl::observer {
public:
    explicit prometheus_observer(trawl::observer* next = nullptr) : next_(next) {}

    void log(trawl::severity how, std::string_view where, std::string_view text) override;
    void progress(std::string_view what, std::uint64_t done, std::uint64_t total) override;
    void metric(std::string_view name, double value) override;

    void write(exposition& to) const;

private:
    struct stretch {
        std::uint64_t done = 0, total = 0;
    };
    trawl::observer* next_;
    std::map<std::string, double, std::less<>> metrics_;
    std::map<std::string, stretch, std::less<>> progress_;
    std::array<std::uint64_t, 5> records_{};
};

/// "trace", "debug", "info", "warning", "error".
std::string_view name(trawl::severity how) noexcept;

} // namespace service
