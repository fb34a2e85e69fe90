#pragma once

#include <cstdint>
#include <filesystem>

// Faults of a disk, in this program only: it has a pread(2) of its own.
namespace trawl::test {

/// While it lives, reading `file` beyond byte `from` fails with EIO, or the file seems to end there
/// (whatever stat says), as if it shrank.
class faulty_file {
public:
    enum kind { fails, ends };
    faulty_file(std::filesystem::path const& file, std::uint64_t from, kind how = fails);
    faulty_file(faulty_file const&) = delete;
    ~faulty_file();
};

} // namespace trawl::test
