#include "plan/report.hpp"

#include "plan/records.hpp"

#include <fmt/format.h>

namespace trawl::plan {
namespace {

constexpr std::size_t most_hosts = 1000;
constexpr std::size_t most_results = std::size_t(8) << 20;

/// Why a host stands in the list; empty when all is well with it.
std::string attention(host_result const& result) {
    if (result.status == status::failed || result.status == status::unknown)
        return result.error.empty() ? std::string(to_string(result.status)) : result.error;
    for (auto const& [command, end] : result.commands)
        if (end.exit_status != 0)
            return fmt::format("{}: {}", command,
                               end.exit_status ? fmt::format("exit status {}", *end.exit_status)
                                               : "signal " + end.exit_signal);
    return {};
}

} // namespace

void report::add(host_result const& result) {
    keep(to_record(result).line());
    auto const why = attention(result);
    if (why.empty()) return;
    if (listed_ == most_hosts)
        ++unlisted_;
    else
        ++listed_, hosts_ += fmt::format("  {}: {}\n", result.target, why);
}

void report::add(std::string const& name, backup::report const& made) {
    keep(to_record(name, made).line());
    backups_ +=
        fmt::format("  {}: {} {}, {} entries, {} -> {} bytes\n", name,
                    made.made == backup::kind::full ? "full" : "incremental",
                    made.file.filename().string(), made.entries, made.bytes_in, made.bytes_out);
    for (auto const& [path, message] : made.errors)
        backups_ += fmt::format("    {}: {}\n", path, message);
}

void report::add(std::string const& name, std::string const& why) {
    keep(to_record(name, why).line());
    backups_ += fmt::format("  {}: FAILED: {}\n", name, why);
}

void report::keep(std::string const& line) {
    if (results_cut_ || results_.size() + line.size() >= most_results)
        results_cut_ = true;
    else
        results_ += line + '\n';
}

mime::message report::letter(std::string const& subject, summary const& totals) const {
    auto text =
        fmt::format("{} targets: {} ok, {} failed, {} down, {} unreachable, {} unknown; {:.1f} s\n",
                    totals.targets, totals.ok, totals.failed, totals.down, totals.unreachable,
                    totals.unknown, std::chrono::duration<double>(totals.elapsed).count());
    if (totals.commands)
        text += fmt::format("{} commands, {} failed\n", totals.commands, totals.commands_failed);
    if (!hosts_.empty()) text += "\nHosts that need attention:\n" + hosts_;
    if (unlisted_) text += fmt::format("  and {} more\n", unlisted_);
    if (!backups_.empty()) text += "\nBackups:\n" + backups_;
    if (results_cut_) text += "\nresults.jsonl holds the first 8 MiB of the results.\n";
    mime::message letter;
    letter.subject(subject).text(std::move(text));
    if (!results_.empty()) letter.attach(results_, "results.jsonl", "application/x-ndjson");
    return letter;
}

} // namespace trawl::plan
