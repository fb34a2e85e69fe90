#include "plan/records.hpp"

namespace trawl::plan {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

value or_null(std::string const& text) {
    if (text.empty()) return nullptr;
    return json::text(text);
}

object to_object(command_result const& one) {
    object o;
    o["command"] = json::text(one.command);
    o["exit_status"] = one.end.exit_status ? value(*one.end.exit_status) : value(nullptr);
    o["exit_signal"] = or_null(one.end.exit_signal);
    o["stdout"] = json::text(one.end.out);
    o["stderr"] = json::text(one.end.err);
    o["stdout_truncated"] = one.end.out_truncated;
    o["stderr_truncated"] = one.end.err_truncated;
    o["elapsed"] = json::seconds(one.end.elapsed);
    return o;
}

array to_array(std::vector<backup::problem> const& problems) {
    array all;
    for (auto const& [path, message] : problems) {
        object o;
        o["path"] = json::text(path);
        o["message"] = json::text(message);
        all.push_back(std::move(o));
    }
    return all;
}

} // namespace

json::record to_record(host_result const& result) {
    array commands;
    for (auto const& one : result.commands) commands.push_back(to_object(one));
    value failure = nullptr;
    if (!result.error.empty()) {
        object o;
        o["code"] = json::text(result.error_code);
        o["phase"] = or_null(result.error_phase);
        o["message"] = json::text(result.error);
        failure = std::move(o);
    }
    json::record record("host", "run");
    record.field("target", result.target).field("address", or_null(result.address));
    record.field("status", to_string(result.status)).field("rtt", json::seconds(result.rtt));
    record.field("commands", std::move(commands)).field("error", std::move(failure));
    return record.field("elapsed", json::seconds(result.elapsed));
}

json::record to_record(std::string const& name, backup::report const& made) {
    json::record record("archive", "run");
    record.field("name", name).field("kind", backup::word(made.made));
    record.field("file", made.file.native()).field("manifest", made.manifest.native());
    record.field("entries", made.entries)
        .field("bytes_in", made.bytes_in)
        .field("bytes_out", made.bytes_out);
    return record.field("errors", to_array(made.errors));
}

json::record to_record(std::string const& name, std::string const& why) {
    json::record record("archive", "run");
    record.field("name", name)
        .field("kind", nullptr)
        .field("file", nullptr)
        .field("manifest", nullptr);
    record.field("entries", 0).field("bytes_in", 0).field("bytes_out", 0);
    return record.field("errors", to_array({{"", why}}));
}

json::record to_record(smtp::receipt const& sent, smtp::recipient const& one) {
    json::record record("recipient", "run");
    record.field("message", sent.message_id).field("recipient", one.address);
    record.field("status", smtp::to_string(one.status)).field("code", one.code);
    return record.field("enhanced", or_null(one.enhanced)).field("text", one.text);
}

json::record to_record(summary const& totals) {
    json::record record("summary", "run");
    record.field("targets", totals.targets).field("ok", totals.ok).field("failed", totals.failed);
    record.field("down", totals.down)
        .field("unreachable", totals.unreachable)
        .field("unknown", totals.unknown);
    record.field("commands", totals.commands).field("commands_failed", totals.commands_failed);
    record.field("archives", totals.archives)
        .field("archives_incomplete", totals.archives_incomplete);
    record.field("archives_failed", totals.archives_failed);
    record.field("mails_accepted", totals.mails_accepted)
        .field("mails_failed", totals.mails_failed);
    return record.field("elapsed", json::seconds(totals.elapsed));
}

} // namespace trawl::plan
