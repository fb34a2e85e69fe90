#pragma once

#include <exception>
#include <string>
#include <system_error>

namespace trawl {

/// Conditions of the async core. Each module has its own enum beside its class (ssh::errc,
/// smtp::errc, ...).
enum class errc {
    timed_out = 1, ///< the deadline passed first
    closed,        ///< the queue was closed
    bad_target,    ///< a target that the grammar does not know
    bad_name,      ///< a name that cannot be looked up or does not exist
    cancelled_job, ///< an offloaded job was dropped before it began
    pool_stopped,  ///< the offload_pool no longer takes jobs
};

/// Category "trawl" of errc.
std::error_category const& core_category() noexcept;
/// `code` in that category.
std::error_code make_error_code(errc code) noexcept;

/// A failure of the world: network, peer, file, protocol. Expected negative answers are values
/// instead.
///
/// what() reads "WHERE: MESSAGE (SAID)", for instance
/// "ssh 10.0.0.7:22 auth: permission denied (server allows publickey only)". It never holds a
/// secret.
class error : public std::system_error {
public:
    /// `where`: the host and the phase; `said`: the peer's own words, empty when it said nothing.
    error(std::error_code code, std::string where, std::string said = {});

    /// All of it in one line, as above.
    char const* what() const noexcept override { return what_.c_str(); }
    /// The host and the phase.
    std::string const& where() const noexcept { return where_; }
    /// The peer's own words; empty when it said nothing.
    std::string const& said() const noexcept { return said_; }

private:
    std::string where_, said_, what_;
};

/// True for the exception that a cancelled operation throws (asio::error::operation_aborted).
bool is_cancelled(std::exception_ptr const& failure) noexcept;
/// As above, for one that was caught by its type.
bool is_cancelled(std::system_error const& failure) noexcept;

/// The what() of any exception: one line for a log or a record.
std::string describe(std::exception_ptr const& failure);

} // namespace trawl

template <>
struct std::is_error_code_enum<trawl::errc> : std::true_type {};
