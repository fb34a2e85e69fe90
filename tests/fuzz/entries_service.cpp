// What a client sends to examples/service, as the two readers there take it.
#include "parts.hpp"

#include "service/http_request.hpp"
#include "service/job_spec.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <variant>
#include <vector>

namespace trawl::fuzz {
namespace {

using service::request_reader;

request_reader::limits const bounds{.target = 40, .head = 200, .body = 400};

bool one_line(std::string_view text) { return text.find_first_of("\r\n") == text.npos; }

void look_at_request(service::request const& one) {
    require(!one.method.empty() && one.path.starts_with('/'), "a request without its line");
    require(one.path.size() + one.query.size() <= bounds.target, "more of a target than is kept");
    require(one.body.size() <= bounds.body, "more of a body than is kept");
    std::size_t head = 0;
    for (auto const& [name, value] : one.fields) {
        head += name.size() + value.size();
        require(one_line(name) && one_line(value), "a field of several lines");
        require(!name.empty() && name.find_first_of(" :") == name.npos, "no name of a field");
    }
    require(head <= bounds.head, "more of the fields than is kept");
}

struct reading {
    std::vector<service::request> requests;
    request_reader::state last = request_reader::state::more;
};

/// All requests of a connection whose bytes come `piece` at a time.
reading read_all(std::string_view input, std::size_t piece) {
    reading seen;
    request_reader reader(bounds);
    while (!input.empty() && reader.now() == request_reader::state::more) {
        auto const bytes = input.substr(0, piece);
        auto const taken = reader.feed(bytes);
        require(taken <= bytes.size(), "more was taken than was there");
        require(taken == bytes.size() || reader.now() != request_reader::state::more,
                "bytes were left that no next request begins with");
        input.remove_prefix(taken);
        if (reader.now() == request_reader::state::ready) seen.requests.push_back(reader.take());
    }
    seen.last = reader.now();
    if (seen.last != request_reader::state::refused) return seen;
    require(reader.status() >= 400 && reader.status() < 600 && !reader.reason().empty() &&
                one_line(reader.reason()),
            "a refusal without its status and reason");
    return seen;
}

bool same(service::request const& a, service::request const& b) {
    return a.method == b.method && a.path == b.path && a.query == b.query && a.body == b.body &&
           a.fields == b.fields && a.keep_alive == b.keep_alive && a.chunks == b.chunks;
}

void look_at(service::sweep_spec const& job, service::job_limits const& limits) {
    require(job.rate >= 1 && job.rate <= limits.rate && job.retries <= 10 &&
                !job.targets.has_names(),
            "a sweep beyond its limits");
}

void look_at(service::ssh_spec const& job, service::job_limits const& limits) {
    require(job.port > 0 && job.jobs > 0 && job.jobs <= limits.sessions, "a job beyond its limits");
    require(!job.user.empty() && !job.command.empty(), "a job without a user or a command");
    require(!job.key.empty() && !job.key.starts_with('.') && job.key.find('/') == job.key.npos,
            "a key outside its folder");
}

void look_at_job(std::string_view text) {
    service::job_limits limits;
    limits.ssh = true;
    try {
        auto const job = service::parse_job(text, limits);
        auto const& targets = service::targets_of(job);
        require(!targets.empty() && targets.size() <= limits.targets, "targets beyond the limit");
        std::visit(
            [&](auto const& one) {
                require(one.timeout.count() > 0 && one.timeout <= std::chrono::hours(1),
                        "a timeout beyond its limits");
                look_at(one, limits);
            },
            job);
    } catch (service::bad_job const& why) {
        require(one_line(why.what()), "a reason of several lines");
    }
}

} // namespace

/// The input is what comes on a connection; it, and what it POSTs, is read as a job, too.
void run_service(std::string_view input) {
    auto const whole = read_all(input, input.size()), bytewise = read_all(input, 1);
    require(whole.last == bytewise.last &&
                std::ranges::equal(whole.requests, bytewise.requests, same),
            "the requests depend on how the bytes arrive");
    for (auto const& one : whole.requests) {
        look_at_request(one);
        look_at_job(one.body);
    }
    look_at_job(input);
}

} // namespace trawl::fuzz
