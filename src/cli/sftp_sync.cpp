#include "cli/sftp_sync.hpp"

#include "cli/environment.hpp"
#include "cli/sftp_list.hpp"
#include "json/record.hpp"

#include <trawl/sftp_sync.hpp>

#include <fmt/format.h>

#include <filesystem>

namespace trawl::cli {
namespace {

namespace fs = std::filesystem;

/// "remove_folder" as one reads it.
std::string words_of(sftp::sync_step const& step) {
    std::string text(sftp::name(step.what));
    if (auto const at = text.find('_'); at != text.npos) text[at] = ' ';
    text += ' ' + on_one_line(step.path.empty() ? "." : step.path);
    if (step.what == sftp::sync_step::kind::copy) text += fmt::format(", {} bytes", step.size);
    return text;
}

/// Tells of a step that would be taken, or with -v of one that is.
void show_step(sftp_round& all, std::string const& host, sftp::sync_step const& step) {
    if (!all.words.dry_run)
        all.here.log().log(severity::info, host, words_of(step));
    else if (all.here.words().json)
        all.here.out().record(json::record("step", "sftp")
                                  .field("target", host)
                                  .field("action", sftp::name(step.what))
                                  .field("path", step.path)
                                  .field("size", step.size));
    else
        all.here.out().line(host + ": " + words_of(step));
}

sftp::sync_options options_of(sftp_round& all, sftp_copy const& how, std::string const& host) {
    sftp::sync_options options;
    options.remove = all.words.remove, options.dry_run = all.words.dry_run;
    options.fsync = all.words.sync;
    options.step = [&all, host](sftp::sync_step const& step) { show_step(all, host, step); };
    options.progress = [told = how.progress](sftp::transferred const& done) { told(done); };
    return options;
}

awaitable<> push(sftp::client& to, sftp_copy how, sftp::sync_options options, fs::path local,
                 std::string remote) {
    auto const done = co_await sftp::sync(std::move(local), to, std::move(remote), options);
    how.alike(done);
}

awaitable<> pull(sftp::client& from, sftp_copy how, sftp::sync_options options, std::string remote,
                 fs::path local) {
    auto make = [&] {
        if (!options.dry_run && local.has_parent_path())
            fs::create_directories(local.parent_path());
    };
    co_await how.blocking->run(std::move(make));
    auto const done = co_await sftp::sync(from, std::move(remote), local, options);
    how.alike(done);
}

} // namespace

sync_errand parse_sync(sftp_words const& said) {
    if (said.recursive || said.preserve || said.resume)
        throw usage_error("sync has no -r, --preserve and --resume: it does as much by itself");
    auto const& names = said.names;
    bool const up = is_remote(names.back());
    if (names.size() != 2 || is_remote(names[0]) == up)
        throw usage_error("sync wants LOCAL TARGET:REMOTE or TARGET:REMOTE LOCAL");
    sync_errand found;
    found.up = up;
    found.local = names[up ? 0 : 1];
    if (up)
        found.where = put_errand(said);
    else
        found.where = get_errands(said).front();
    if (auto& path = found.where.remote.front(); path.empty()) path = ".";
    return found;
}

sftp_work sync_work(sftp_round& all, sync_errand const& of) {
    fs::path const local = of.local;
    auto const remote = of.where.remote.front();
    if (of.up)
        return [&all, local, remote](sftp::client& files, sftp_copy how, targets::target at) {
            auto options = options_of(all, how, at.to_string());
            return push(files, std::move(how), std::move(options), local, remote);
        };
    bool const apart = of.where.hosts.size() > 1;
    return [&all, local, remote, apart](sftp::client& files, sftp_copy how, targets::target at) {
        auto options = options_of(all, how, at.to_string());
        return pull(files, std::move(how), std::move(options), remote,
                    apart ? local / at.host() : local);
    };
}

} // namespace trawl::cli
