// MTA-STS policies that are kept between runs (RFC 8461 section 10.2).
#include "mail/sts_files.hpp"

#include "mail/sts_world.hpp"

#include <trawl/offload_pool.hpp>

#include <fcntl.h>
#include <sys/stat.h>

using namespace std::string_literals;
using namespace trawl;
using namespace trawl::test;
using namespace trawl::smtp::detail;

namespace {

/// What one process after the other does with a message for d.example, and what they log: `between`
/// is called before the second one. The folder, when there is one, is theirs.
struct runs {
    std::vector<std::string> came;
    std::string log;
};
runs send_twice(std::function<void(sts_world&)> between, std::filesystem::path folder) {
    struct listener : observer {
        std::string text;
        void log(severity, std::string_view where, std::string_view what) override {
            text += std::string(where) + std::string(what) + '\n';
        }
    } heard;
    runs made;
    auto const main = [&]() -> awaitable<> {
        auto executor = co_await asio::this_coro::executor;
        offload_pool files(offload_pool::options{.threads = 1});
        sts_world here(executor);
        here.how.sts_folder = folder;
        here.how.files = &files;
        here.how.watch = &heard;
        auto const body = [&](task_group& group) -> awaitable<> {
            here.start(group);
            for (int run = 0; run < 2; ++run) {
                if (run == 1) between(here);
                dns::resolver resolver(executor, here.resolver());
                smtp::direct direct(executor, resolver, here.how);
                auto one = letter_to_d();
                auto const done = co_await direct.send(std::move(one));
                made.came.push_back(std::string(to_string(done.recipients.at(0).status)));
                co_await direct.quit();
            }
        };
        co_await with_group(body);
    };
    test::run(main);
    made.log = heard.text;
    return made;
}

bool contains(std::string const& text, std::string const& part) {
    return text.find(part) != std::string::npos;
}

using verdicts = std::vector<std::string>;

kept_policy const kept{"20160831085700Z", enforce, 2'000'000'000};

/// said() of what is thrown for a file; "good" when nothing is.
std::string verdict(std::string const& file, std::string const& domain = "d.example") {
    try {
        (void)read_kept_policy(file, domain);
    } catch (error const& e) {
        CHECK(e.code() == std::errc::bad_message);
        return e.said();
    }
    return "good";
}

/// What an attacker does who wants no policy to be found.
void hide_policy(sts_world& here) {
    here.names.missing = {"_mta-sts.d.example", "mta-sts.d.example"};
}

std::string file_in(std::filesystem::path const& folder) {
    return (folder / "d.example.mta-sts").string();
}

} // namespace

TEST_CASE("a policy's file is read as it was written, and in no other form", "[mail]") {
    auto const file = write_kept_policy("d.example", kept);
    auto const again = read_kept_policy(file, "d.example");
    CHECK(again.id == kept.id);
    CHECK(again.text == kept.text);
    CHECK(again.until == kept.until);
    CHECK(verdict(file, "e.example") == "it is another domain's");
    CHECK(verdict("") == "no \"trawl sts \"");
    CHECK(verdict("trawl sts 2\n" + file.substr(12)) == "it was written by another version");
    for (std::size_t size = 0; size < file.size(); ++size)
        CHECK(verdict(file.substr(0, size)) != "good");
    for (std::size_t at = 0; at < file.size(); ++at) {
        auto damaged = file;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        CHECK(verdict(damaged) != "good");
    }
    CHECK(verdict(file + "mx: evil.example\n") == "its checksum is wrong");
}

TEST_CASE("policies are kept in a folder until they are over", "[mail]") {
    temporary_folder folder;
    auto const place = folder.path / "sts";
    sts_folder one(place);
    CHECK_FALSE(one.find("d.example", 1'900'000'000));
    one.keep("d.example", kept, 1'900'000'000);
    auto const found = sts_folder(place).find("d.example", 1'999'999'999);
    REQUIRE(found);
    CHECK(found->text == enforce);
    CHECK_FALSE(one.find("d.example", 2'000'000'000));
    one.keep("d.example", {"2", "other", 2'000'000'001}, 1'900'000'000);
    CHECK(one.find("d.example", 2'000'000'000)->id == "2");
    struct stat about {};
    REQUIRE(::stat(place.c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0700);
    REQUIRE(::stat(file_in(place).c_str(), &about) == 0);
    CHECK((about.st_mode & 0777) == 0600);
    // No name leads out of it.
    for (auto const* name : {"../d.example", "/etc/passwd", ".", "..", "", "a/b", "D.example"}) {
        one.keep(name, kept, 1'900'000'000);
        CHECK_FALSE(one.find(name, 1'900'000'000));
    }
    auto const files = std::filesystem::directory_iterator(place);
    CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("what is no file of a policy is an error that names it", "[mail]") {
    temporary_folder folder;
    sts_folder const one(folder.path);
    auto const complaint = [&] {
        try {
            (void)one.find("d.example", 0);
        } catch (error const& e) {
            return std::string(e.what());
        }
        return ""s;
    };
    auto const path = file_in(folder.path);
    write_file(path, "rubbish");
    CHECK(contains(complaint(), path));
    write_file(path, std::string(100'000, 'x'));
    CHECK(contains(complaint(), "too large"));
    std::filesystem::remove(path);
    std::filesystem::create_symlink("/etc/passwd", path);
    CHECK(contains(complaint(), path));
    std::filesystem::remove(path);
    std::filesystem::create_directory(path);
    CHECK(contains(complaint(), "not an ordinary file"));
    CHECK_THROWS_AS(sts_folder("/dev/null/sts"), error);
}

TEST_CASE("the folder of policies does not grow for ever, and nothing else in it is touched",
          "[mail]") {
    temporary_folder folder;
    auto const aged = [&](std::string const& name, std::int64_t when) {
        write_file(folder.path / name, "x");
        timespec const times[] = {{when, 0}, {when, 0}};
        REQUIRE(::utimensat(AT_FDCWD, (folder.path / name).c_str(), times, 0) == 0);
    };
    auto const there = [&](std::string const& name) {
        return std::filesystem::exists(folder.path / name);
    };
    aged("letter.txt", 5);
    aged("over.example.mta-sts", 1'900'000'000);
    aged(".trawl-sts-abcdef", 1'800'000'000);
    aged(".trawl-sts-ghijkl", 1'899'999'999); // somebody writes it now
    for (std::size_t i = 0; i < sts_folder::most_kept; ++i)
        aged(std::to_string(i) + ".example.mta-sts", 1'900'000'001 + static_cast<long>(i));
    sts_folder one(folder.path);
    one.keep("d.example", kept, 1'900'000'000);
    CHECK(there("letter.txt"));
    CHECK_FALSE(there("over.example.mta-sts"));
    CHECK_FALSE(there(".trawl-sts-abcdef"));
    CHECK(there(".trawl-sts-ghijkl"));
    CHECK_FALSE(there("999.example.mta-sts"));
    CHECK(there("1000.example.mta-sts"));
    CHECK(there("d.example.mta-sts"));
}

TEST_CASE("a policy that one process has seen protects the next one's mail", "[mail]") {
    temporary_folder folder;
    auto const kept_in = folder.path / "sts";
    // The exchanger has no TLS: with the policy nothing goes there.
    CHECK(send_twice(hide_policy, "").came == verdicts{"deferred", "accepted"});
    auto const both = send_twice(hide_policy, kept_in);
    CHECK(both.came == verdicts{"deferred", "deferred"});
    CHECK(both.log == "");
    CHECK(contains(read_file(file_in(kept_in)), enforce));
}

TEST_CASE("a new id replaces the policy that is kept", "[mail]") {
    temporary_folder folder;
    auto const withdraw = [](sts_world& here) {
        here.names.records.back() = {
            "_mta-sts.d.example",
            name_server::txt,
            {13, 'v', '=', 'S', 'T', 'S', 'v', '1', ';', 'i', 'd', '=', '2', ' '}};
        here.web.reply = http("version: STSv1\nmode: none\nmax_age: 86400\n");
    };
    CHECK(send_twice(withdraw, folder.path).came == verdicts{"deferred", "accepted"});
    CHECK(contains(read_file(file_in(folder.path)), "mode: none"));
}

TEST_CASE("a damaged policy is none, and is named", "[mail]") {
    temporary_folder folder;
    auto const damage = [&](sts_world& here) {
        hide_policy(here);
        auto text = read_file(file_in(folder.path));
        text.back() = '!';
        write_file(file_in(folder.path), text);
    };
    auto const both = send_twice(damage, folder.path);
    CHECK(both.came == verdicts{"deferred", "accepted"});
    CHECK(contains(both.log, file_in(folder.path)));
    CHECK(contains(both.log, "its checksum is wrong"));
}

TEST_CASE("a folder that cannot be written costs no mail", "[mail]") {
    temporary_folder folder;
    auto const spoil = [&](sts_world& here) {
        std::filesystem::remove_all(folder.path / "sts");
        here.names.records.back() = {
            "_mta-sts.d.example",
            name_server::txt,
            {13, 'v', '=', 'S', 'T', 'S', 'v', '1', ';', 'i', 'd', '=', '2', ' '}};
        here.web.reply = http("version: STSv1\nmode: none\nmax_age: 86400\n");
        here.how.sts_folder = "/proc/self/fdinfo";
    };
    auto const both = send_twice(spoil, folder.path / "sts");
    CHECK(both.came == verdicts{"deferred", "accepted"});
    CHECK(contains(both.log, "/proc/self/fdinfo/d.example.mta-sts"));
}

TEST_CASE("a folder for policies needs a pool for its files", "[mail]") {
    asio::io_context io;
    dns::resolver::options none;
    none.servers = {"127.0.0.1:9"};
    dns::resolver names(io.get_executor(), none);
    smtp::direct_options how;
    how.sts_folder = "/tmp/none";
    CHECK_THROWS_AS(smtp::direct(io.get_executor(), names, how), error);
}
