#include "mail/dane.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace trawl::smtp::detail {

/// More would be no help to anybody.
constexpr std::size_t most_records = 64;

bool is_usable(dns::tlsa const& record) noexcept {
    if (record.usage != 2 && record.usage != 3) return false;
    if (record.selector > 1) return false;
    switch (record.matching) {
    case 0: return !record.data.empty();
    case 1: return record.data.size() == 32; // SHA-256
    case 2: return record.data.size() == 64; // SHA-512
    default: return false;
    }
}

dane dane_of(dns::answer const& found, std::string const& base) {
    dane made;
    made.base = base;
    if (found.status == dns::status::server_failure || found.status == dns::status::timed_out) {
        // RFC 7672 §2.1.2: somebody may be hiding records, so that nothing goes there.
        made.none = {
            smtp::status::deferred, "4.7.5",
            fmt::format("dns {} TLSA: {}", base,
                        found.why ? found.why.message() : std::string(to_string(found.status)))};
        return made;
    }
    if (found.status != dns::status::answered || !found.authenticated) return made;
    made.encrypted = true;
    for (auto const& value : found.values)
        if (auto const* one = std::get_if<dns::tlsa>(&value); one && is_usable(*one))
            made.records.push_back(*one);
    if (made.records.size() > most_records) made.records.resize(most_records);
    return made;
}

awaitable<dane> find_dane(dns::resolver& names, std::string exchanger, std::string behind_aliases,
                          std::uint16_t port) {
    dane found;
    for (auto const* base : {&behind_aliases, &exchanger}) {
        auto question = fmt::format("_{}._tcp.{}.", port, *base);
        dns::answer answer;
        try {
            answer = co_await names.look_up(std::move(question), dns::type::tlsa);
        } catch (error const& e) {
            if (e.code() != dns::errc::bad_name) throw;
            answer.status = dns::status::no_such_name; // too long for what stands before it
        }
        found = dane_of(answer, *base);
        if (found.none || found.encrypted || exchanger == behind_aliases) break;
    }
    co_return found;
}

} // namespace trawl::smtp::detail
