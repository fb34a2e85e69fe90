#include "cli/become.hpp"
#include "cli/ssh_fixture.hpp"

#include <sys/stat.h>

using namespace trawl;
using namespace trawl::test;
using event = cli::become::event;

namespace {

/// All events of `text` on stderr cut at `split`, as "prompt started"; `shown` gets the rest.
std::string events_of(cli::become& sudo, std::string_view text, std::size_t split,
                      std::string& shown) {
    std::string seen;
    for (auto piece : {text.substr(0, split), text.substr(split)})
        for (auto what = sudo.take(piece, shown); what != event::nothing;
             what = sudo.take({}, shown))
            seen += what == event::prompt ? "prompt " : "started ";
    shown += sudo.finish();
    return seen;
}

/// A lab whose hosts have a sudo in their PATH that behaves as the real one with -S -p: it asks on
/// stderr unless `nopasswd`, three times at most, and reads its stdin byte by byte.
struct sudo_lab : lab {
    explicit sudo_lab(bool nopasswd = false) : lab(path_setting(tools)) {
        write_text(known, server.known_hosts_line());
        auto const sudo = tools / "sudo";
        write_text(
            sudo,
            std::string("#!/bin/sh\n[ \"$1 $2\" = '-S -p' ] || exit 9\nprompt=$3\nshift 4\n"
                        "echo lecture >&2\n") +
                (nopasswd
                     ? ""
                     : "for try in 1 2 3; do printf %s \"$prompt\" >&2; read -r word || exit 1\n"
                       "[ \"$word\" = \"open it's me\" ] && exec \"$@\"\n"
                       "echo Sorry >&2; done; exit 1\n") +
                "exec \"$@\"\n");
        ::chmod(sudo.c_str(), 0755);
        write_text(password, "open it's me\nnot this\n");
    }
    static std::string path_setting(scratch const& folder) {
        // The fixture sets SHLVL; the first SetEnv counts.
        return "SetEnv SHLVL=9 PATH=" + folder.path().string() + ":/usr/bin:/bin";
    }
    static inline scratch tools;
    std::string password = (folder / "password").string();
};

} // namespace

TEST_CASE("a shell reads a quoted text as it was", "[cli][ssh]") {
    CHECK(cli::shell_quoted("") == "''");
    CHECK(cli::shell_quoted("a b") == "'a b'");
    CHECK(cli::shell_quoted("it's $x") == "'it'\\''s $x'");
}

TEST_CASE("sudo's prompt and the command's start are seen wherever the pieces end", "[cli][ssh]") {
    cli::become const words("0123");
    auto const line = words.wrap("id");
    REQUIRE(line.find("[trawl-sudo-0123]") != line.npos);
    std::string const text = "lecture\n[trawl-sudo-0123]Sorry\n[trawl-sudo-0123][trawl-runs-0123]"
                             "err [trawl-sudo-0123] [trawl";
    for (std::size_t split = 0; split <= text.size(); ++split) {
        cli::become sudo("0123");
        std::string shown;
        CHECK(events_of(sudo, text, split, shown) == "prompt prompt started ");
        CHECK(shown == "lecture\nSorry\nerr [trawl-sudo-0123] [trawl");
    }
    cli::become sudo("0123");
    std::string shown;
    CHECK(events_of(sudo, "sudo: not found [trawl-su", 3, shown).empty());
    CHECK(shown == "sudo: not found [trawl-su");
}

TEST_CASE("--become tells sudo the password and the command its input", "[cli][ssh]") {
    sudo_lab here;
    auto const done =
        trawl_ssh(here.with({"--become-password-file", here.password, "--stdin", "127.0.0.1"}),
                  {"echo \"it's $0\" >&2; cat; exit 3"}, {.json = true, .input = "one\ntwo\n"});
    auto const host = done.records().at(0);
    CHECK(host.at("stdout") == "one\ntwo\n");
    CHECK(host.at("stderr") == "lecture\nit's /bin/sh\n");
    CHECK(host.at("exit_status") == 3);
    CHECK(done.out.find("open it") == done.out.npos);
}

TEST_CASE("--become sends no password to a sudo that does not ask", "[cli][ssh]") {
    sudo_lab here(true);
    auto const done = trawl_ssh(here.with({"--become-password-file", here.password, "127.0.0.1"}),
                                {"cat; echo end"}, {.json = true});
    CHECK(done.records().at(0).at("stdout") == "end\n");
    CHECK(done.code == cli::all_well);
}

TEST_CASE("--become with a wrong password fails the host before anything runs", "[cli][ssh]") {
    sudo_lab here;
    write_text(here.password, "wrong\n");
    auto const mark = here.folder / "ran";
    auto const done = trawl_ssh(here.with({"--become-password-file", here.password, "127.0.0.1"}),
                                {"touch " + mark.string()}, {.json = true});
    auto const host = done.records().at(0);
    CHECK(host.at("status") == "failed");
    CHECK(host.at("error").at("code") == "auth_denied");
    CHECK(host.at("error").at("phase") == "exec");
    CHECK(
        std::string(host.at("error").at("message").as_string()).find("sudo refused the password") !=
        std::string::npos);
    CHECK_FALSE(std::filesystem::exists(mark));
    CHECK(done.code == cli::bad_secret);
}

TEST_CASE("--become runs a script as root", "[cli][ssh]") {
    sudo_lab here;
    auto const script = here.folder / "script";
    write_text(script, "echo \"$1\"\n");
    auto const done = trawl_ssh(here.with({"--become-password-file", here.password, "--script",
                                           script.string(), "127.0.0.1"}),
                                {"'a b'"}, {.json = true});
    CHECK(done.records().at(0).at("stdout") == "a b\n");
}
