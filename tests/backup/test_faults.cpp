#include "fixture.hpp"

#include <atomic>
#include <random>
#include <thread>

#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

/// Runs a backup in a process of its own and kills that after `delay`; true when the kill came
/// before its end.
bool backed_up_until_killed(backup::options const& o, std::chrono::microseconds delay) {
    auto const child = ::fork();
    if (child == 0) {
        try {
            back_up(o);
        } catch (...) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    std::this_thread::sleep_for(delay);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFEXITED(status)) CHECK(WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

struct small_disk {
    fs::path where;
    bool mounted = false;
    small_disk(fs::path at, std::size_t bytes) : where(std::move(at)) {
        fs::create_directory(where);
        auto const size = "size=" + std::to_string(bytes);
        mounted = ::mount("tmpfs", where.c_str(), "tmpfs", 0, size.c_str()) == 0;
    }
    ~small_disk() {
        if (mounted) ::umount2(where.c_str(), MNT_DETACH);
    }
};

} // namespace

TEST_CASE("kill -9 at any moment leaves the old or the new state, and the next run needs no help",
          "[backup]") {
    scratch dir(medium::disk);
    auto const source = dir / "source";
    make_plain_tree(source, 60);
    put(source / "large", noise(4'000'000));
    auto o = from_to(source, dir / "backups");
    auto const began = std::chrono::steady_clock::now();
    back_up(o);
    auto const whole = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - began);
    auto old_state = look_at(source);
    std::mt19937 random(7);
    int killed = 0;
    for (unsigned i = 0; i < 24; ++i) {
        put(source / "folder0" / "file0", noise(3000, i));
        put(source / "large", noise(4'000'000, i));
        fs::remove(source / "folder1" / ("added" + std::to_string(i)));
        put(source / "folder1" / ("added" + std::to_string(i + 1)), "x");
        auto const new_state = look_at(source);
        o.what = i % 2 ? backup::kind::full : backup::kind::incremental;
        auto const delay =
            std::chrono::microseconds(random() % static_cast<unsigned>(whole.count() + 1));
        killed += backed_up_until_killed(o, delay);

        auto const out = dir / ("out" + std::to_string(i));
        auto const done = put_back(restoring(dir / "backups", out));
        CHECK(done.errors.empty());
        auto const found = look_at(out);
        bool const is_old = difference(old_state, found).empty();
        bool const is_new = difference(new_state, found).empty();
        CHECK((is_old || is_new));
        for (auto const& name : names(dir / "backups")) // every manifest of a final name is whole
            if (name.ends_with(".manifest.json")) {
                auto const archive = name.substr(0, name.size() - 14) + ".tar.gz";
                CHECK(fs::exists(dir / "backups" / archive));
                CHECK(command({"gzip", "-t", (dir / "backups" / archive).string()}) == 0);
            }
        fs::remove_all(out);
        if (is_new) old_state = new_state;
    }
    CHECK(killed > 0);
    o.what = backup::kind::automatic;
    auto const made = back_up(o);
    CHECK(made.notes.empty());
    for (auto const& name : names(dir / "backups")) CHECK_FALSE(name.ends_with(".partial"));
    auto const done = put_back(restoring(dir / "backups", dir / "end"));
    CHECK(done.errors.empty());
    CHECK(difference(look_at(source), look_at(dir / "end")) == "");
}

TEST_CASE("a full disk is named, nothing gets a final name, and the last backup still restores",
          "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 20);
    auto const first = look_at(source);
    small_disk disk(dir / "disk", 2 << 20);
    if (!disk.mounted) skip("needs the right to mount a tmpfs");
    back_up(from_to(source, disk.where));
    auto const before = names(disk.where);
    put(source / "large", noise(6'000'000));
    for (auto what : {backup::kind::incremental, backup::kind::full}) {
        auto o = from_to(source, disk.where);
        o.what = what;
        CHECK(thrown([&] { back_up(o); }) == std::errc::no_space_on_device);
        CHECK(names(disk.where) == before);
    }
    CHECK(put_back(restoring(disk.where, dir / "out")).errors.empty());
    CHECK(difference(first, look_at(dir / "out")) == "");
    // In the other direction: a target that is too small.
    auto const big = back_up(from_to(source, dir / "backups"));
    CHECK(thrown([&] { put_back(restoring(dir / "backups", disk.where / "target")); }) ==
          std::errc::no_space_on_device);
    fs::remove(source / "large");
    back_up(from_to(source, disk.where));
}

TEST_CASE("a disk that is full at every step of the way", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 60);
    auto const state = look_at(source);
    auto const made = back_up(from_to(source, dir / "backups"));
    auto const needed = made.bytes_out + 2 * fs::file_size(made.manifest);
    int full = 0, whole = 0;
    for (std::size_t step = 1; step <= 16; ++step) {
        small_disk disk(dir / ("disk" + std::to_string(step)),
                        (needed + 65536) * step / 15 / 4096 * 4096);
        if (!disk.mounted) skip("needs the right to mount a tmpfs");
        auto const code = thrown([&] { back_up(from_to(source, disk.where)); });
        auto const left = names(disk.where);
        for (auto const& name : left) CHECK_FALSE(name.ends_with(".partial"));
        if (code) {
            ++full;
            CHECK(code == std::errc::no_space_on_device);
        } else
            ++whole;
        // Whatever has a final name is whole.
        if (std::find(left.begin(), left.end(), "source_full_20261124.manifest.json") !=
            left.end()) {
            auto const out = dir / ("out" + std::to_string(step));
            CHECK(put_back(restoring(disk.where, out)).errors.empty());
            CHECK(difference(state, look_at(out)) == "");
        }
    }
    CHECK(full > 5);
    CHECK(whole > 0);
}
