#include <trawl/plan_sftp_store.hpp>

#include "plan/lock_owner.hpp"

#include <trawl/backup.hpp>
#include <trawl/sftp_file.hpp>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <future>
#include <utility>

namespace trawl::plan {
namespace {

constexpr std::size_t most_waiting = std::size_t(8) << 20; ///< bytes of a file on their way
constexpr std::uint32_t ours_only = 0600;

/// The client, for threads of the pool.
class remote {
public:
    remote(asio::any_io_executor loop, sftp::client& files, sftp_place place)
        : loop_(std::move(loop)), files_(files), place_(std::move(place)) {}

    sftp::client& files() const noexcept { return files_; }
    std::string url() const { return place_.url(); }
    std::string const& folder() const noexcept { return place_.path; }
    std::string path(std::string const& name) const {
        return place_.path.ends_with('/') ? place_.path + name : place_.path + '/' + name;
    }

    /// Runs `work` on the loop. The future has a broken promise when that ends before.
    std::future<void> start(std::function<awaitable<>()> work) const {
        std::promise<void> done;
        auto ended = done.get_future();
        auto begin = [loop = loop_, work = std::move(work), done = std::move(done)]() mutable {
            auto end = [done = std::move(done)](std::exception_ptr failure) mutable {
                failure ? done.set_exception(failure) : done.set_value();
            };
            asio::co_spawn(loop, std::move(work), std::move(end));
        };
        asio::post(loop_, std::move(begin));
        return ended;
    }
    /// The same, waited for: `work` may refer to what the caller has.
    void run(std::function<awaitable<>()> work) const { start(std::move(work)).get(); }

    /// False when there is no such file.
    bool found(std::function<awaitable<>()> work) const {
        try {
            run(std::move(work));
            return true;
        } catch (sftp::failure const& why) {
            if (why.code() != sftp::errc::no_such_file) throw;
        }
        return false;
    }

private:
    asio::any_io_executor loop_;
    sftp::client& files_;
    sftp_place place_;
};

using remote_ptr = std::shared_ptr<remote const>;

/// Open on the server. The loop's objects end on the loop.
class open_file {
public:
    open_file(remote_ptr on, sftp::file opened)
        : on_(std::move(on)), file_(std::make_shared<sftp::file>(std::move(opened))) {}
    open_file(open_file&&) = default;
    open_file& operator=(open_file&&) = delete;
    ~open_file() { close(); }

    void close() noexcept try {
        if (!file_) return;
        auto const end = [this]() -> awaitable<> {
            file_.reset();
            co_return;
        };
        on_->run(end);
    } catch (...) {
        file_.reset(); // the loop is no more, and with it what the file stood for
    }
    sftp::file& operator*() const noexcept { return *file_; }
    sftp::file* operator->() const noexcept { return file_.get(); }

private:
    remote_ptr on_;
    std::shared_ptr<sftp::file> file_;
};

class remote_file : public backup::stored_file {
public:
    remote_file(remote_ptr on, sftp::file opened) : on_(on), file_(on, std::move(opened)) {}

    std::uint64_t size() const override { return file_->size(); }

    std::size_t read(std::uint64_t offset, std::span<char> into) const override {
        std::size_t got = 0;
        auto const work = [&]() -> awaitable<> {
            auto const bytes = co_await file_->read(offset, into.size());
            std::copy(bytes.begin(), bytes.end(), into.begin());
            got = bytes.size();
        };
        on_->run(work);
        return got;
    }

private:
    remote_ptr on_;
    open_file file_;
};

void remove_file(remote_ptr const& on, std::string const& name) {
    on->found([&] { return on->files().remove(on->path(name)); });
}

std::optional<std::uint64_t> size_of(remote_ptr const& on, std::string const& name) {
    std::uint64_t size = 0;
    auto const work = [&]() -> awaitable<> {
        auto const facts = co_await on->files().lstat(on->path(name));
        size = facts.size.value_or(0);
    };
    if (!on->found(work)) return std::nullopt;
    return size;
}

std::unique_ptr<open_file> create_file(remote_ptr const& on, std::string const& name) {
    std::unique_ptr<open_file> made;
    auto const work = [&]() -> awaitable<> {
        auto opened = co_await sftp::create_new(on->files(), on->path(name), ours_only);
        made = std::make_unique<open_file>(on, std::move(opened));
    };
    on->run(work);
    return made;
}

void write_file(remote_ptr const& on, open_file& to, std::string bytes) {
    on->run([&] { return to->write(0, bytes); });
}

/// Both are paths.
void put_over(remote_ptr const& on, std::string const& from, std::string const& to) {
    auto& files = on->files();
    // The protocol's own rename does not replace (§6.5).
    if (!files.supports("posix-rename@openssh.com")) on->found([&] { return files.remove(to); });
    on->run([&] { return files.rename(from, to); });
}

class remote_new_file : public backup::new_file {
public:
    remote_new_file(remote_ptr on, std::string name) : on_(std::move(on)), name_(std::move(name)) {
        remove_file(on_, name_);
        file_ = create_file(on_, name_);
    }
    ~remote_new_file() override {
        for (auto& next : waiting_) next.first.wait();
        if (!file_) return;
        file_.reset();
        try {
            remove_file(on_, name_);
        } catch (std::exception const&) {
            // With the connection gone there is no way; the next run removes it.
        }
    }

