#pragma once

#include "lab/descriptor.hpp"

#include <filesystem>
#include <string>
#include <string_view>

/// Files that are whole or not there. Everything blocks and throws error, which names the file.
namespace trawl::cli {

using lab::descriptor;

/// The system's reason for what failed last, as error(errno, where).
[[noreturn]] void fail(std::string const& where);

void write_all(int file, std::string_view bytes, std::string const& where);

/// fsync(2): what was written survives a power cut.
void sync(int file, std::string const& where);

/// Renames `from`, a synced file, to `to` in the same folder, and syncs the folder.
void put_in_place(std::filesystem::path const& from, std::filesystem::path const& to);

/// Replaces `file` by `bytes`: after a crash it holds the old bytes or the new ones. The temporary
/// file is `file`.new.
void replace(std::filesystem::path const& file, std::string_view bytes);

} // namespace trawl::cli
