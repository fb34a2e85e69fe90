#include "cli/targets.hpp"
#include "test.hpp"

#include <trawl/error.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

namespace targets = trawl::targets;
using trawl::cli::read_targets;

namespace {

using texts = std::vector<std::string>;

texts all(targets::list const& list) {
    texts found;
    targets::cursor walk(list);
    while (auto target = walk.next()) found.push_back(target->to_string());
    return found;
}

// A file of its own that is gone at the end of the case.
class file {
public:
    explicit file(std::string const& content) {
        std::string name =
            (std::filesystem::temp_directory_path() / "trawl-targets-XXXXXX").string();
        auto const descriptor = mkstemp(name.data());
        REQUIRE(descriptor >= 0);
        close(descriptor);
        path_ = name;
        std::ofstream(path_) << content;
    }
    ~file() { std::filesystem::remove(path_); }
    std::string path() const { return path_; }
    std::string word() const { return "@" + path_; }

private:
    std::string path_;
};

// Feeds `content` to std::cin for the case.
class standard_input {
public:
    explicit standard_input(std::string const& content)
        : content_(content), before_(std::cin.rdbuf(content_.rdbuf())) {
        std::cin.clear();
    }
    ~standard_input() {
        std::cin.rdbuf(before_);
        std::cin.clear();
    }

private:
    std::istringstream content_;
    std::streambuf* before_;
};

std::string complaint(texts const& words, texts const& excludes = {}) {
    try {
        read_targets(words, excludes);
    } catch (trawl::error const& e) {
        return e.what();
    }
    return "accepted";
}

} // namespace

TEST_CASE("words, files and standard input are read in the order they were given", "[cli]") {
    file const list("10.0.0.2 10.0.0.3 # two\n\n# a comment\n  web.example,n[1-2]:22\r\nlast");
    standard_input const in("10.0.0.9\n#10.0.0.10\n");
    CHECK(all(read_targets({"10.0.0.1", list.word(), "-", "10.0.0.1-4"})) ==
          texts{"10.0.0.1", "10.0.0.2", "10.0.0.3", "web.example", "n1:22", "n2:22", "last",
                "10.0.0.9", "10.0.0.4"});
}

TEST_CASE("excludes may be words, files and standard input too", "[cli]") {
    file const list("10.0.0.1\n10.0.0.2 # gone\n");
    standard_input const in("10.0.0.0\n");
    CHECK(all(read_targets({"10.0.0.0/29"}, {list.word(), "10.0.0.4-7", "-"})) ==
          texts{"10.0.0.3"});
    CHECK(read_targets({"10.0.0.1"}, {"10.0.0.1"}).empty());
    CHECK(read_targets({}).empty());
}

TEST_CASE("a bad target is found by its word or by file, line and column", "[cli]") {
    CHECK(complaint({"10.0.0.1", "10.0.0.256"}).find("target 2, column 8: ") == 0);
    CHECK(complaint({"10.0.0.1"}, {"a", "b", "-c"}).find("exclude 3, column 1: ") == 0);
    file const list("# hosts\n10.0.0.1\n10.0.0.2  10.0.0.300 # far\n");
    CHECK(complaint({list.word()}).find(list.path() + ":3:18: ") == 0);
    file const nested("@other\n");
    CHECK(complaint({nested.word()}).find(nested.path() + ":1:1: ") == 0);
    standard_input const in("\n\nx..y\n");
    CHECK(complaint({"-"}).find("stdin:3:3: ") == 0);
}

TEST_CASE("what cannot be read says why", "[cli]") {
    CHECK(complaint({"@/nonexistent/list"}) ==
          "target 1, /nonexistent/list: No such file or directory");
    CHECK(complaint({"@/"}).find("Is a directory") != std::string::npos);
    CHECK(complaint({"a", "@"}).find("target 2: ") == 0);
    CHECK(complaint({""}).find("target 1: ") == 0);
    CHECK(complaint({" , "}).find("target 1: ") == 0);
    standard_input const in("10.0.0.1\n");
    CHECK(complaint({"-", "-"}).find("target 2: ") == 0);
}
