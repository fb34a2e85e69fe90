#pragma once

#include <trawl/net.hpp>

#include <array>
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

    virtual std::uint64_t size() const = 0; ///< bytes
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
    /// The same of one file, under the name that it is kept under.
    virtual std::string shown(std::string const& name) const { return where() + "/" + name; }
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

/// The key to encrypted backups: 32 bytes, in a file as one line "trawl-backup-key-1 HEX". They are
/// overwritten at the end. Who loses the file loses the backups.
class store_key {
public:
    /// Reads the file. Throws error: errc::no_key with the reason when it holds none, or the
    /// system's code.
    static store_key load(std::filesystem::path const& file);
    /// Makes a new key and its file, for the owner's eyes only (0600). Throws error: the system's
    /// code; EEXIST for a file that is there, which stays.
    static store_key make(std::filesystem::path const& file);
    explicit store_key(std::array<unsigned char, 32> const& bytes); ///< for who keeps it elsewhere
    store_key(store_key&&) noexcept = default;                      ///< the other has no bytes then
    store_key& operator=(store_key&&) noexcept = default;           ///< as the move constructor

    /// The 32 bytes, valid as long as this object.
    std::string_view bytes() const noexcept { return bytes_.view(); }

private:
    net::secret bytes_;
};

/// `in` with all files encrypted, manifests, too (they name what is backed up). A file "X" is kept as
/// "X.enc", in blocks of AES-256-GCM that cannot be changed, swapped, cut off or taken from
/// another file unnoticed, and each of which is opened alone; what is inside are the same archives
/// and manifests. What the store shows: the NAMEs and days, the sizes, and which files have the
/// same key. Files that are not encrypted are not seen.
///
/// open() throws errc::wrong_key when there are encrypted files and none with this key.
std::shared_ptr<store> encrypted_store(std::shared_ptr<store> in, store_key key);
/// A file of encrypted_store() alone. Throws error: errc::wrong_key, errc::corrupt.
std::unique_ptr<stored_file> decrypted(std::unique_ptr<stored_file> file, std::string const& shown,
                                       store_key const& key);

} // namespace trawl::backup
