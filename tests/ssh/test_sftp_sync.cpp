#include "ssh/fixture.hpp"
#include "ssh/sftp_sync_plan.hpp"

#include <trawl/sftp.hpp>
#include <trawl/sftp_sync.hpp>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;
using sftp::detail::plan_sync;
using sftp::detail::tree;

namespace {

using texts = std::vector<std::string>;

sftp::attributes made(std::uint32_t mode, std::uint64_t size = 0, std::uint32_t time = 100) {
    sftp::attributes a;
    a.permissions = mode, a.size = size;
    a.times = sftp::file_times{time, time};
    return a;
}
sftp::attributes file(std::uint64_t size = 1, std::uint32_t time = 100) {
    return made(0100644, size, time);
}
sftp::attributes folder(std::uint32_t time = 100) { return made(040755, 0, time); }
sftp::attributes link() { return made(0120777); }

texts words(std::vector<sftp::sync_step> const& steps) {
    texts all;
    for (auto const& s : steps) all.push_back(std::string(sftp::name(s.what)) + " " + s.path);
    return all;
}

texts steps(tree const& source, tree const& target, bool remove = false) {
    auto const plan = plan_sync(source, target, remove);
    CHECK(plan.in_the_way.empty());
    return words(plan.steps);
}

} // namespace

TEST_CASE("what is alike needs no step", "[sftp]") {
    tree const same{{"", folder()}, {"a", file()}, {"d", folder()}, {"d/b", file(7)}};
    for (bool const remove : {false, true}) {
        auto const plan = plan_sync(same, same, remove);
        CHECK(plan.steps.empty());
        CHECK(plan.unchanged == 2);
    }
}

TEST_CASE("into nothing everything is copied, and folders are set last", "[sftp]") {
    tree const source{{"", folder()}, {"d", folder()}, {"d/e", folder()}, {"d/e/a", file()}};
    CHECK(steps(source, {}) == texts{"make_folder ", "make_folder d", "make_folder d/e",
                                     "copy d/e/a", "set d/e", "set d", "set "});
}

TEST_CASE("a file of another size or time is copied, one of another mode is set", "[sftp]") {
    tree const source{
        {"", folder()}, {"a", file()}, {"b", file(1, 5)}, {"c", file()}, {"x", made(0100755, 1)}};
    tree const target{
        {"", folder()}, {"a", file(2)}, {"b", file(1, 6)}, {"c", file()}, {"x", made(0100644, 1)}};
    CHECK(steps(source, target) == texts{"copy a", "copy b", "set x", "set "});
    tree unknown = target; // a server that tells no times
    unknown.at("c").times.reset();
    CHECK(steps(source, unknown) == texts{"copy a", "copy b", "copy c", "set x", "set "});
    tree set_id = source;
    set_id.at("x").permissions = 0104755;
    CHECK(steps(set_id, source).empty());
}

TEST_CASE("what the source does not have goes only where that is wanted, innermost first",
          "[sftp]") {
    tree const source{{"", folder()}, {"a", file()}};
    tree const target{{"", folder()},    {"a", file()},  {"d", folder()}, {"d/e", folder()},
                      {"d/e/f", file()}, {"d-", file()}, {"l", link()}};
    CHECK(steps(source, target).empty());
    CHECK(steps(source, target, true) == texts{"remove l", "remove d/e/f", "remove d-",
                                               "remove_folder d/e", "remove_folder d", "set "});
}

TEST_CASE("what is not copied protects its name in the target", "[sftp]") {
    tree const source{{"", folder()}, {"l", link()}};
    tree const target{{"", folder()}, {"l", folder()}, {"l/x", file()}};
    auto const plan = plan_sync(source, target, true);
    CHECK(plan.steps.empty());
    CHECK(plan.skipped == 1);
}

TEST_CASE("another kind is in the way unless it may be removed", "[sftp]") {
    tree const files{{"", folder()}, {"x", file()}};
    tree const folders{{"", folder()}, {"x", folder()}, {"x/y", file()}};
    tree const links{{"", folder()}, {"x", link()}};
    CHECK(plan_sync(files, folders, false).in_the_way == texts{"x"});
    CHECK(plan_sync(folders, files, false).in_the_way == texts{"x"});
    CHECK(plan_sync(folders, files, false).steps.empty());
    // A link to a folder is none: nothing is written through it.
    CHECK(plan_sync(folders, links, false).in_the_way == texts{"x"});
    CHECK(steps(files, folders, true) == texts{"remove x/y", "remove_folder x", "copy x", "set "});
    CHECK(steps(folders, links, true) ==
          texts{"remove x", "make_folder x", "copy x/y", "set x", "set "});
    CHECK(steps(files, links) == texts{"copy x", "set "}); // takes its place
    tree const no_folder{{"", file()}};
    CHECK(plan_sync(files, no_folder, true).in_the_way == texts{""});
}

namespace {

/// A client of the real server, and folders on both sides.
struct sync_lab {
    scratch at;
    fs::path const here = at / "here", there = at / "there";
    texts told;
    std::function<void(sftp::sync_step const&)> on_step{};

    sync_lab() {
        fs::create_directories(here / "deep/er");
        write_text(here / "a", "aa");
        write_text(here / "deep/b", "bbb");
        write_text(here / "deep/er/c", "");
        fs::permissions(here / "a", fs::perms(0750));
        fs::create_symlink("a", here / "l");
        fs::create_directory_symlink("deep", here / "m");
        set_time(here / "a", 100h);
    }

    static void set_time(fs::path const& of, std::chrono::hours ago) {
        fs::last_write_time(of, fs::file_time_type::clock::now() - ago);
    }

