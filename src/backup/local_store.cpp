#include <trawl/backup_store.hpp>

#include "backup/files.hpp"
#include "backup/local_store.hpp"

#include <trawl/backup.hpp>
#include <trawl/mutex.hpp>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

namespace trawl::backup {

std::string_view stored_file::view() {
    constexpr std::size_t piece = std::size_t(1) << 20;
    if (all_) return *all_;
    std::string bytes;
    for (auto const whole = size(); bytes.size() < whole;) {
        auto const had = bytes.size();
        auto const wanted = std::min<std::uint64_t>(whole - had, piece);
        bytes.resize(had + static_cast<std::size_t>(wanted));
        auto const n = read(had, std::span(bytes).subspan(had));
        bytes.resize(had + n);
        if (n < wanted) break;
    }
    return all_.emplace(std::move(bytes));
}

namespace {

using namespace detail;

class local_file : public stored_file {
public:
    local_file(descriptor file, std::string where) : file_(std::move(file)), where_(where) {
        struct stat facts {};
        if (::fstat(file_.get(), &facts) != 0) fail(errno, where_);
        size_ = static_cast<std::uint64_t>(facts.st_size);
    }
    ~local_file() override {
        if (mapped_) ::munmap(mapped_, static_cast<std::size_t>(size_));
    }

    std::uint64_t size() const override { return size_; }

    std::size_t read(std::uint64_t offset, std::span<char> into) const override {
        std::size_t done = 0;
        while (done < into.size()) {
            auto const n = ::pread(file_.get(), into.data() + done, into.size() - done,
                                   static_cast<off_t>(offset + done));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) fail(errno, "read " + where_);
            if (n == 0) break;
            done += static_cast<std::size_t>(n);
        }
        return done;
    }

    std::string_view view() override {
        if (!mapped_ && size_ > 0) {
            auto const bytes = static_cast<std::size_t>(size_);
            auto* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file_.get(), 0);
            if (at == MAP_FAILED) fail(errno, where_);
            mapped_ = at;
        }
        return {static_cast<char const*>(mapped_), static_cast<std::size_t>(size_)};
    }

private:
    descriptor file_;
    std::string where_;
    std::uint64_t size_ = 0;
    void* mapped_ = nullptr;
};

class local_new_file : public new_file {
public:
    /// `shown`: the folder, for messages.
    local_new_file(int folder, std::string shown, std::string name)
        : folder_(folder), shown_(std::move(shown)), name_(std::move(name)) {
        if (::unlinkat(folder_, name_.c_str(), 0) != 0 && errno != ENOENT)
            fail(errno, shown_ + "/" + name_);
        file_ = open_beneath(folder_, name_, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (!file_) fail(errno, shown_ + "/" + name_);
    }
    ~local_new_file() override {
        if (file_) ::unlinkat(folder_, name_.c_str(), 0);
    }

    void write(std::string_view bytes) override {
        write_all(file_.get(), bytes, shown_ + "/" + name_);
    }

    // fsync, rename, fsync of the folder.
    void publish(std::string const& name, bool replace) override {
        auto const where = shown_ + "/" + name;
        if (::fsync(file_.get()) != 0) fail(errno, "fsync " + where);
        auto const flags = replace ? 0u : static_cast<unsigned>(RENAME_NOREPLACE);
        int result = ::renameat2(folder_, name_.c_str(), folder_, name.c_str(), flags);
        if (result != 0 && errno == EINVAL && !replace) {
            // No such flag on this file system. Runs of this NAME are locked out; look, then
            // rename.
            if (::faccessat(folder_, name.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                errno = EEXIST;
            else
                result = ::renameat(folder_, name_.c_str(), folder_, name.c_str());
        }
        if (result != 0 && errno == EEXIST) throw error(errc::exists, "backup " + where);
        if (result != 0) fail(errno, "rename " + where);
        file_.reset(); // it has its name: not to be removed any more
        if (::fsync(folder_) != 0) fail(errno, "fsync " + shown_);
    }

private:
    int folder_;
    std::string shown_, name_;
    descriptor file_;
};

class local_lock : public store_lock {
public:
    explicit local_lock(file_lock held) : held_(std::move(held)) {}

private:
    file_lock held_;
};

class local : public store {
public:
    explicit local(std::filesystem::path folder) : path_(std::move(folder)) {}

    std::string where() const override { return path_.string(); }

    void open(bool make) override {
        std::error_code ec;
        if (make) std::filesystem::create_directories(path_, ec);
        if (ec) throw error(ec, "backup " + where());
        folder_ = descriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!folder_ && errno == ENOENT) throw error(errc::no_such_archive, "backup " + where());
        if (!folder_) fail(errno, where());
    }

    std::vector<std::string> list() override {
        auto again = open_beneath(folder_.get(), "", O_RDONLY | O_DIRECTORY);
        std::unique_ptr<DIR, int (*)(DIR*)> names(again ? ::fdopendir(again.get()) : nullptr,
                                                  &::closedir);
        if (!names) fail(errno, "list of backups");
        again.release();
        std::vector<std::string> files;
        errno = 0;
        while (auto const* found = ::readdir(names.get())) files.emplace_back(found->d_name);
        if (errno != 0) fail(errno, "list of backups");
        std::sort(files.begin(), files.end());
        return files;
    }

    std::optional<std::uint64_t> size(std::string const& name) override {
        struct stat facts {};
        if (::fstatat(folder_.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) == 0)
            return static_cast<std::uint64_t>(facts.st_size);
        if (errno != ENOENT) fail(errno, where() + "/" + name);
        return std::nullopt;
    }

    std::unique_ptr<stored_file> read(std::string const& name) override {
        auto file = open_beneath(folder_.get(), name, O_RDONLY);
        if (file) return std::make_unique<local_file>(std::move(file), where() + "/" + name);
        if (errno != ENOENT) fail(errno, where() + "/" + name);
        return nullptr;
    }

    std::unique_ptr<new_file> create(std::string const& temporary) override {
        return std::make_unique<local_new_file>(folder_.get(), where(), temporary);
    }

    void rename(std::string const& from, std::string const& to) override {
        if (::renameat(folder_.get(), from.c_str(), folder_.get(), to.c_str()) != 0)
            fail(errno, "rename " + where() + "/" + from);
        sync();
    }

    void remove(std::string const& name) override {
        if (::unlinkat(folder_.get(), name.c_str(), 0) != 0 && errno != ENOENT)
            fail(errno, "remove " + where() + "/" + name);
        sync();
    }

    std::unique_ptr<store_lock> lock(std::string const& name) override {
        auto held = file_lock::try_acquire(path_ / name);
        if (!held) return nullptr;
        return std::make_unique<local_lock>(std::move(*held));
    }

    std::filesystem::path folder() const override { return path_; }

private:
    void sync() const {
        if (::fsync(folder_.get()) != 0) fail(errno, "fsync " + where());
    }

    std::filesystem::path path_;
    descriptor folder_;
};

} // namespace

std::shared_ptr<store> local_store(std::filesystem::path folder) {
    return std::make_shared<local>(std::move(folder));
}

std::unique_ptr<stored_file> detail::open_local(std::filesystem::path const& file) {
    descriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) fail(errno, file.string());
    return std::make_unique<local_file>(std::move(opened), file.string());
}

} // namespace trawl::backup
