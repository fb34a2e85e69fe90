#pragma once

#include <string_view>

namespace service {

/// One page without anything from elsewhere; it asks for /status every two seconds. Texts become
/// text nodes, never HTML.
inline constexpr std::string_view status_page = R"html(<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>trawl service</title>
<style>
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #8884 }
.up::before { content: "● "; color: #2a2 } .down::before { content: "○ "; color: #c33 }
</style>
<h1>trawl service</h1>
<p id="loop" role="status">asking…</p>
<h2>Hosts</h2>
<table><thead><tr><th>Address<th>Status<th>Round trip</thead><tbody id="hosts"></tbody></table>
<h2>Jobs</h2>
<table><thead><tr><th>Job<th>Kind<th>Status<th>Targets<th>Results<th>Seconds</thead>
<tbody id="jobs"></tbody></table>
<script>
const ms = s => s === null ? "–" : (s * 1000).toFixed(2) + " ms";
function rows(id, all, cells) {
  document.getElementById(id).replaceChildren(...all.map(one => {
    const row = document.createElement("tr");
    for (const [text, kind] of cells(one)) {
      const cell = row.insertCell();
      cell.textContent = text;
      if (kind) cell.className = kind;
    }
    return row;
  }));
}
async function ask() {
  const loop = document.getElementById("loop");
  try {
    const now = await (await fetch("/status")).json();
    const up = now.hosts.filter(h => h.status === "up").length;
    loop.textContent = `${up} of ${now.hosts.length} hosts are up; the loop is at most ${ms(now.loop_lag)} late`;
    rows("hosts", now.hosts, h => [[h.address], [h.status, h.status === "up" ? "up" : "down"], [ms(h.rtt)]]);
    rows("jobs", now.jobs, j => [[j.id], [j.kind], [j.status], [j.targets],
      [Object.entries(j.counts).map(([k, n]) => `${n} ${k}`).join(", ")], [j.elapsed.toFixed(1)]]);
  } catch {
    loop.textContent = "the service does not answer";
  }
  setTimeout(ask, 2000);
}
ask();
</script>
)html";

inline constexpr char const* status_page_policy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'";

} // namespace service
