#include <trawl/plan.hpp>

#include <toml++/toml.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>

namespace trawl::plan {
namespace {

using namespace std::chrono_literals;

/// One table of the plan: typed access to its keys, and a complaint about those nobody asked for.
class section {
public:
    section(toml::table const& table, std::string name, std::string const& origin)
        : table_(table), name_(std::move(name)), origin_(origin) {}

    [[noreturn]] void fail(toml::node const& at, std::string const& what) const {
        auto const place = at.source().begin;
        throw error(errc::bad_plan, fmt::format("{}:{}:{}", origin_, place.line, place.column),
                    what);
    }

    template <class T>
    std::optional<T> value(std::string_view key, char const* kind) {
        known_.insert(key);
        auto const* node = table_.get(key);
        if (!node) return std::nullopt;
        auto const found = node->value<T>();
        if (!found) fail(*node, fmt::format("[{}] {} must be {}", name_, key, kind));
        return found;
    }

    std::optional<std::string> text(std::string_view key) {
        return value<std::string>(key, "a string");
    }
    std::optional<bool> flag(std::string_view key) { return value<bool>(key, "true or false"); }

    std::optional<std::int64_t> number(std::string_view key, std::int64_t least,
                                       std::int64_t most) {
        auto const found = value<std::int64_t>(key, "a number");
        if (found && (*found < least || *found > most))
            fail(*table_.get(key),
                 fmt::format("[{}] {} must be between {} and {}", name_, key, least, most));
        return found;
    }
    std::optional<double> real(std::string_view key, double least, double most) {
        auto const found = value<double>(key, "a number");
        if (found && !(*found >= least && *found <= most))
            fail(*table_.get(key),
                 fmt::format("[{}] {} must be between {} and {}", name_, key, least, most));
        return found;
    }
    std::optional<std::chrono::milliseconds> seconds(std::string_view key) {
        auto const found = real(key, 0.001, 86'400);
        if (!found) return std::nullopt;
        return std::chrono::duration_cast<std::chrono::milliseconds>(
            std::chrono::duration<double>(*found));
    }

    /// A string or an array of strings.
    std::vector<std::string> texts(std::string_view key) {
        known_.insert(key);
        std::vector<std::string> all;
        auto const* node = table_.get(key);
        if (!node) return all;
        if (auto const one = node->value<std::string>()) return {*one};
        auto const* array = node->as_array();
        if (!array) fail(*node, fmt::format("[{}] {} must be a list of strings", name_, key));
        for (auto const& element : *array) {
            auto const one = element.value<std::string>();
            if (!one) fail(element, fmt::format("[{}] {} must hold strings only", name_, key));
            all.push_back(*one);
        }
        return all;
    }

    /// The value that a word stands for.
    template <class T>
    std::optional<T> word(std::string_view key,
                          std::initializer_list<std::pair<std::string_view, T>> choices) {
        auto const found = text(key);
        if (!found) return std::nullopt;
        std::string all;
        for (auto const& [word, value] : choices) {
            if (word == *found) return value;
            all += (all.empty() ? "" : ", ") + std::string(word);
        }
        fail(*table_.get(key), fmt::format("[{}] {} must be one of {}", name_, key, all));
    }

    std::string require(std::string_view key) {
        auto found = text(key);
        if (!found || found->empty()) fail(table_, fmt::format("[{}] needs {}", name_, key));
        return *found;
    }

    void refuse_unknown() const {
        for (auto const& [key, node] : table_)
            if (!known_.contains(key.str()))
                fail(node, fmt::format("[{}] has no key {}", name_, key.str()));
    }

    bool has(std::string_view key) const { return table_.contains(key); }
    toml::node const& at(std::string_view key) const { return *table_.get(key); }

private:
    toml::table const& table_;
    std::string name_;
    std::string const& origin_;
    std::set<std::string_view, std::less<>> known_;
};

std::filesystem::path below(std::filesystem::path const& folder,
                            std::optional<std::string> const& path) {
    if (!path || path->empty()) return {};
    return folder / *path; // an absolute path replaces the folder
}

sweep_section read_sweep(section s, std::string const& origin) {
    sweep_section sweep;
    for (auto const& text : s.texts("exclude"))
        sweep.targets.exclude(text, {origin + " [sweep] exclude", 0, 1});
    for (auto const& text : s.texts("targets"))
        sweep.targets.add(text, {origin + " [sweep] targets", 0, 1});
    if (sweep.targets.has_ports())
        s.fail(s.at("targets"), "[sweep] targets take no port: [ssh] port is for all of them");
    sweep.timeout = s.seconds("timeout").value_or(sweep.timeout);
    sweep.retries = static_cast<unsigned>(s.number("retries", 0, 100).value_or(sweep.retries));
    sweep.rate = s.real("rate", 0, 1e7).value_or(0);
    s.refuse_unknown();
    return sweep;
}

/// How to get into a server.
void read_login(section& s, std::filesystem::path const& folder, ssh_section& ssh) {
    using policy = ssh::host_key_policy;
    ssh.identity = below(folder, s.text("identity"));
    ssh.password_file = below(folder, s.text("password_file"));
    ssh.password_command = s.text("password_command").value_or("");
    ssh.known_hosts = below(folder, s.text("known_hosts"));
    ssh.host_key = s.word<policy>("host_key", {{"strict", policy::strict},
                                               {"accept-new", policy::accept_new},
                                               {"warn", policy::warn},
                                               {"auto-add", policy::auto_add}})
                       .value_or(policy::strict);
    ssh.timeout = s.seconds("timeout").value_or(ssh.timeout);
}

ssh_section read_ssh(section s, std::filesystem::path const& folder) {
    ssh_section ssh;
    ssh.user = s.text("user").value_or("");
    ssh.port = static_cast<std::uint16_t>(s.number("port", 1, 65535).value_or(22));
    read_login(s, folder, ssh);
    ssh.commands = s.texts("commands");
    ssh.jobs = static_cast<std::size_t>(s.number("jobs", 1, 100'000).value_or(64));
    ssh.max_output =
        static_cast<std::size_t>(s.number("max_output", 0, 1 << 30).value_or(64 * 1024));
    s.refuse_unknown();
    return ssh;
}

/// When a full is made, and what is read again.
void read_rules(section& s, backup::options& o) {
    using namespace std::chrono;
    using day = std::optional<weekday>;
    o.what = s.word<backup::kind>("kind", {{"automatic", backup::kind::automatic},
                                           {"full", backup::kind::full},
                                           {"incremental", backup::kind::incremental},
                                           {"differential", backup::kind::differential}})
                 .value_or(o.what);
    o.full_on = s.word<day>("full_on", {{"mon", Monday},
                                        {"tue", Tuesday},
                                        {"wed", Wednesday},
                                        {"thu", Thursday},
                                        {"fri", Friday},
                                        {"sat", Saturday},
                                        {"sun", Sunday},
                                        {"never", std::nullopt}})
                    .value_or(o.full_on);
    auto const count = [&](std::string_view key, std::int64_t most) {
        return static_cast<std::uint32_t>(s.number(key, 1, most).value_or(0));
    };
    o.full_every = days(count("full_every", 36'500));
    o.full_after = count("full_after", 1'000'000);
    o.full_over_percent = count("full_over", 1'000'000);
    o.between = s.word<backup::kind>("between", {{"incremental", backup::kind::incremental},
                                                 {"differential", backup::kind::differential}})
                    .value_or(o.between);
    o.rehash_parts = count("rehash_parts", 1'000'000); // which one: by the day
    if (s.flag("rehash").value_or(false)) o.rehash_parts = 1;
    o.append_delta = s.flag("append_delta").value_or(false);
}

void read_exclusions(section& s, std::filesystem::path const& folder, backup::exclusions& o) {
    o.exclude = s.texts("exclude");
    for (auto const& file : s.texts("exclude_from")) o.exclude_from.push_back(folder / file);
    o.ignore_file = s.text("ignore_file").value_or(o.ignore_file);
    o.exclude_caches = s.flag("exclude_caches").value_or(false);
    o.exclude_nodump = s.flag("exclude_nodump").value_or(false);
    o.one_file_system = s.flag("one_file_system").value_or(false);
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    o.max_file_bytes =
        static_cast<std::uint64_t>(s.number("exclude_larger_than", 1, most).value_or(0));
}

/// sftp:// and the login there. Without any word of that it is as [ssh] says.
void read_server(section& s, std::filesystem::path const& folder, toml::table const& root,
                 std::string const& origin, backup_section& o) {
    constexpr std::array keys{"identity",    "password_file", "password_command",
                              "known_hosts", "host_key",      "timeout"};
    bool const own = std::any_of(keys.begin(), keys.end(), [&](auto key) { return s.has(key); });
    auto const* ssh = root["ssh"].as_table();
    if (own || !ssh)
        read_login(s, folder, o.login);
    else
        o.login = read_ssh(section(*ssh, "ssh", origin), folder);
    if (!o.server->user.empty()) o.login.user = o.server->user;
    o.login.port = o.server->port.value_or(22);
}

backup_section read_backup(section s, std::filesystem::path const& folder, toml::table const& root,
                           std::string const& origin) {
    backup_section o;
    o.source = below(folder, s.require("source"));
    auto const destination = s.require("destination");
    o.server = parse_sftp_place(destination);
    if (o.server)
        read_server(s, folder, root, origin, o);
    else
        o.destination = below(folder, destination);
    o.encrypt = below(folder, s.text("encrypt"));
    o.name = s.text("name").value_or("");
    read_rules(s, o);
    read_exclusions(s, folder, o);
    o.hash =
        s.word<backup::hash>("hash", {{"sha256", backup::hash::sha256}, {"md5", backup::hash::md5}})
            .value_or(o.hash);
    o.level = s.word<backup::level>("level", {{"fast", backup::level::fast},
                                              {"default", backup::level::standard},
                                              {"best", backup::level::best}})
                  .value_or(o.level);
    o.zstd = s.flag("zstd").value_or(false);
    s.refuse_unknown();
    return o;
}

/// "HOST", "HOST:PORT", "[V6]:PORT" by the one target grammar.
void read_server(mail_section& mail, std::string const& text, std::string const& origin) {
    auto const servers = targets::parse(text);
    if (servers.size() != 1) throw error(errc::bad_plan, origin, "[mail] server must be one host");
    auto const server = servers.at(0);
    mail.host = server.host();
    mail.port = server.port.value_or(25);
}

mail_section read_mail(section s, std::string const& origin, std::filesystem::path const& folder) {
    mail_section mail;
    if (auto const server = s.text("server")) read_server(mail, *server, origin);
    mail.tls = s.word<smtp::tls>("tls", {{"none", smtp::tls::none},
                                         {"opportunistic", smtp::tls::opportunistic},
                                         {"required", smtp::tls::required},
                                         {"implicit", smtp::tls::implicit}});
    mail.ca_file = below(folder, s.text("ca_file"));
    mail.user = s.text("user").value_or("");
    mail.password_file = below(folder, s.text("password_file"));
    mail.from = s.require("from");
    mail.to = s.texts("to");
    mail.subject = s.text("subject").value_or(mail.subject);
    s.refuse_unknown();
    if (mail.to.empty()) throw error(errc::bad_plan, origin, "[mail] needs to");
    mime::parse_mailbox(mail.from); // so that a bad address is said before the run
    for (auto const& to : mail.to) mime::parse_mailboxes(to);
    return mail;
}

} // namespace

job parse(std::string_view text, std::string const& origin, std::filesystem::path const& folder) {
    toml::table root;
    try {
        root = toml::parse(text, origin);
    } catch (toml::parse_error const& e) {
        auto const at = e.source().begin;
        throw error(errc::bad_plan, fmt::format("{}:{}:{}", origin, at.line, at.column),
                    std::string(e.description()));
    }
    job plan;
    for (auto const& [key, node] : root) {
        section whole(root, "plan", origin);
        auto const name = std::string(key.str());
        auto const* table = node.as_table();
        auto one = [&](toml::table const& t) { return section(t, name, origin); };
        if (name == "sweep" && table)
            plan.sweep = read_sweep(one(*table), origin);
        else if (name == "ssh" && table)
            plan.ssh = read_ssh(one(*table), folder);
        else if (name == "mail" && table)
            plan.mail = read_mail(one(*table), origin, folder);
        else if (name == "backup" && table)
            plan.backups.push_back(read_backup(one(*table), folder, root, origin));
        else if (name == "backup" && node.is_array_of_tables())
            for (auto const& each : *node.as_array())
                plan.backups.push_back(read_backup(one(*each.as_table()), folder, root, origin));
        else
            whole.fail(node,
                       fmt::format("{} is no section of a plan (sweep, ssh, backup, mail)", name));
    }
    if (plan.ssh && !plan.sweep)
        throw error(errc::bad_plan, origin, "[ssh] needs a [sweep] that finds its hosts");
    if (!plan.sweep && plan.backups.empty())
        throw error(errc::bad_plan, origin, "nothing to do: no [sweep], no [[backup]]");
    return plan;
}

job load(std::filesystem::path const& file) {
    std::ifstream in(file, std::ios::binary);
    if (!in) throw error({errno, std::generic_category()}, "plan " + file.string());
    std::string const text((std::istreambuf_iterator<char>(in)), {});
    return parse(text, file.string(), std::filesystem::absolute(file).parent_path());
}

} // namespace trawl::plan
