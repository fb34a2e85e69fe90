// Every parser of a stranger's bytes against its corpus and seeded mutations of that. Without
// libFuzzer, so that every compiler and sanitizer of CI runs it; run.sh searches deeper.
#include "fuzz/entries.hpp"
#include "test.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using trawl::fuzz::entry;

std::vector<std::string> corpus_of(entry const& e) {
    auto const* const source = std::getenv("TRAWL_SOURCE");
    auto const folder = fs::path(source ? source : ".") / "tests/fuzz/corpus" / e.name;
    std::vector<fs::path> paths;
    for (auto const& file : fs::directory_iterator(folder)) paths.push_back(file.path());
    std::ranges::sort(paths); // equal seeds give equal runs
    std::vector<std::string> corpus;
    for (auto const& path : paths) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return corpus;
}

/// Equal seeds give equal inputs.
class mutator {
public:
    mutator(std::vector<std::string> const& corpus, std::uint32_t seed)
        : corpus_(corpus), chance_(seed) {}

    std::string operator()() {
        auto text = corpus_[below(corpus_.size())];
        for (auto steps = 1 + below(4); steps > 0; --steps) step(text);
        return text;
    }

private:
    std::size_t below(std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(chance_);
    }

    void step(std::string& text) {
        auto const at = below(text.size() + 1);
        auto const length = std::min(text.size() - at, std::size_t{1} << below(7));
        auto const& other = corpus_[below(corpus_.size())];
        auto const from = below(other.size() + 1);
        switch (below(6)) {
        case 0: // flip a bit
            if (length > 0) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
            return;
        case 1: // a byte that grammars care about
            if (length > 0) text[at] = special[below(special.size())];
            return;
        case 2: text.erase(at, length); return;
        case 3: text.insert(at, text.substr(at, length)); return;
        case 4: text.resize(at); return;
        default: text.replace(at, length, other, from, std::size_t{1} << below(7)); return;
        }
    }

    static constexpr std::string_view special{"\0\xff\x7f\r\n\t \"\\,;:-./%@![]{}<>=*?#|09", 32};
    std::vector<std::string> const& corpus_;
    std::mt19937 chance_;
};

std::string printable(std::string_view bytes) {
    std::string out;
    for (unsigned char c : bytes.substr(0, 2000))
        if (c < ' ' || c > '~' || c == '\\')
            out += fmt::format("\\x{:02x}", c);
        else
            out += static_cast<char>(c);
    return out;
}

void attack(std::string_view name) {
    auto const all = trawl::fuzz::entries();
    auto const found = std::ranges::find(all, name, &entry::name);
    REQUIRE(found != all.end());
    auto const corpus = corpus_of(*found);
    REQUIRE(!corpus.empty());
    auto const run = [&](std::string const& input) {
        try {
            found->run(input);
        } catch (std::exception const& e) {
            FAIL(name << ": " << e.what() << ": \"" << printable(input) << '"');
        }
    };
    for (auto const& input : corpus) run(input);
    mutator next(corpus, 1);
    for (int left = std::getenv("TRAWL_LONG") ? 800000 : 8000; left > 0; --left) run(next());
    SUCCEED();
}

} // namespace

TEST_CASE("mutated ICMP packets break no property of the parser", "[fuzz]") { attack("icmp"); }
TEST_CASE("mutated target texts break no property of the grammar", "[fuzz]") { attack("targets"); }
TEST_CASE("mutated server replies break no property of the SMTP client", "[fuzz]") {
    attack("smtp");
}
TEST_CASE("mutated header values forge no header of a mail", "[fuzz]") { attack("mime"); }
TEST_CASE("mutated known_hosts lines break no property of the parser", "[fuzz]") {
    attack("known_hosts");
}
TEST_CASE("mutated manifests are refused or read back as themselves", "[fuzz]") {
    attack("manifest");
}
TEST_CASE("mutated DNS answers break no property of the reader", "[fuzz]") { attack("dns"); }
TEST_CASE("mutated OpenSSH configurations break no property of the reader", "[fuzz]") {
    attack("ssh_config");
}
TEST_CASE("mutated server packets break no property of the SFTP parser", "[fuzz]") {
    attack("sftp");
}
TEST_CASE("mutated mails survive being read and written", "[fuzz]") { attack("mail"); }
TEST_CASE("mutated files of a spool are refused or mean what they say", "[fuzz]") {
    attack("spool");
}
TEST_CASE("mutated MTA-STS policies break no property of their readers", "[fuzz]") {
    attack("sts");
}
#if TRAWL_FUZZ_SERVICE
TEST_CASE("mutated requests and jobs break no property of the service's readers", "[fuzz]") {
    attack("service");
}
#endif
