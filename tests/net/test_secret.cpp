#include "test.hpp"

#include <trawl/error.hpp>
#include <trawl/net.hpp>

#include <filesystem>
#include <fstream>
#include <new>
#include <type_traits>

#include <cstdlib>
#include <unistd.h>

namespace net = trawl::net;

namespace {

class file {
public:
    explicit file(std::string const& content) {
        std::string name =
            (std::filesystem::temp_directory_path() / "trawl-secret-XXXXXX").string();
        auto const descriptor = mkstemp(name.data());
        REQUIRE(descriptor >= 0);
        close(descriptor);
        path = name;
        std::ofstream(path) << content;
    }
    ~file() { std::filesystem::remove(path); }
    std::filesystem::path path;
};

std::string read(std::string const& content) {
    file const with(content);
    auto const found = net::read_secret_file(with.path);
    CHECK(found.c_str()[found.size()] == '\0');
    return std::string(found.view());
}

std::error_code failure(std::filesystem::path const& path) {
    try {
        net::read_secret_file(path);
    } catch (trawl::error const& e) {
        CHECK(e.where() == "secret file " + path.string());
        CHECK(e.said().empty());
        return e.code();
    }
    return {};
}

} // namespace

TEST_CASE("a secret moves and never copies", "[net]") {
    static_assert(!std::is_copy_constructible_v<net::secret>);
    static_assert(!std::is_copy_assignable_v<net::secret>);
    static_assert(std::is_nothrow_move_constructible_v<net::secret>);
    net::secret one(std::string("hunter2"));
    auto const* bytes = one.view().data();
    net::secret two(std::move(one));
    CHECK(two.view() == "hunter2");
    CHECK(two.view().data() == bytes);
    CHECK(one.empty());
    CHECK(one.view().empty());
    CHECK(*one.c_str() == '\0');
    one = std::move(two);
    CHECK(one.view() == "hunter2");
    CHECK(net::secret().empty());
}

TEST_CASE("a secret overwrites what it was made of", "[net]") {
    for (std::size_t size : {1u, 7u, 15u, 16u, 40u}) {
        std::string source(size, 'x');
        auto const* bytes = source.data();
        net::secret const kept(std::move(source));
        CHECK(kept.view() == std::string(size, 'x'));
        CHECK(source.empty());
        CHECK(source.data() == bytes); // still the string's own memory, so it may be looked at
        CHECK(std::string_view(bytes, size).find('x') == std::string_view::npos);
    }
}

TEST_CASE("the first line of a file is the secret", "[net]") {
    CHECK(read("hunter2") == "hunter2");
    CHECK(read("hunter2\n") == "hunter2");
    CHECK(read("hunter2\r\nsecond\n") == "hunter2");
    CHECK(read("  two words \nx") == "  two words ");
    CHECK(read("p\xc3\xa4ss\n") == "p\xc3\xa4ss");
    CHECK(read("a\rb\n") == "a\rb");
    std::string const longest(net::max_secret, 'k');
    CHECK(read(longest) == longest);
    CHECK(read(longest + "\n") == longest);
    CHECK(read(longest + "\r\n") == longest);
}

TEST_CASE("a secret file that is no use says why and shows nothing of it", "[net]") {
    CHECK(failure("/nonexistent/secret") == std::errc::no_such_file_or_directory);
    CHECK(failure("/") == std::errc::is_a_directory);
    file const empty(""), blank("\nsecond\n"), huge(std::string(net::max_secret + 1, 'k'));
    CHECK(failure(empty.path) == net::errc::empty_secret);
    CHECK(failure(blank.path) == net::errc::empty_secret);
    CHECK(failure(huge.path) == net::errc::secret_too_long);
}
