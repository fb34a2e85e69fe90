#include "cli/dns_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace trawl::cli {
namespace {

using dns::answer;
using dns::status;

constexpr std::array all_statuses{status::answered, status::no_such_name, status::no_data,
                                  status::server_failure, status::timed_out};

/// "no such name".
std::string words(status how) {
    std::string text(dns::to_string(how));
    std::ranges::replace(text, '_', ' ');
    return text;
}

std::string text_of(std::string_view target, answer const& found) {
    std::string text(target);
    text += ": ";
    if (found.status != status::answered) {
        text += words(found.status);
        if (found.status == status::server_failure) text += " (" + found.why.message() + ")";
        return text;
    }
    bool first = true;
    for (auto const& value : found.values) {
        if (!std::exchange(first, false)) text += ", ";
        text += to_string(value);
    }
    return text;
}

json::record record_of(std::string_view target, dns::type wanted, answer const& found,
                       duration elapsed) {
    json::record made("answer", "dns");
    made.field("name", target).field("record", dns::to_string(wanted));
    made.field("status", dns::to_string(found.status));
    boost::json::array values;
    for (auto const& value : found.values) values.push_back(json::text(to_string(value)));
    made.field("values", boost::json::value(std::move(values)));
    bool const told = found.status != status::server_failure && found.status != status::timed_out;
    if (told)
        made.field("ttl", found.ttl.count());
    else
        made.field("ttl", nullptr);
    made.field("authenticated", boost::json::value(found.authenticated));
    if (found.why) made.field("error", found.why.message());
    return made.field("elapsed", elapsed);
}

} // namespace

void dns_writer::write(std::string_view target, answer const& found, duration elapsed) {
    ++written_;
    ++counts_[static_cast<std::size_t>(found.status)];
    unheard_ += found.status == status::timed_out || found.why == dns::errc::no_server;
    env_.out().gather([&] {
        if (env_.words().json)
            env_.out().record(record_of(target, wanted_, found, elapsed));
        else
            env_.out().line(text_of(target, found));
    });
}

int dns_writer::exit_code(std::uint64_t targets) const {
    if (of(status::answered) == targets) return all_well;
    return unheard_ == targets ? nothing_reached : some_failed;
}

int dns_writer::finish(std::uint64_t targets, duration elapsed) {
    int const code = env_.outcome(exit_code(targets));
    if (env_.words().json) {
        json::record made("summary", "dns");
        made.field("targets", targets);
        for (auto const how : all_statuses) made.field(dns::to_string(how), of(how));
        made.field("not_asked", targets - written_).field("elapsed", elapsed);
        env_.out().record(made.field("exit", code));
    } else if (!env_.words().quiet && targets > 1) {
        auto text = fmt::format("{} names:", targets);
        for (auto const how : all_statuses) text += fmt::format(" {} {},", of(how), words(how));
        if (targets > written_) text += fmt::format(" {} not asked,", targets - written_);
        text.back() = ' ';
        env_.say(
            fmt::format("{}in {:.2f} s\n", text, std::chrono::duration<double>(elapsed).count()));
    }
    return code;
}

} // namespace trawl::cli
