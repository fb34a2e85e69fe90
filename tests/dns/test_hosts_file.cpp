#include "dns/hosts_file.hpp"
#include "test.hpp"

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