    sftp::synced sync(bool up, bool remove = false, bool dry_run = false) {
        told.clear();
        sftp::sync_options how;
        how.remove = remove, how.dry_run = dry_run;
        how.step = [this](sftp::sync_step const& step) {
            told.push_back(std::string(sftp::name(step.what)) + " " + step.path);
            if (on_step) on_step(step);
        };
        sftp::synced done;
        auto body = [&]() -> awaitable<> {
            ssh::session host(co_await asio::this_coro::executor, good_options());
            co_await host.connect();
            auto files = co_await sftp::open(host);
            if (up)
                done = co_await sftp::sync(here, files, there.string(), how);
            else
                done = co_await sftp::sync(files, here.string(), there, how);
        };
        run(body);
        return done;
    }

    std::error_code failure(bool up, bool remove = false) {
        try {
            sync(up, remove);
        } catch (trawl::error const& thrown) {
            return thrown.code();
        }
        return {};
    }

    void check_alike() const {
        for (auto const* name : {"a", "deep/b", "deep/er/c"}) {
            INFO(name);
            CHECK(read_text(there / name) == read_text(here / name));
            CHECK(fs::status(there / name).permissions() == fs::status(here / name).permissions());
            auto const off = fs::last_write_time(there / name) - fs::last_write_time(here / name);
            CHECK(std::chrono::abs(off) <= 1s);
        }
        CHECK(fs::is_regular_file(fs::symlink_status(there / "l")));
    }
};

} // namespace

TEST_CASE("sync copies what differs and nothing twice, up and down", "[sftp]") {
    for (bool const up : {true, false}) {
        sync_lab l;
        auto done = l.sync(up);
        CHECK(done.files == 4);
        CHECK(done.bytes == 7);
        CHECK(done.skipped == 1);
        CHECK_FALSE(fs::exists(l.there / "m"));
        l.check_alike();
        done = l.sync(up);
        CHECK(l.told.empty());
        CHECK(done.files == 0);
        CHECK(done.unchanged == 4);

        write_text(l.here / "deep/b", "other");
        fs::permissions(l.here / "deep/er/c", fs::perms(0600));
        done = l.sync(up);
        CHECK(done.files == 1);
        CHECK(done.bytes == 5);
        CHECK(done.set == 1);
        CHECK(done.unchanged == 2);
        l.check_alike();
        for (auto const& e : fs::recursive_directory_iterator(l.there))
            CHECK(e.path().string().find(".trawl-") == std::string::npos);
    }
}

TEST_CASE("sync removes what is too much, and follows no link out of its folder", "[sftp]") {
    for (bool const up : {true, false}) {
        sync_lab l;
        fs::create_directories(l.at / "outside");
        write_text(l.at / "outside/kept", "kept");
        l.sync(up);
        fs::create_directories(l.there / "old/er");
        write_text(l.there / "old/er/x", "x");
        fs::create_directory_symlink(l.at / "outside", l.there / "way");
        auto done = l.sync(up);
        CHECK(done.removed == 0);
        CHECK(fs::exists(l.there / "old/er/x"));
        done = l.sync(up, true);
        CHECK(done.removed == 4);
        CHECK_FALSE(fs::exists(l.there / "old"));
        CHECK_FALSE(fs::exists(fs::symlink_status(l.there / "way")));
        CHECK(read_text(l.at / "outside/kept") == "kept");

        // A link where a folder is to be.
        fs::remove_all(l.there / "deep");
        fs::create_directory_symlink(l.at / "outside", l.there / "deep");
        CHECK(l.failure(up) == sftp::errc::in_the_way);
        l.sync(up, true);
        l.check_alike();
        CHECK(std::distance(fs::directory_iterator(l.at / "outside"), {}) == 1);
    }
}

TEST_CASE("a link that takes a folder's place while sync removes leads nowhere", "[sftp]") {
    sync_lab l;
    fs::create_directories(l.at / "outside");
    write_text(l.at / "outside/x", "kept");
    l.sync(false);
    fs::create_directories(l.there / "old");
    write_text(l.there / "old/x", "x");
    l.on_step = [&](sftp::sync_step const& step) {
        if (step.path != "old/x") return;
        fs::rename(l.there / "old", l.at / "moved");
        fs::create_directory_symlink(l.at / "outside", l.there / "old");
    };
    CHECK(l.failure(false, true) == std::errc::not_a_directory);
    CHECK(read_text(l.at / "outside/x") == "kept");
    CHECK(read_text(l.at / "moved/x") == "x");
}

TEST_CASE("a dry run of sync tells all and changes nothing", "[sftp]") {
    for (bool const up : {true, false}) {
        sync_lab l;
        auto done = l.sync(up, true, true);
        CHECK(done.files == 4);
        CHECK(done.bytes == 7);
        CHECK(l.told.front() == "make_folder ");
        CHECK_FALSE(fs::exists(l.there));
        l.sync(up);
        write_text(l.there / "extra", "x");
        done = l.sync(up, true, true);
        CHECK(l.told == texts{"remove extra", "set "});
        CHECK(done.removed == 1);
        CHECK(fs::exists(l.there / "extra"));
    }
}

TEST_CASE("sync of what is no folder fails before anything is done", "[sftp]") {
    for (bool const up : {true, false}) {
        sync_lab l;
        write_text(l.there, "a file");
        CHECK(l.failure(up) == sftp::errc::in_the_way);
        CHECK(read_text(l.there) == "a file");
        fs::remove_all(l.here);
        CHECK(l.failure(up) != std::error_code());
        write_text(l.here, "a file");
        CHECK(l.failure(up) == std::errc::not_a_directory);
        CHECK(read_text(l.there) == "a file");
    }
}
