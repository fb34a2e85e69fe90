#pragma once

#include "cli/environment.hpp"

#include <CLI/App.hpp>

#include <functional>

namespace trawl::cli {

/// What the chosen verb does once the command line has been read; set by its CLI11 callback.
using action = std::function<int(environment&)>;

// Each verb declares its options on `app` and sets `chosen` when it is called. One file per verb.
void add_ping(CLI::App& app, action& chosen);
void add_trace(CLI::App& app, action& chosen);
void add_dns(CLI::App& app, action& chosen);
void add_ssh(CLI::App& app, action& chosen);
void add_sftp(CLI::App& app, action& chosen);
void add_mail(CLI::App& app, action& chosen);
void add_backup(CLI::App& app, action& chosen);
void add_run(CLI::App& app, action& chosen);
void add_lab(CLI::App& app, action& chosen);
void add_demo(CLI::App& app, action& chosen);
void add_merge(CLI::App& app, action& chosen);
void add_doctor(CLI::App& app, action& chosen);

} // namespace trawl::cli
