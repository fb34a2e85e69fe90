#pragma once

#include <trawl/backup_store.hpp>

#include <filesystem>
#include <memory>

namespace trawl::backup::detail {

/// A file of this machine by its path; throws error.
std::unique_ptr<stored_file> open_local(std::filesystem::path const& file);

} // namespace trawl::backup::detail
