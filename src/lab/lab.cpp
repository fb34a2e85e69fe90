#include "lab/lab.hpp"

#include "lab/maildir.hpp"
#include "lab/smtp_sink.hpp"
#include "lab/ssh_hosts.hpp"

#include <trawl/error.hpp>
#include <trawl/task_group.hpp>

#include <openssl/crypto.h>

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace trawl::lab {
namespace {

class category_of_lab final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl.lab"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::not_loopback: return "the lab serves loopback addresses only";
        case errc::keys: return "cannot make a key";
        case errc::no_port: return "no port is free on all addresses";
        }
        return "unknown lab error";
    }
};

[[noreturn]] void throw_errno(std::filesystem::path const& what) {
    throw error(std::error_code(errno, std::generic_category()), "lab " + what.string());
}

std::filesystem::path fresh_directory() {
    auto name = (std::filesystem::temp_directory_path() / "trawl-lab-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw_errno(name);
    return name;
}

// A new file takes the old one's place at once, with its final mode, whatever the old one was (a
// link, perhaps).
void write_file(std::filesystem::path const& path, std::string_view text, mode_t mode) {
    auto const fresh = path.string() + ".new";
    ::unlink(fresh.c_str());
    int const file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file < 0) throw_errno(path);
    auto const written = ::write(file, text.data(), text.size());
    if (written < 0) {
        ::close(file);
        throw_errno(path);
    }
    bool const whole = static_cast<std::size_t>(written) == text.size();
    if (::close(file) != 0) throw_errno(path);
    if (!whole) throw error(make_error_code(std::errc::no_space_on_device), "lab " + path.string());
    if (::rename(fresh.c_str(), path.c_str()) != 0) throw_errno(path);
}

std::string current_user() {
    auto const* entry = ::getpwuid(::geteuid());
    return entry && entry->pw_name ? entry->pw_name : "trawl";
}

} // namespace

std::error_category const& lab_category() noexcept {
    static category_of_lab const category;
    return category;
}

std::error_code make_error_code(errc code) noexcept {
    return {static_cast<int>(code), lab_category()};
}

struct world::state {
    options configuration;
    bool temporary;
    std::optional<ssh_hosts> ssh;
    std::optional<smtp_sink> smtp;

    explicit state(options o) : configuration(std::move(o)), temporary(configuration.dir.empty()) {
        auto& hosts = configuration.hosts;
        if (hosts.empty())
            for (unsigned char last = 1; last <= 10; ++last)
                hosts.push_back(asio::ip::address_v4({127, 7, 0, last}));
        if (configuration.user.empty()) configuration.user = current_user();
    }
    ~state() {
        bool const keep = configuration.keep_dir && smtp && smtp->stored() > 0;
        std::error_code ignored;
        if (temporary && !keep && !configuration.dir.empty())
            std::filesystem::remove_all(configuration.dir, ignored);
    }
    void open(asio::any_io_executor const& executor);
    void write_files() const;
};

void world::state::open(asio::any_io_executor const& executor) {
    auto const& o = configuration;
    ssh.emplace(executor, ssh_hosts::options{
                              .hosts = o.hosts,
                              .port = o.ssh_port,
                              .user = o.user,
                              .canned = o.canned,
                              .faults = o.faults,
                              .login_grace = o.login_grace,
                              .starter = o.starter,
                              .watch = o.watch,
                          });
    if (temporary)
        configuration.dir = fresh_directory();
    else if (::mkdir(o.dir.c_str(), 0700) != 0 && errno != EEXIST)
        throw_errno(o.dir);
    configuration.dir = std::filesystem::absolute(o.dir);
    write_files();
    smtp_sink::options sink;
    sink.address = o.smtp_address;
    sink.port = o.smtp_port;
    sink.maildir = o.dir / "Maildir";
    sink.dialogue.max_message = o.max_message;
    sink.dialogue.refused = o.refused;
    sink.dialogue.deferred = o.deferred;
    sink.watch = o.watch;
    smtp.emplace(executor, std::move(sink));
}

void world::state::write_files() const {
    auto const& dir = configuration.dir;
    auto key = ssh->private_key();
    write_file(dir / "id_ed25519", key, 0600);
    OPENSSL_cleanse(key.data(), key.size());
    write_file(dir / "id_ed25519.pub", ssh->public_key(), 0644);
    auto password = ssh->password() + "\n";
    write_file(dir / "password", password, 0600);
    OPENSSL_cleanse(password.data(), password.size());
    write_file(dir / "known_hosts", ssh->known_hosts(), 0644);
}

world::world(asio::any_io_executor executor, options configuration)
    : state_(std::make_unique<state>(std::move(configuration))) {
    state_->open(executor);
}
world::~world() = default;

awaitable<> world::serve() {
    auto const body = [this](task_group& group) -> awaitable<> {
        group.spawn(state_->ssh->serve());
        group.spawn(state_->smtp->serve());
        co_return;
    };
    co_await with_group(body);
}

std::vector<asio::ip::address> const& world::hosts() const noexcept {
    return state_->configuration.hosts;
}
std::uint16_t world::ssh_port() const noexcept { return state_->ssh->port(); }
asio::ip::address world::smtp_address() const noexcept {
    return state_->configuration.smtp_address;
}
std::uint16_t world::smtp_port() const noexcept { return state_->smtp->port(); }
std::string const& world::user() const noexcept { return state_->configuration.user; }
std::filesystem::path const& world::dir() const noexcept { return state_->configuration.dir; }
std::filesystem::path world::key_path() const { return dir() / "id_ed25519"; }
std::filesystem::path world::password_path() const { return dir() / "password"; }
std::filesystem::path world::known_hosts_path() const { return dir() / "known_hosts"; }
std::filesystem::path world::maildir() const { return dir() / "Maildir"; }

world::statistics world::stats() const noexcept {
    auto const& ssh = state_->ssh->stats();
    return {ssh.connections, ssh.open, ssh.logins, ssh.commands, state_->smtp->stored()};
}

} // namespace trawl::lab
