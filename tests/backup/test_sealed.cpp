#include "backup/sealed.hpp"

#include "backup/hash.hpp"
#include "backup/local_store.hpp"
#include "fixture.hpp"

#include <trawl/backup_extract.hpp>
#include <trawl/backup_store.hpp>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <random>

#include <sys/stat.h>

using namespace trawl;
using namespace trawl::test;
using namespace trawl::backup::detail;
namespace fs = std::filesystem;
using backup::store_key;

namespace {

std::array<unsigned char, 32> key_bytes(unsigned char first = 0) {
    std::array<unsigned char, 32> bytes{};
    std::iota(bytes.begin(), bytes.end(), first);
    return bytes;
}

std::array<unsigned char, 16> salt() {
    std::array<unsigned char, 16> bytes{};
    std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(16));
    return bytes;
}

std::string in_hex(std::string_view bytes) {
    std::string text;
    for (char const byte : bytes) {
        constexpr char digits[] = "0123456789abcdef";
        auto const c = static_cast<unsigned char>(byte);
        text += digits[c >> 4];
        text += digits[c & 15];
    }
    return text;
}

/// A sealed file of `plain`.
std::string sealed(store_key const& key, std::string_view plain) {
    sealer to(key, salt());
    auto bytes = to.head();
    for (; plain.size() > sealed_plain; plain.remove_prefix(sealed_plain))
        bytes += to.seal(plain.substr(0, sealed_plain), false);
    return bytes + to.seal(plain, true);
}

class memory_file : public backup::stored_file {
public:
    explicit memory_file(std::string bytes) : bytes_(std::move(bytes)) {}
    std::uint64_t size() const override { return bytes_.size(); }
    std::size_t read(std::uint64_t offset, std::span<char> into) const override {
        auto const rest = std::string_view(bytes_).substr(
            std::min(static_cast<std::size_t>(offset), bytes_.size()));
        return rest.copy(into.data(), into.size());
    }

private:
    std::string bytes_;
};

std::unique_ptr<backup::stored_file> opened(std::string bytes, store_key const& key) {
    return backup::decrypted(std::make_unique<memory_file>(std::move(bytes)), "x.enc", key);
}

/// What is said of a file that cannot be read whole; empty: it can.
std::string complaint(std::string bytes, store_key const& key) {
    try {
        auto const file = opened(std::move(bytes), key);
        file->view();
    } catch (error const& failure) {
        CHECK(failure.code() == backup::errc::corrupt);
        return failure.said();
    }
    return {};
}

struct place {
    explicit place(fs::path folder) : folder_(std::move(folder)) {}
    std::shared_ptr<backup::store> with(unsigned char first = 0) const {
        return backup::encrypted_store(backup::local_store(folder_), store_key(key_bytes(first)));
    }
    fs::path folder_;
};

backup::options to_store(fs::path const& source, std::shared_ptr<backup::store> store) {
    auto o = from_to(source, {});
    o.store = std::move(store);
    return o;
}

backup::verify_report verify_in(std::shared_ptr<backup::store> store) {
    backup::verify_options o;
    o.store = std::move(store);
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    backup::verify_report seen;
    auto body = [&]() -> awaitable<> { seen = co_await backup::verify(pool, o); };
    run(body);
    return seen;
}

backup::restore_options out_of(std::shared_ptr<backup::store> store, fs::path const& target) {
    auto o = restoring({}, target);
    o.store = std::move(store);
    return o;
}

} // namespace

TEST_CASE("sealed blocks are those that another implementation makes", "[backup]") {
    store_key const key(key_bytes());
    sealer one(key, salt());
    CHECK(in_hex(one.head()) == "747261776c626b31cf41a1c26cf5b0dc101112131415161718191a1b1c1d1e1f");
    CHECK(in_hex(one.seal("hello", true)) == "dc922faa532dae78589e8a0658db4d7b2398b5d248");
    sealer none(key, salt());
    CHECK(in_hex(none.seal({}, true)) == "e4d1989c6faeeea516bee17f7408ac1b");
    auto const file = sealed(key, std::string(sealed_plain, 'a') + "tail");
    CHECK(hex(hasher(backup::hash::sha256).of(file)) ==
          "f5fcec8b69a5dbb2ec466a1d3faa01ceefc68a5b97ac684d4e8a519a496ddddd");
}

TEST_CASE("a sealed file of any length opens anywhere, and its length tells the content's",
          "[backup]") {
    store_key const key(key_bytes());
    std::mt19937 random(5);
    for (std::size_t const size :
         {0u, 1u, 1000u, 65535u, 65536u, 65537u, 131072u, 131073u, 2'000'000u}) {
        auto const plain = noise(size);
        auto const bytes = sealed(key, plain);
        auto const length = sealed_length::of(bytes.size());
        REQUIRE(length);
        CHECK(length->plain == size);
        auto const file = opened(bytes, key);
        CHECK(file->size() == size);
        CHECK(file->view() == plain);
        for (int i = 0; i < 40; ++i) {
            auto const at = random() % (size + 10), most = random() % 200'000;
            std::string piece(most, '\0');
            piece.resize(file->read(at, piece));
            CHECK(piece == (at < size ? plain.substr(at, most) : std::string()));
        }
    }
    for (std::uint64_t bytes = 0; bytes < sealed_head + sealed_tag; ++bytes)
        CHECK_FALSE(sealed_length::of(bytes));
    for (std::uint64_t more = 1; more <= sealed_tag; ++more)
        CHECK_FALSE(sealed_length::of(sealed_head + sealed_block + more));
}

