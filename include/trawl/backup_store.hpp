#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Where backups are kept: a folder, a server, or either of them encrypted.
namespace trawl::backup {

/// A file of a store, open for reading. What is open can be read to its end, whoever removes it.
class stored_file {
public:
    stored_file() = default;
    stored_file(stored_file const&) = delete;
    stored_file& operator=(stored_file const&) = delete;
    virtual ~stored_file() = default;

    virtual std::uint64_t size() const = 0;
    /// Fills `into` with what stands at `offset`; returns how much that is, less only where the
    /// file ends. May be called from several threads at once.
    virtual std::size_t read(std::uint64_t offset, std::span<char> into) const = 0;
    /// All of it, valid as long as this object. This one reads the whole into memory at the first
    /// call; one thread at a time.
    virtual std::string_view view();

private:
    std::optional<std::string> all_;
};

/// A file in the making, under a temporary name. Destroyed before publish() it is removed.
class new_file {
public:
    new_file() = default;
    new_file(new_file const&) = delete;
    new_file& operator=(new_file const&) = delete;
    virtual ~new_file() = default;

    virtual void write(std::string_view bytes) = 0; ///< behind what was written before
    /// Gives the file its name once its content is where a crash does not reach it. Without
    /// `replace` a file of that name is errc::exists and stays as it is.
    virtual void publish(std::string const& name, bool replace) = 0;
};

/// Keeps others out as long as it lives.
class store_lock {
public:
    store_lock() = default;
    store_lock(store_lock const&) = delete;
    store_lock& operator=(store_lock const&) = delete;
    virtual ~store_lock() = default;
};

/// A flat set of files by name: all that a backup asks of the place where it is kept. The functions
/// are called on threads of the offload_pool that the verb was given, several at once, and may
/// block there. Each throws error.
class store {
public:
    store() = default;
    store(store const&) = delete;
    store& operator=(store const&) = delete;
    virtual ~store() = default;

    /// For messages and reports: "/srv/backups", "sftp://host/backups". Does not block.
    virtual std::string where() const = 0;
    /// Before all others. A place that does not exist is made when `make` is set, else it is
    /// errc::no_such_archive.
    virtual void open(bool make) = 0;
    virtual std::vector<std::string> list() = 0; ///< names, sorted
    /// nullopt: there is no such file.
    virtual std::optional<std::uint64_t> size(std::string const& name) = 0;
    /// nullptr: there is no such file.
    virtual std::unique_ptr<stored_file> read(std::string const& name) = 0;
    /// A file left behind under the temporary name is replaced: the caller holds the lock.
    virtual std::unique_ptr<new_file> create(std::string const& temporary) = 0;
    virtual void rename(std::string const& from, std::string const& to) = 0; ///< durable at return
    virtual void remove(std::string const& name) = 0; ///< as rename(); gone already is as good
    /// nullptr: another run holds it.
    virtual std::unique_ptr<store_lock> lock(std::string const& name) = 0;
    /// The folder it is, when it is one of this machine: a walk leaves it out. Else empty.
    virtual std::filesystem::path folder() const { return {}; }
};

/// A folder of this machine. Locks are flock(2): one that a process held goes with it.
std::shared_ptr<store> local_store(std::filesystem::path folder);

} // namespace trawl::backup
