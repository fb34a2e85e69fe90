// A spool on a disk that fails: what is told then is true, and what follows loses and repeats nothing.
#include "mail/spool_files.hpp"
#include "mail/spool_world.hpp"

#include <csignal>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using namespace trawl::smtp::detail;
namespace fs = std::filesystem;

namespace {

/// No file of this process can grow meanwhile, as on a full disk.
class full_disk {
public:
    full_disk() {
        ::signal(SIGXFSZ, SIG_IGN);
        ::getrlimit(RLIMIT_FSIZE, &before_);
        rlimit now = before_;
        now.rlim_cur = 1;
        ::setrlimit(RLIMIT_FSIZE, &now);
    }
    full_disk(full_disk const&) = delete;
    ~full_disk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
    rlimit before_{};
};

awaitable<std::string> failure_of(smtp::spool& spool, std::string name, smtp::direct& direct) {
    std::string why;
    try {
        (void)co_await spool.attempt(std::move(name), direct);
    } catch (error const& e) {
        why = e.what();
    }
    co_return why;
}

/// What `work` returns in a process that root's rights do not help.
template <class Work>
int as_nobody(Work work) {
    auto const child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(99);
        try {
            ::_exit(work());
        } catch (...) {
            ::_exit(98);
        }
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
}

} // namespace

TEST_CASE("a message that cannot be made safe on disk is not kept", "[mail]") {
    temporary_folder folder;
    auto const one = spool_entry_of(message({"x@d.example"}), 1000);
    // A folder that cannot be opened for reading takes the file and cannot be synced.
    CHECK(as_nobody([&] {
              spool_folder spool(folder.path / "spool");
              auto const queue = folder.path / "spool" / "queue";
              fs::permissions(queue, fs::perms::owner_write | fs::perms::owner_exec);
              std::string why;
              try {
                  (void)spool.add(one);
              } catch (error const& e) {
                  why = e.what();
              }
              fs::permissions(queue, fs::perms::owner_all);
              bool const told = why.find("/queue: Permission denied") != why.npos;
              return told && spool.size() == 0 && fs::is_empty(folder.path / "spool" / "tmp") ? 0
                                                                                              : 1;
          }) == 0);
}

TEST_CASE("nothing is sent while it cannot be written down, and the next attempt is later",
          "[mail]") {
    listener ears;
    run_spool([&](world& here, smtp::spool&, smtp::direct& direct) -> awaitable<> {
        here.how.watch = &ears;
        offload_pool files(offload_pool::options{.threads = 1});
        smtp::spool spool(files, here.how);
        auto one = message({"x@d.example"});
        auto const name = co_await spool.put(std::move(one));
        {
            full_disk const full;
            for (int i = 0; i < 3; ++i) co_await spool.flush(direct, 1, nobody);
        }
        REQUIRE(ears.heard.size() == 1); // the second and third had no reason to try
        CHECK(ears.heard[0].find(name + ": File too large") != std::string::npos);
        CHECK(here.host.messages.empty());
        here.time += 300;
        std::vector<std::string> seen;
        auto const note = [&](std::string const&, smtp::receipt const& what) {
            seen.push_back(outcome(what));
        };
        co_await spool.flush(direct, 1, note);
        CHECK(seen == std::vector<std::string>{"x@d.example accepted 2.0.0"});
    });
}

TEST_CASE("a message whose answer cannot be written is unknown, and not sent again", "[mail]") {
    std::optional<full_disk> full;
    auto const says = [&](std::string const& line) {
        if (line == ".") full.emplace();
        return ""s;
    };
    run_spool(
        [&](world& here, smtp::spool& spool, smtp::direct& direct) -> awaitable<> {
            auto one = message({"x@d.example"});
            auto const name = co_await spool.put(std::move(one));
            auto const why = co_await failure_of(spool, name, direct);
            CHECK(why.find(name + ": File too large") != std::string::npos);
            full.reset();
            CHECK(here.host.messages.size() == 1);
            CHECK(here.files("queue") == 1);
            here.time += 300;
            auto const sent = co_await spool.attempt(name, direct);
            REQUIRE(sent);
            CHECK(outcome(*sent) == "x@d.example unknown");
            CHECK(here.host.messages.size() == 1);
            CHECK(here.files("failed") == 1);
        },
        says);
}