TEST_CASE("any bit of a sealed file that flips, and any cut, is seen", "[backup]") {
    store_key const key(key_bytes());
    auto const bytes = sealed(key, "the quick brown fox");
    CHECK(complaint(bytes, key).empty());
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        auto bad = bytes;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
        CHECK_FALSE(complaint(bad, key).empty());
    }
    for (std::size_t size = 0; size < bytes.size(); ++size)
        CHECK_FALSE(complaint(bytes.substr(0, size), key).empty());
    for (std::size_t const more : {1u, 15u, 16u, 17u, 100'000u})
        CHECK_FALSE(complaint(bytes + std::string(more, 'x'), key).empty());
}

TEST_CASE("blocks that are swapped, repeated, left out or of another file do not open",
          "[backup]") {
    store_key const key(key_bytes());
    auto const plain = noise(4 * sealed_plain + 100);
    auto const bytes = sealed(key, plain);
    auto const block = [&](std::size_t i) {
        return bytes.substr(sealed_head + i * sealed_block, sealed_block);
    };
    auto const head = bytes.substr(0, sealed_head);
    CHECK(complaint(head + block(0) + block(1) + block(2) + block(3) + block(4), key).empty());
    CHECK(complaint(head + block(0) + block(2) + block(1) + block(3) + block(4), key) ==
          "its encrypted block 1 of 5 is damaged, moved");
    CHECK(complaint(head + block(0) + block(0) + block(2) + block(3) + block(4), key) ==
          "its encrypted block 1 of 5 is damaged, moved");
    CHECK(complaint(head + block(0) + block(2) + block(3) + block(4), key) ==
          "its encrypted block 1 of 4 is damaged, moved");
    CHECK(complaint(head + block(0) + block(1), key) == // cut where a block ends
          "its encrypted block 1 of 2 is damaged, moved, or the file was cut off");
    auto other_salt = salt();
    ++other_salt[3];
    sealer other(key, other_salt);
    auto const foreign = other.seal(plain.substr(0, sealed_plain), false);
    CHECK(complaint(head + foreign + bytes.substr(sealed_head + sealed_block), key) ==
          "its encrypted block 0 of 5 is damaged, moved");
    CHECK(complaint(bytes, store_key(key_bytes(1))) ==
          "is encrypted with another key, or its head is damaged");
    CHECK(complaint("no such file at all, but long enough for one.......", key) ==
          "is no encrypted file, or its head is damaged");
}

TEST_CASE("a key file is for its owner, never replaced, and nothing else is a key", "[backup]") {
    scratch dir;
    auto const file = dir / "key";
    auto const made = store_key::make(file);
    struct stat facts {};
    REQUIRE(::stat(file.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 07777) == 0600);
    CHECK(store_key::load(file).bytes() == made.bytes());
    CHECK(store_key::make(dir / "other").bytes() != made.bytes());
    auto const before = get(file);
    CHECK(thrown([&] { store_key::make(file); }) == std::errc::file_exists);
    CHECK(get(file) == before);
    CHECK(thrown([&] { store_key::load(dir / "missing"); }) ==
          std::errc::no_such_file_or_directory);
    for (auto const& bad :
         {std::string(), std::string("\n"), std::string("hunter2"),
          before.substr(0, before.size() - 2), before.substr(1), std::string(5000, 'x')}) {
        put(dir / "bad", bad);
        try {
            store_key::load(dir / "bad");
            FAIL("taken as a key: " + bad);
        } catch (error const& refused) {
            CHECK(refused.code() == backup::errc::no_key);
            CHECK(std::string(refused.what()).find("hunter2") == std::string::npos);
        }
    }
}

TEST_CASE("an encrypted backup has the plain one inside, and every verb reads it", "[backup]") {
    scratch dir;
    auto const source = dir / "source";
    make_hard_tree(source);
    put(source / "large", noise(3'000'000));
    place const at(dir / "sealed");
    for (int day = 24; day < 27; ++day) {
        auto o = from_to(source, dir / "plain");
        o.now = [day] { return noon(2026, 11, day); };
        back_up(o);
        o.store = at.with();
        o.destination.clear();
        auto const made = back_up(o);
        CHECK(made.errors.empty());
        if (day < 26) put(source / "large", noise(3'000'000, static_cast<unsigned>(day)));
    }
    store_key const key(key_bytes());
    for (auto const& name : names(dir / "plain")) {
        if (name == ".source.lock") continue;
        INFO(name);
        REQUIRE(fs::exists(dir / "sealed" / (name + ".enc")));
        auto const bytes = get(dir / "sealed" / (name + ".enc"));
        CHECK(bytes.find("large") == std::string::npos); // nor any name of a file
        if (name.ends_with(".gz")) CHECK(opened(bytes, key)->view() == get(dir / "plain" / name));
    }
    CHECK(put_back(out_of(at.with(), dir / "out")).errors.empty());
    CHECK(difference(look_at(source), look_at(dir / "out")) == "");
    auto const seen = verify_in(at.with());
    CHECK(seen.errors.empty());
    CHECK(seen.archives == 3);
    offload_pool pool(offload_pool::options{2, "test", nullptr});
    auto body = [&]() -> awaitable<> {
        backup::list_options which;
        which.store = at.with();
        auto const listed = co_await backup::list(pool, which);
        CHECK(listed.size() == 3);
        for (auto const& each : listed) CHECK(each.damage == "");
        std::string content;
        backup::cat_options one;
        one.store = at.with();
        one.path = "large";
        auto take = [&](std::string_view bytes) { content += bytes; };
        co_await backup::cat(pool, one, take);
        CHECK(content == noise(3'000'000, 25));
        backup::diff_options changes;
        changes.store = at.with();
        auto nothing = [](backup::change const&) {};
        auto const found = co_await backup::diff(pool, changes, nothing);
        CHECK(found.added + found.removed + found.changed == 0);
        backup::extract_options alone;
        alone.archives = {dir / "sealed/source_full_20261124.tar.gz.enc"};
        alone.target = dir / "alone";
        alone.key = std::make_shared<store_key const>(key_bytes());
        auto const extracted = co_await backup::extract(pool, alone);
        CHECK(extracted.entries > 10);
        CHECK_FALSE(extracted.corrupt);
    };
    run(body);
    CHECK(fs::exists(dir / "alone/large"));
}

TEST_CASE("without the key, or with another one, it is said so and nothing is made", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 5);
    place const at(dir / "backups");
    back_up(to_store(dir / "source", at.with()));
    auto const before = names(at.folder_);
    auto const plain = backup::local_store(at.folder_);
    using backup::errc;
    struct given {
        std::shared_ptr<backup::store> store;
        errc expected;
    };
    for (auto const& [store, expected] :
         {given{plain, errc::no_key}, given{at.with(1), errc::wrong_key}}) {
        auto named = out_of(store, dir / "out");
        CHECK(thrown([&] { put_back(named); }) == expected);
        named.name = "source";
        CHECK(thrown([&] { put_back(named); }) == expected);
        CHECK(thrown([&] { verify_in(store); }) == expected);
        CHECK(thrown([&] { back_up(to_store(dir / "source", store)); }) == expected);
    }
    CHECK_FALSE(fs::exists(dir / "out"));
    CHECK(names(at.folder_) == before);
    auto const extract_with = [&](std::shared_ptr<store_key const> key) {
        offload_pool pool(offload_pool::options{1, "test", nullptr});
        backup::extract_options o;
        o.archives = {at.folder_ / "source_full_20261124.tar.gz.enc"};
        o.target = dir / "out";
        o.key = std::move(key);
        return thrown([&] {
            auto body = [&]() -> awaitable<> { co_await backup::extract(pool, o); };
            run(body);
        });
    };
    CHECK(extract_with(nullptr) == errc::no_key);
    CHECK(extract_with(std::make_shared<store_key const>(key_bytes(1))) == errc::wrong_key);
    CHECK_FALSE(extract_with(std::make_shared<store_key const>(key_bytes())));
}

