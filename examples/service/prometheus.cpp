#include "prometheus.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

namespace service {
namespace {

/// Of a label's value also the quote needs a backslash; of a HELP text it does not.
std::string escaped(std::string_view text, bool quoted) {
    std::string out;
    for (char c : text) {
        if (c == '\n') {
            out += "\\n";
            continue;
        }
        if (c == '\\' || (quoted && c == '"')) out += '\\';
        out += c;
    }
    return out;
}

std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Inf" : "+Inf";
    if (value == std::trunc(value) && std::abs(value) < 1e15)
        return std::to_string(static_cast<std::int64_t>(value));
    char digits[32]; // 5e-05 and 0.0001, as Go writes them: `le` is compared as a text
    auto const end =
        std::to_chars(digits, digits + sizeof digits, value, std::chars_format::general).ptr;
    return std::string(digits, end);
}

constexpr double bucket_end(std::size_t i) { return 50e-6 * static_cast<double>(1u << i); }

} // namespace

exposition& exposition::family(std::string_view name, std::string_view kind,
                               std::string_view help) {
    text_.append("# HELP ").append(name).append(" ").append(escaped(help, false));
    text_.append("\n# TYPE ").append(name).append(" ").append(kind).append("\n");
    return *this;
}

exposition& exposition::sample(std::string_view name, labels const& of, double value) {
    text_ += name;
    char before = '{';
    for (auto const& [label, text] : of) {
        text_ += before;
        text_.append(label).append("=\"").append(escaped(text, true)).append("\"");
        before = ',';
    }
    if (before == ',') text_ += '}';
    text_.append(" ").append(number(value)).append("\n");
    return *this;
}

void histogram::add(trawl::duration time) {
    auto const seconds = std::chrono::duration<double>(time).count();
    for (std::size_t i = 0; i < within_.size(); ++i)
        if (seconds <= bucket_end(i)) {
            ++within_[i];
            break;
        }
    ++count_;
    sum_ += seconds;
}

void histogram::write(exposition& to, std::string const& name, labels const& of) const {
    auto bucket = of;
    bucket.emplace_back("le", "");
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < within_.size(); ++i) {
        bucket.back().second = number(bucket_end(i));
        to.sample(name + "_bucket", bucket, static_cast<double>(below += within_[i]));
    }
    bucket.back().second = "+Inf";
    to.sample(name + "_bucket", bucket, static_cast<double>(count_));
    to.sample(name + "_sum", of, sum_);
    to.sample(name + "_count", of, static_cast<double>(count_));
}

std::string_view name(trawl::severity how) noexcept {
    switch (how) {
    case trawl::severity::trace: return "trace";
    case trawl::severity::debug: return "debug";
    case trawl::severity::info: return "info";
    case trawl::severity::warning: return "warning";
    case trawl::severity::error: break;
    }
    return "error";
}

void prometheus_observer::log(trawl::severity how, std::string_view where, std::string_view text) {
    ++records_[static_cast<std::size_t>(how)];
    if (next_) next_->log(how, where, text);
}

void prometheus_observer::progress(std::string_view what, std::uint64_t done, std::uint64_t total) {
    progress_.insert_or_assign(std::string(what), stretch{done, total});
}

void prometheus_observer::metric(std::string_view name, double value) {
    metrics_.insert_or_assign(std::string(name), value);
}

void prometheus_observer::write(exposition& to) const {
    to.family("trawl_log_records_total", "counter", "Log records by severity");
    for (std::size_t i = 0; i < records_.size(); ++i) {
        labels const of{{"severity", std::string(name(static_cast<trawl::severity>(i)))}};
        to.sample("trawl_log_records_total", of, static_cast<double>(records_[i]));
    }
    if (!progress_.empty()) {
        to.family("trawl_progress_done", "gauge", "How far the work has come");
        for (auto const& [what, now] : progress_)
            to.sample("trawl_progress_done", {{"what", what}}, static_cast<double>(now.done));
        to.family("trawl_progress_total", "gauge", "How far it will go; 0: unknown");
        for (auto const& [what, now] : progress_)
            to.sample("trawl_progress_total", {{"what", what}}, static_cast<double>(now.total));
    }
    for (auto const& [name, value] : metrics_)
        to.family(name, "gauge", "As the library reports it").sample(name, {}, value);
}

} // namespace service
