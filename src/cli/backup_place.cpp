#include "cli/backup_verb.hpp"
#include "cli/ssh_fan_out.hpp"
#include "cli/ssh_login.hpp"

#include <trawl/plan_sftp_store.hpp>
#include <trawl/sftp.hpp>
#include <trawl/targets.hpp>

namespace trawl::cli {

namespace {

sftp::options options_of(environment& here, login_words const& login) {
    sftp::options how;
    how.blocking = &here.blocking();
    if (login.timeout > 0)
        how.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(login.timeout * 1000));
    return how;
}

targets::target target_of(plan::sftp_place const& place) {
    auto to = targets::parse(place.host).at(0);
    to.port = place.port;
    return to;
}

awaitable<int> on_server(environment& here, plan::sftp_place place, login_words words,
                         place_work work) {
    if (!place.user.empty()) words.user = place.user;
    ssh_login login(here, words);
    co_await login.prepare();
    ssh_login::in_use const jumps(login);
    fan_out round(here, login, {});
    auto const how = co_await round.options_for(target_of(place));
    ssh::session host(here.io().get_executor(), how);
    co_await host.connect();
    auto const options = options_of(here, words);
    auto files = co_await sftp::open(host, options);
    auto const code = co_await work(plan::sftp_store(here.io().get_executor(), files, place));
    co_await host.disconnect();
    co_return code;
}

awaitable<int> with_key(environment& here, std::filesystem::path folder, std::filesystem::path file,
                        place_work work, std::shared_ptr<backup::store> place) {
    if (!place) place = backup::local_store(folder);
    auto read = [&file] { return backup::store_key::load(file); };
    auto key = co_await here.blocking().run(read);
    co_return co_await work(backup::encrypted_store(std::move(place), std::move(key)));
}

/// `work` with the place behind its key.
place_work unlocked(environment& here, backup_words const& words, place_work work) {
    return [&here, &words, work](std::shared_ptr<backup::store> place) {
        return with_key(here, words.archives, words.key, work, std::move(place));
    };
}

} // namespace

void add_place(CLI::App& verb, backup_words& into) {
    verb.add_option("DEST", into.archives,
                    "The folder with the archives, or sftp://[USER@]HOST[:PORT]/PATH")
        ->required();
    add_login(*verb.add_option_group("sftp", "The way to sftp:// (as trawl ssh)"), into.login);
}

awaitable<int> at_place(environment& here, backup_words const& words, place_work work) {
    check_login(words.login);
    if (!words.key.empty()) work = unlocked(here, words, std::move(work));
    std::optional<plan::sftp_place> place;
    try {
        place = plan::parse_sftp_place(words.archives);
    } catch (error const& failure) {
        throw usage_error(failure.what());
    }
    if (!place) return work(nullptr);
    return on_server(here, std::move(*place), words.login, std::move(work));
}

} // namespace trawl::cli
