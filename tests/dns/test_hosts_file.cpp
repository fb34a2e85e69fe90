#include "dns/hosts_file.hpp"
#include "test.hpp"

#include <filesystem>
#include <fstream>
#include <unistd.h>

using namespace std::chrono_literals;
using asio::ip::make_address;
using trawl::dns::detail::hosts_file;
using addresses = std::vector<asio::ip::address>;
using names = std::vector<std::string>;

TEST_CASE("a hosts file is read as libc reads it", "[dns]") {
    auto const table = hosts_file::parse("# loopback\n"
                                         "127.0.0.1\tlocalhost\n"
                                         "::1 localhost ip6-localhost # six\n"
                                         "\n"
                                         "  10.0.0.7 web.example  web\r\n"
                                         "10.0.0.7 also.example web\n"
                                         "10.0.0.300 broken\n"
                                         "nonsense\n"
                                         "10.0.0.9\n"
                                         "10.0.0.8 last");
    CHECK(table.addresses("localhost") ==
          addresses{make_address("127.0.0.1"), make_address("::1")});
    CHECK(table.addresses("LocalHost.") == table.addresses("localhost"));
    CHECK(table.addresses("web") == addresses{make_address("10.0.0.7")});
    CHECK(table.addresses("web.example") == addresses{make_address("10.0.0.7")});
    CHECK(table.addresses("last") == addresses{make_address("10.0.0.8")});
    for (auto absent : {"broken", "nonsense", "# loopback", "six", "", ".", "exampl"})
        CHECK(table.addresses(absent).empty());
    CHECK(table.names(make_address("10.0.0.7")) == names{"web.example", "also.example"});
    CHECK(table.names(make_address("::1")) == names{"localhost"});
    CHECK(table.names(make_address("10.0.0.9")).empty());
}

TEST_CASE("a hosts file that is missing is empty", "[dns]") {
    CHECK(hosts_file::read("/nonexistent/hosts").addresses("localhost").empty());
    CHECK(hosts_file::read("").addresses("localhost").empty());
}

TEST_CASE("a hosts file is read again when it has changed", "[dns]") {
    auto const path =
        std::filesystem::temp_directory_path() / ("trawl-hosts-" + std::to_string(::getpid()));
    auto const write = [&](std::string const& text) { std::ofstream(path) << text; };
    write("10.0.0.1 web\n");
    trawl::dns::detail::watched_hosts hosts(path);
    trawl::time_point const start{1h};
    auto const web = [&](trawl::time_point at) { return hosts.at(at).addresses("web"); };
    CHECK(web(start) == addresses{make_address("10.0.0.1")});
    write("10.0.0.22 web\n");
    CHECK(web(start + 500ms) == addresses{make_address("10.0.0.1")}); // not looked at yet
    CHECK(web(start + 1s) == addresses{make_address("10.0.0.22")});
    std::filesystem::remove(path);
    CHECK(web(start + 2s).empty());
    write("10.0.0.3 web\n");
    CHECK(web(start + 3s) == addresses{make_address("10.0.0.3")});
    std::filesystem::remove(path);
}
