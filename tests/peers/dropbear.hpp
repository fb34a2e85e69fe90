#pragma once

#include "peers/sshd.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace trawl::test {

/// The real dropbear on 127.0.0.1, in a mount namespace of its own: it reads keys from a user's home
/// and passwords from /etc/shadow only, so there it sees a user "peer" (uid 0) with both.
class dropbear {
public:
    dropbear() {
        if (!std::filesystem::exists("/usr/sbin/dropbear")) skip("needs dropbear-bin");
        if (::geteuid() != 0) skip("needs root, for a mount namespace");
        auto const ssh = folder_ / ".ssh";
        std::filesystem::create_directory(ssh);
        ::chmod(ssh.c_str(), 0700);
        make_key(folder_, "user", "ed25519");
        std::filesystem::copy_file(file("user.pub"), ssh / "authorized_keys");
        write_text(file("passwd"), "peer:x:0:0::" + folder_.path().string() + ":/bin/sh\n");
        // openssl passwd -6 -salt trawltest 'correct horse'
        write_text(file("shadow"),
                   "peer:$6$trawltest$VofcFVwWihnXaL3kAYxseCmDtmUhoNj1u7igLDomR4goz7nML7v/"
                   "YS7r3EtGwLnHKg9nBcQJ5axrjqHtBj4xm.:20000:0:99999:7:::\n");
        run_program({"/usr/bin/dropbearkey", "-t", "ed25519", "-f", file("host").string()},
                    folder_);
        auto const words = [this](std::uint16_t port) {
            return std::vector<std::string>{
                "/usr/bin/unshare",
                "--mount",
                "/bin/sh",
                "-c",
                "mount --bind \"$0/passwd\" /etc/passwd && "
                "mount --bind \"$0/shadow\" /etc/shadow && "
                "exec /usr/sbin/dropbear -F -E -r \"$0/host\" -p 127.0.0.1:" +
                    std::to_string(port),
                folder_.path().string()};
        };
        process_.start(words, file("log"));
    }

    std::uint16_t port() const noexcept { return process_.port(); }
    std::string user() const { return "peer"; }
    /// 2022.83 may give up a session, whoever the client is, when commands end at the same time
    /// ("Failed assertion (common-channel.c:705): `!channel->sent_close'").
    static constexpr std::size_t commands_at_once = 1;
    static constexpr bool renews_keys = true;
    std::filesystem::path file(std::string const& name) const { return folder_ / name; }

    std::string known_hosts_line() const {
        auto const text = read_text(folder_ / "run.log"); // dropbearkey's
        auto const key = text.substr(text.find("ssh-ed25519 "));
        return test::known_hosts_line(port(), key.substr(0, key.find('\n')));
    }

private:
    scratch folder_;
    server_process process_; // ends before the folder
};

} // namespace trawl::test
