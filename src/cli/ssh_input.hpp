#pragma once

#include <trawl/offload_pool.hpp>
#include <trawl/ssh.hpp>

#include <cstdint>
#include <string>

namespace trawl::cli {

/// What every host's command reads on its stdin: a file, in which each host is at its own place. A
/// regular file is taken from where it stands; of a pipe or a terminal a copy without a name is made
/// first, in $TMPDIR or /var/tmp, so that memory stays bounded.
class ssh_input {
public:
    /// Takes `file` over; `name` is for messages. Blocks while it copies. Throws error with the
    /// system's code.
    ssh_input(int file, std::string const& name, offload_pool& blocking);
    ssh_input(ssh_input const&) = delete;
    ssh_input& operator=(ssh_input const&) = delete;
    ~ssh_input();

    /// For one host; ends before this.
    ssh::input_source source() const { return ssh::file_input(file_, blocking_, from_); }

private:
    void copy(std::string const& name);

    int file_;
    std::uint64_t from_ = 0;
    offload_pool& blocking_;
};

} // namespace trawl::cli
