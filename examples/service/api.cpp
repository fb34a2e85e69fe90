#include "api.hpp"

#include "records.hpp"
#include "status_page.hpp"

#include <asio/ip/address.hpp>
#include <boost/json/serialize.hpp>

#include <optional>
#include <utility>

namespace json = boost::json;
using trawl::awaitable;

namespace service {
namespace {

response of_json(json::value const& told, int status = 200) {
    response answer;
    answer.status = status;
    answer.body = json::serialize(told) + "\n";
    return answer;
}

response only(std::string methods) {
    auto answer = refusal(405, "this takes " + methods);
    answer.fields.emplace_back("Allow", std::move(methods));
    return answer;
}

/// A Host that is no name but an address: nobody can bend one to another machine.
bool is_address(std::string_view host) {
    if (host.starts_with('[')) {
        auto const end = host.find(']');
        host = host.substr(1, end == host.npos ? 0 : end - 1);
    } else {
        host = host.substr(0, host.rfind(':'));
    }
    std::error_code failed;
    asio::ip::make_address(std::string(host), failed);
    return !failed || host == "localhost";
}

/// In a time that does not tell where they differ.
bool equal(std::string_view a, std::string_view b) {
    unsigned differ = a.size() != b.size();
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
        differ |= static_cast<unsigned>(a[i] ^ b[i]);
    return differ == 0;
}

} // namespace

awaitable<> api::handle(exchange& client) {
    auto const& asked = client.asked();
    std::optional<response> whole;
    if (!is_address(asked.field("Host")))
        whole = refusal(421, "ask for this service by its address");
    else if (!asked.path.starts_with("/jobs"))
        whole = page(asked);
    else if (!allowed(asked))
        whole = refusal(401, "jobs need the service's token");
    else if (asked.path != "/jobs")
        whole = one_job(asked);
    else if (asked.method == "GET" || asked.method == "HEAD")
        whole = of_json(parts_.jobs.list());
    else if (asked.method != "POST")
        whole = only("GET, HEAD, POST");
    if (whole && whole->status == 401) whole->fields.emplace_back("WWW-Authenticate", "Bearer");
    if (whole)
        co_await client.answer(std::move(*whole));
    else
        co_await start_job(client);
}

bool api::allowed(request const& asked) const {
    if (options_.token.empty()) return true;
    auto const sent = asked.field("Authorization");
    return sent.starts_with("Bearer ") && equal(sent.substr(7), options_.token.view());
}

response api::page(request const& asked) const {
    auto const& path = asked.path;
    if (path != "/" && path != "/metrics" && path != "/healthz" && path != "/status")
        return refusal(404, "there is no " + path);
    if (asked.method != "GET" && asked.method != "HEAD") return only("GET, HEAD");
    if (path == "/metrics") return metrics();
    if (path == "/healthz") return health();
    if (path == "/status") return status();
    response answer;
    answer.type = "text/html; charset=utf-8";
    answer.body = status_page;
    answer.fields.emplace_back("Content-Security-Policy", status_page_policy);
    return answer;
}

response api::metrics() const {
    parts_.loop.publish(parts_.figures);
    exposition text;
    parts_.hosts.write(text);
    parts_.figures.write(text);
    text.family("service_jobs", "gauge", "Jobs that are known, finished ones included")
        .sample("service_jobs", {}, static_cast<double>(parts_.jobs.list().size()));
    response answer;
    answer.type = exposition::type;
    answer.body = text.text();
    return answer;
}

response api::health() const {
    auto const lag = parts_.beat.worst();
    bool const well = lag < options_.late;
    json::object told;
    told["status"] = well ? "ok" : "late";
    told["loop_lag"] = seconds(lag);
    told["loop_hold_p999"] = seconds(parts_.loop.figures().hold.p999);
    return of_json(told, well ? 200 : 503);
}

response api::status() const {
    json::object told;
    told["loop_lag"] = seconds(parts_.beat.worst());
    told["hosts"] = parts_.hosts.to_json();
    json::array jobs = parts_.jobs.list();
    for (auto& one : jobs) one.as_object().erase("error"); // it may quote a host's words
    told["jobs"] = std::move(jobs);
    return of_json(told);
}

response api::one_job(request const& asked) {
    auto const id = asked.path.substr(std::string_view("/jobs/").size() - 1);
    auto const one = id.starts_with('/') ? parts_.jobs.find(id.substr(1)) : nullptr;
    if (!one) return refusal(404, "there is no " + asked.path);
    if (asked.method == "DELETE") {
        parts_.jobs.remove(id.substr(1));
        return of_json(one->work.description());
    }
    if (asked.method != "GET" && asked.method != "HEAD") return only("GET, HEAD, DELETE");
    // The lines are JSON already: no need to read them again.
    auto told = json::serialize(one->work.description());
    told.pop_back();
    told += ",\"dropped\":" + std::to_string(one->dropped) + ",\"results\":[";
    for (char c : one->results) told += c == '\n' ? ',' : c;
    if (!one->results.empty()) told.pop_back();
    response answer;
    answer.body = told + "]}\n";
    return answer;
}

awaitable<> api::start_job(exchange& client) {
    auto const& asked = client.asked();
    std::optional<job_spec> what;
    std::optional<response> whole;
    if (!asked.field("Content-Type").starts_with("application/json"))
        whole = refusal(415, "a job is application/json");
    else if (parts_.jobs.full())
        whole = refusal(429, "too many jobs run");
    try {
        if (!whole) what = parse_job(asked.body, options_.limits);
    } catch (bad_job const& e) {
        whole = refusal(422, e.what());
    }
    if (whole && whole->status == 429) whole->fields.emplace_back("Retry-After", "5");
    if (what && asked.flag("detach")) {
        auto const one = parts_.jobs.detach(std::move(*what));
        whole = of_json(one->work.description(), 202);
        whole->fields.emplace_back("Location", "/jobs/" + std::to_string(one->work.id()));
    }
    if (whole)
        co_await client.answer(std::move(*whole));
    else
        co_await parts_.jobs.stream(std::move(*what), client);
}

} // namespace service