    // Several writes are on their way at a time, so that the server's distance costs little.
    void write(std::string_view bytes) override {
        while (!waiting_.empty() && bytes_waiting_ + bytes.size() > most_waiting) settle();
        auto const at = std::exchange(size_, size_ + bytes.size());
        auto work = [file = file_.get(), at, copy = std::string(bytes)] {
            return (*file)->write(at, copy);
        };
        waiting_.emplace_back(on_->start(std::move(work)), bytes.size());
        bytes_waiting_ += bytes.size();
    }

    void publish(std::string const& name, bool replace) override {
        while (!waiting_.empty()) settle();
        on_->run([this] { return (*file_)->sync(); });
        file_->close();
        auto& files = on_->files();
        auto const from = on_->path(name_), to = on_->path(name);
        if (replace)
            put_over(on_, from, to);
        else if (size_of(on_, name))
            throw error(backup::errc::exists, "backup " + on_->url() + "/" + name);
        else if (files.supports("hardlink@openssh.com") && linked(from, to))
            on_->run([&] { return files.remove(from); });
        else
            on_->run([&] { return files.rename(from, to); });
        file_.reset(); // it has its name: not to be removed any more
    }

private:
    void settle() {
        auto oldest = std::move(waiting_.front());
        waiting_.pop_front();
        bytes_waiting_ -= oldest.second;
        oldest.first.get();
    }

    /// False on a file system without links.
    bool linked(std::string const& from, std::string const& to) {
        try {
            on_->run([&] { return on_->files().hardlink(from, to); });
            return true;
        } catch (sftp::failure const& refused) {
            if (refused.code() != sftp::errc::failure &&
                refused.code() != sftp::errc::unsupported &&
                refused.code() != sftp::errc::permission_denied)
                throw;
        }
        return false;
    }

    remote_ptr on_;
    std::string name_;
    std::unique_ptr<open_file> file_;
    std::uint64_t size_ = 0;
    std::deque<std::pair<std::future<void>, std::size_t>> waiting_;
    std::size_t bytes_waiting_ = 0;
};

/// A file that was made for a while.
class remote_lock : public backup::store_lock {
public:
    remote_lock(remote_ptr on, std::string name) : on_(std::move(on)), name_(std::move(name)) {}
    ~remote_lock() override {
        if (name_.empty()) return;
        try {
            remove_file(on_, name_);
        } catch (std::exception const&) {
            // With the connection gone there is no way.
        }
    }
    void keep() noexcept { name_.clear(); }

private:
    remote_ptr on_;
    std::string name_;
};

/// A lock is a file that names the process which made it, as only one can. One whose process is no
/// more is replaced, by who makes NAME.next, a lock itself:
///
///     make NAME | NAME is of a dead one -> lock NAME.next -> NAME still is -> rename it over NAME
///
/// Nobody else takes a dead one's NAME away, so of several that find it one has it in the end, and
/// who comes late finds the name of a living process there.
class locking {
public:
    explicit locking(remote_ptr on) : on_(std::move(on)) {}

