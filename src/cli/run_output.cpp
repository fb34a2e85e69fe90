#include "cli/run_output.hpp"

#include "plan/records.hpp"

#include <fmt/format.h>

namespace trawl::cli {
namespace {

std::string milliseconds(duration d) {
    return fmt::format("{:.2f} ms", std::chrono::duration<double, std::milli>(d).count());
}

void write_stream(output& out, std::string const& host, char const* kind, std::string const& bytes,
                  bool truncated) {
    out.line(fmt::format("[{}]{}:", host, kind));
    out.raw(bytes);
    if (!bytes.empty() && bytes.back() != '\n') out.raw("\n");
    if (truncated) out.line("[... truncated]");
}

} // namespace

void run_output::host(plan::host_result const& result) {
    auto& out = here_.out();
    if (here_.words().json) return out.record(plan::to_record(result));
    if (!result.rtt)
        out.line(fmt::format("{}: {}", result.target, plan::to_string(result.status)));
    else
        out.line(fmt::format("{}: up {}", result.target, milliseconds(*result.rtt)));
    for (auto const& [command, end] : result.commands) {
        if (!end.out.empty()) write_stream(out, result.target, "OUT", end.out, end.out_truncated);
        if (!end.err.empty()) write_stream(out, result.target, "ERROR", end.err, end.err_truncated);
        if (end.exit_status != 0)
            out.line(fmt::format("[{}]: {}: {}", result.target, command,
                                 end.exit_status ? fmt::format("exit status {}", *end.exit_status)
                                                 : "signal " + end.exit_signal));
    }
    if (!result.error.empty()) here_.log().log(severity::error, "", result.error);
}

void run_output::archive(std::string const& name, backup::report const& made) {
    if (here_.words().json) return here_.out().record(plan::to_record(name, made));
    here_.out().line(fmt::format("backup {}: {} {}, {} entries, {} -> {} bytes", name,
                                 made.made == backup::kind::full ? "full" : "incremental",
                                 made.file.string(), made.entries, made.bytes_in, made.bytes_out));
    for (auto const& [path, message] : made.errors)
        here_.log().log(severity::error, "backup " + name, fmt::format("{}: {}", path, message));
}

void run_output::archive_failed(std::string const& name, std::string const& why) {
    if (here_.words().json)
        here_.out().record(plan::to_record(name, why));
    else
        here_.log().log(severity::error, "backup " + name, why);
}

void run_output::mailed(smtp::receipt const& sent) {
    for (auto const& one : sent.recipients) {
        if (here_.words().json)
            here_.out().record(plan::to_record(sent, one));
        else
            here_.out().line(
                fmt::format("mail {}: {}{}{}", one.address, smtp::to_string(one.status),
                            one.code ? fmt::format(" ({} {})", one.code, one.enhanced) : "",
                            one.code ? "" : ": " + one.text));
    }
}

int exit_code_of(plan::summary const& totals) {
    if (totals.failed + totals.unknown + totals.commands_failed + totals.mails_failed > 0)
        return some_failed;
    if (totals.archives_incomplete + totals.archives_failed > 0) return backup_incomplete;
    if (totals.targets > 0 && totals.ok == 0) return nothing_reached;
    return all_well;
}

awaitable<int> run_plan(environment& here, plan::job what) {
    run_output results(here);
    plan::runner::services with{here.cpu(), here.blocking(), results, &here.log()};
    plan::runner runner(std::move(what), with);
    try {
        co_await runner.run();
    } catch (std::system_error const& e) {
        if (!here.was_interrupted() || !is_cancelled(e)) throw;
    }
    auto const totals = runner.totals();
    int const code = here.outcome(exit_code_of(totals));
    auto const loop = here.loop();
    if (here.words().json) {
        auto record = plan::to_record(totals);
        record.field("hold_p999", json::seconds(loop.hold.p999))
            .field("lag_p99", json::seconds(loop.lag.p99));
        here.out().record(record.field("exit", code));
        co_return code;
    }
    here.out().line(fmt::format(
        "{} targets: {} ok, {} failed, {} down, {} unreachable, {} unknown; {} commands, {} "
        "failed; {} backups, {} not whole; {} mails, {} not accepted; {:.2f} s",
        totals.targets, totals.ok, totals.failed, totals.down, totals.unreachable, totals.unknown,
        totals.commands, totals.commands_failed, totals.archives + totals.archives_failed,
        totals.archives_incomplete + totals.archives_failed,
        totals.mails_accepted + totals.mails_failed, totals.mails_failed,
        std::chrono::duration<double>(totals.elapsed).count()));
    co_return code;
}

} // namespace trawl::cli
