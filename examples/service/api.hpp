#pragma once

#include "exchange.hpp"
#include "job_spec.hpp"
#include "job_table.hpp"
#include "monitor.hpp"
#include "prometheus.hpp"

#include <trawl/net.hpp>
#include <trawl/watchdog.hpp>

#include <chrono>

namespace service {

/// What the service offers:
///
///     GET /            the status page        GET /metrics      Prometheus
///     GET /status      what the page shows    GET /healthz      200, or 503 when the loop is late
///     GET /jobs        the jobs               POST /jobs        a job; results stream as NDJSON
///     GET /jobs/ID     one, with its results  POST /jobs?detach=1   202, and the results stay here
///     DELETE /jobs/ID  cancels or forgets it
///
/// Jobs are for the bearer of the token when there is one. A browser cannot be made to send one: a
/// page of another site may not ask for this content type, and a name that was bent to this
/// address (DNS rebinding) is refused.
class api {
public:
    struct parts {
        job_table& jobs;
        monitor const& hosts;
        heartbeat const& beat;
        trawl::watchdog const& loop;
        prometheus_observer& figures;
    };
    struct options {
        job_limits limits = {};
        std::chrono::milliseconds late{500}; ///< the lag from which the service is not healthy
        trawl::net::secret token = {};       ///< empty: anybody who reaches the service
    };

    /// What it is given outlives it.
    api(parts of, options how) : parts_(of), options_(std::move(how)) {}
    api(api const&) = delete;
    api& operator=(api const&) = delete;

    trawl::awaitable<> handle(exchange& client);

private:
    response page(request const& asked) const;
    response metrics() const;
    response health() const;
    response status() const;
    response one_job(request const& asked);
    trawl::awaitable<> start_job(exchange& client);
    bool allowed(request const& asked) const;

    parts parts_;
    options options_;
};

} // namespace service