    std::unique_ptr<remote_lock> take(std::string const& name) const {
        for (int tries = 1;; ++tries) {
            auto const why = make(name);
            if (!why) break;
            auto const by = owner_of(name);
            if (by && !by->is_gone()) refuse(name, by->words());
            if (by && succeed(name, *by)) break;
            if (!by && size_of(on_, name))
                refuse(name, "it names no process; when no backup runs, remove the file");
            // Another one has let it go meanwhile, or it is not for a lock that no file can be made.
            if (tries == 3) std::rethrow_exception(why);
        }
        return std::make_unique<remote_lock>(on_, name);
    }

private:
    /// nullptr when it was.
    std::exception_ptr make(std::string const& name) const {
        std::unique_ptr<open_file> file;
        try {
            file = create_file(on_, name);
        } catch (sftp::failure const&) {
            return std::current_exception();
        }
        remote_lock half(on_, name);
        write_file(on_, *file, lock_owner::self().text());
        half.keep();
        return nullptr;
    }

    /// False when the lock is not that one's any more.
    bool succeed(std::string const& name, lock_owner const& dead) const {
        auto const next = name + ".next";
        if (next.size() > most_name)
            refuse(name, dead.words()); // runs died in here, again and again
        auto const mine = take(next);
        auto const now = owner_of(name);
        if (!now || now->text() != dead.text()) return false;
        put_over(on_, on_->path(next), on_->path(name));
        mine->keep();
        return true;
    }

    std::optional<lock_owner> owner_of(std::string const& name) const {
        std::optional<lock_owner> by;
        auto const work = [&]() -> awaitable<> {
            auto file = co_await sftp::open_to_read(on_->files(), on_->path(name));
            auto const line = co_await file.read(0, most_line);
            by = lock_owner::parse(line);
        };
        on_->found(work);
        return by;
    }

    [[noreturn]] void refuse(std::string const& name, std::string const& why) const {
        throw error(backup::errc::locked, "backup " + on_->url() + "/" + name, why);
    }

    static constexpr std::size_t most_name = 255, most_line = 1024;
    remote_ptr on_;
};

class remote_store : public backup::store {
public:
    explicit remote_store(remote_ptr on) : on_(std::move(on)) {}

    std::string where() const override { return on_->url(); }

    void open(bool make) override {
        bool is_folder = false;
        auto const look = [&]() -> awaitable<> {
            auto const facts = co_await on_->files().stat(on_->folder());
            is_folder = facts.is_folder();
        };
        if (!on_->found(look)) {
            if (!make) throw error(backup::errc::no_such_archive, "backup " + where());
            return make_folders();
        }
        if (!is_folder)
            throw error(std::make_error_code(std::errc::not_a_directory), "backup " + where());
    }

    std::vector<std::string> list() override {
        std::vector<std::string> names;
        auto const work = [&]() -> awaitable<> {
            auto found = co_await on_->files().listdir(on_->folder());
            for (auto& each : found) names.push_back(std::move(each.name));
        };
        on_->run(work);
        std::sort(names.begin(), names.end());
        return names;
    }

    std::optional<std::uint64_t> size(std::string const& name) override {
        return size_of(on_, name);
    }

    std::unique_ptr<backup::stored_file> read(std::string const& name) override {
        std::unique_ptr<backup::stored_file> file;
        auto const work = [&]() -> awaitable<> {
            auto opened = co_await sftp::open_to_read(on_->files(), on_->path(name));
            file = std::make_unique<remote_file>(on_, std::move(opened));
        };
        on_->found(work);
        return file;
    }

    std::unique_ptr<backup::new_file> create(std::string const& temporary) override {
        return std::make_unique<remote_new_file>(on_, temporary);
    }

    void rename(std::string const& from, std::string const& to) override {
        on_->run([&] { return on_->files().rename(on_->path(from), on_->path(to)); });
    }

    void remove(std::string const& name) override { remove_file(on_, name); }

    std::unique_ptr<backup::store_lock> lock(std::string const& name) override {
        return locking(on_).take(name);
    }

private:
    void make_folders() {
        auto const& whole = on_->folder();
        for (std::size_t end = 0; end != std::string::npos;) {
            end = whole.find('/', end + 1);
            auto const part = whole.substr(0, end);
            auto const look = [&]() -> awaitable<> { co_await on_->files().stat(part); };
            auto const make = [&] { return on_->files().mkdir(part, 0700); };
            if (!part.empty() && !on_->found(look)) on_->run(make);
        }
    }

    remote_ptr on_;
};

} // namespace

std::shared_ptr<backup::store> sftp_store(asio::any_io_executor loop, sftp::client& files,
                                          sftp_place const& place) {
    return std::make_shared<remote_store>(
        std::make_shared<remote const>(std::move(loop), files, place));
}

} // namespace trawl::plan
