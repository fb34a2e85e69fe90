#include "cli/output.hpp"
#include "test.hpp"

using trawl::cli::escaped;

TEST_CASE("control characters of remote output are shown, not obeyed", "[cli]") {
    CHECK(escaped("plain\ttext\n") == "plain\ttext\n");
    CHECK(escaped("\x1b[2J\r\x07") == "\\x1b[2J\\x0d\\x07");
    CHECK(escaped("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f") ==
          "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x9f");
    CHECK(escaped("\xc2\x9b"
                  "2J") == "\\xc2\\x9b"
                           "2J");
    CHECK(escaped("\xff\xc3") == "\\xff\\xc3");
    CHECK(escaped("") == "");
}
