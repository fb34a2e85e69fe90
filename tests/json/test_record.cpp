#include "json/record.hpp"
#include "test.hpp"

using namespace std::chrono_literals;
using trawl::json::record;

TEST_CASE("a record begins with version, type and verb and keeps the order of its fields",
          "[json]") {
    auto const line = record("host", "ping").field("target", "10.0.0.1").field("sent", 2).line();
    CHECK(line == R"({"v":1,"type":"host","verb":"ping","target":"10.0.0.1","sent":2})");
}

TEST_CASE("bytes that are not UTF-8 become base64 in an object", "[json]") {
    CHECK(record("x", "y").field("s", std::string("\xff\x00z", 3)).line() ==
          R"({"v":1,"type":"x","verb":"y","s":{"b64":"/wB6"}})");
    for (auto bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\x80"})
        CHECK(trawl::json::text(bad).is_object());
    for (auto good : {"", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x9f"})
        CHECK(trawl::json::text(good).is_string());
}

TEST_CASE("durations are seconds and an absent one is null", "[json]") {
    CHECK(trawl::json::seconds(1500ms).as_double() == 1.5);
    CHECK(trawl::json::seconds(std::nullopt).is_null());
}

TEST_CASE("times are RFC 3339 in UTC", "[json]") {
    auto const moment = std::chrono::system_clock::time_point(1'700'000'000s + 45ms);
    CHECK(trawl::json::time(moment).as_string() == "2023-11-14T22:13:20.045Z");
}

TEST_CASE("a zero and a null are what they are", "[json]") {
    auto const line =
        record("x", "y").field("n", 0).field("none", nullptr).field("no", false).line();
    CHECK(line == R"({"v":1,"type":"x","verb":"y","n":0,"none":null,"no":false})");
}
