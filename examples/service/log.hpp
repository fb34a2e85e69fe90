#pragma once

#include <trawl/observer.hpp>

#include <memory>

namespace service {

/// Writes log records to stderr: by spdlog when the build found it, else plainly.
std::unique_ptr<trawl::observer> make_log();

} // namespace service
