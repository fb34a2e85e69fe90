#include "cli/sftp_copy.hpp"

#include "cli/sftp_words.hpp"

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

/// Sums what the transfers of one host do, one after the other.
class tally {
public:
    explicit tally(sftp_copy const& how) : report_(how.progress) {}
    /// Options for the next transfer, whose figures are added to those before.
    sftp::transfer_options next(sftp::transfer_options how) {
        before_ = now_;
        how.progress = [this](sftp::transferred const& done) {
            now_ = before_;
            now_.files += done.files, now_.bytes += done.bytes, now_.skipped += done.skipped;
            if (report_) report_(now_);
        };
        return how;
    }

private:
    std::function<void(sftp::transferred const&)> report_;
    sftp::transferred before_, now_;
};

awaitable<bool> is_remote_folder(sftp::client& host, std::string path) {
    bool folder = false;
    try {
        auto const seen = co_await host.stat(std::move(path));
        folder = seen.is_folder();
    } catch (sftp::failure const& missing) {
        if (missing.code() != sftp::errc::no_such_file) throw;
    }
    co_return folder;
}

/// The name that `path` gets in another folder. "." and "/" have none that could be used: the
/// server's name for them is asked for.
awaitable<std::string> name_of(sftp::client& host, std::string path) {
    auto name = last_name(path);
    if (name.empty() || name == "." || name == "..") {
        auto const real = co_await host.realpath(path);
        name = last_name(real);
    }
    if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos)
        throw error(sftp::errc::unsafe_name, "get " + path);
    co_return name;
}

} // namespace

awaitable<> copy_to(sftp::client& host, sftp_copy how, std::vector<fs::path> local,
                    std::string remote) {
    if (remote.empty()) remote = ".";
    bool into = local.size() > 1 || remote.ends_with('/');
    if (!into) into = co_await is_remote_folder(host, remote);
    tally sum(how);
    for (auto const& source : local) {
        auto target = remote;
        if (into) {
            if (!target.ends_with('/')) target += '/';
            target += last_name(fs::absolute(source).lexically_normal().native());
        }
        auto options = sum.next(how.how);
        co_await host.put(source, std::move(target), std::move(options));
    }
}

awaitable<std::vector<std::string>> found_files(sftp::client& host, std::string pattern,
                                                std::string verb) {
    auto found = co_await host.glob(pattern);
    if (found.empty()) throw error(sftp::errc::no_such_file, verb + " " + pattern);
    co_return found;
}

awaitable<std::vector<std::string>> all_files(sftp::client& host, std::vector<std::string> patterns,
                                              std::string verb) {
    std::vector<std::string> all;
    for (auto& pattern : patterns) {
        if (pattern.empty()) pattern = ".";
        auto const found = co_await found_files(host, pattern, verb);
        all.insert(all.end(), found.begin(), found.end());
    }
    co_return all;
}

awaitable<> copy_between(sftp::client& from, std::vector<std::string> paths, sftp::client& to,
                         sftp_copy how, std::string remote) {
    auto const sources = co_await all_files(from, std::move(paths), "copy");
    if (remote.empty()) remote = ".";
    bool into = sources.size() > 1 || remote.ends_with('/');
    if (!into) into = co_await is_remote_folder(to, remote);
    tally sum(how);
    for (auto const& source : sources) {
        auto target = remote;
        if (into) {
            auto const name = co_await name_of(from, source);
            target = (target.ends_with('/') ? target : target + '/') + name;
        }
        auto options = sum.next(how.how);
        co_await sftp::copy(from, source, to, std::move(target), std::move(options));
    }
}

awaitable<> copy_from(sftp::client& host, sftp_copy how, std::vector<std::string> remote,
                      fs::path local, bool into_folder) {
    auto const sources = co_await all_files(host, std::move(remote), "get");
    auto look = [&] {
        if (into_folder) fs::create_directories(local);
        return fs::is_directory(local);
    };
    bool const into = co_await how.blocking->run(std::move(look));
    if (!into && (sources.size() > 1 || !local.has_filename()))
        throw error(std::make_error_code(std::errc::not_a_directory), "get to " + local.string());
    tally sum(how);
    for (auto const& source : sources) {
        auto target = local;
        if (into) {
            auto const name = co_await name_of(host, source);
            target /= name;
        }
        auto options = sum.next(how.how);
        co_await host.get(source, std::move(target), std::move(options));
    }
}

} // namespace trawl::cli