TEST_CASE("any bit that flips and any cut in an encrypted place is named", "[backup]") {
    scratch dir;
    make_plain_tree(dir / "source", 30);
    put(dir / "source/large", noise(300'000));
    place const at(dir / "backups");
    back_up(to_store(dir / "source", at.with()));
    std::vector<std::string> files;
    for (auto const& name : names(at.folder_))
        if (name.ends_with(".enc")) files.push_back(name);
    REQUIRE(files.size() == 3);
    bool const everything = std::getenv("TRAWL_LONG") != nullptr;
    std::mt19937 random(11);
    for (int i = 0; i < (everything ? 1000 : 40); ++i) {
        auto const& name = files[random() % files.size()];
        auto const bytes = get(at.folder_ / name);
        auto bad = bytes;
        if (i % 5 == 0)
            bad.resize(random() % bad.size());
        else {
            auto const bit = random() % (bad.size() * 8);
            bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ 1 << bit % 8);
        }
        put(at.folder_ / name, bad);
        auto const seen = verify_in(at.with());
        bool const named = std::any_of(seen.errors.begin(), seen.errors.end(),
                                       [&](auto const& p) { return p.path + ".enc" == name; });
        CHECK(named);
        put(at.folder_ / name, bytes);
    }
    CHECK(verify_in(at.with()).errors.empty());
}
