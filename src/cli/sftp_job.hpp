#pragma once

#include "cli/sftp_copy.hpp"
#include "cli/sftp_words.hpp"
#include "cli/ssh_fan_out.hpp"

#include <trawl/sftp.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace trawl::cli {

/// All hosts of one `trawl sftp`.
struct sftp_round {
    environment& here;
    sftp_words const& words;
    bool lists = false;       ///< a host that is done has told all there is to tell
    fan_out* round = nullptr; ///< while hosts are visited
    std::function<void()>
        at_end{};              ///< when all have been: the loop ends only when nothing is connected
    std::uint64_t targets = 0; ///< of all errands
    std::uint64_t files = 0, bytes = 0; ///< copied so far
};

/// Options for a client, `clients` of which share what may be in flight at a time.
sftp::options sftp_options(sftp_round const& all, std::uint64_t clients);

/// What is done with the files of one host.
using sftp_work = std::function<awaitable<>(sftp::client&, sftp_copy, targets::target)>;

/// Opens the files of a host, does `work` and tells what became of it. `all` outlives the job.
std::unique_ptr<host_job> make_sftp_job(sftp_round& all, sftp_work work, targets::target at);

} // namespace trawl::cli
