#include "fixture.hpp"

#include <atomic>
#include <cstdlib>
#include <fstream>
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

bool const everything = std::getenv("TRAWL_LONG") != nullptr;

void must_be_whole(fs::path const& archives) {
    auto const seen = verify(archives);
    for (auto const& p : seen.errors) UNSCOPED_INFO(p.path << ": " << p.message);
    CHECK(seen.errors.empty());
    CHECK(seen.damaged.empty());
}

/// Appends, truncates, rewrites, renames and deletes in a tree, in a process of its own, as long as
/// it lives.
class restless_writer {
public:
    explicit restless_writer(fs::path const& tree) : child_(::fork()) {
        if (child_ != 0) return;
        std::mt19937 random(9);
        auto const file = [&] { return tree / ("busy" + std::to_string(random() % 12)); };
        for (unsigned i = 0;; ++i) {
            std::error_code ignored;
            switch (random() % 5) {
            case 0: std::ofstream(file(), std::ios::app) << noise(random() % 9000, i); break;
            case 1: (void)!::truncate(file().c_str(), static_cast<off_t>(random() % 5000)); break;
            case 2: std::ofstream(file()) << noise(random() % 3'000'000, i); break;
            case 3: fs::rename(file(), file(), ignored); break;
            default: fs::remove(file(), ignored);
            }
        }
    }
    restless_writer(restless_writer const&) = delete;
    ~restless_writer() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }

private:
    pid_t child_;
};

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
    for (unsigned i = 0; i < (everything ? 200u : 24u); ++i) {
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
        must_be_whole(dir / "backups");
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
    std::size_t const steps = everything ? 64 : 16;
    for (std::size_t step = 1; step <= steps; ++step) {
        small_disk disk(dir / ("disk" + std::to_string(step)),
                        (needed + 65536) * step / (steps - 1) / 4096 * 4096);
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
            must_be_whole(disk.where);
        }
    }
    CHECK(full > 5);
    CHECK(whole > 0);
}

TEST_CASE(
    "a writer that changes the tree meanwhile: every backup is whole, and the last one is exact",
    "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_plain_tree(source, 40);
    {
        restless_writer const writer(source);
        for (int i = 0; i < (everything ? 50 : 6); ++i) {
            auto o = from_to(source, dir / "backups");
            o.what = i % 10 == 0 ? backup::kind::full : backup::kind::incremental;
            auto const made = back_up(o);
            for (auto const& p : made.errors) UNSCOPED_INFO(p.path << ": " << p.message);
            CHECK(made.errors.empty());
            must_be_whole(dir / "backups"); // each hash is that of the archived bytes
            CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
            fs::remove_all(dir / "out");
        }
    }
    back_up(from_to(source, dir / "backups"));
    CHECK(put_back(restoring(dir / "backups", dir / "out")).errors.empty());
    CHECK(difference(look_at(source), look_at(dir / "out")) == "");
}
