#include "cli/fping_options.hpp"
#include "cli/fping_reference.hpp"
#include "cli/fping_sweep.hpp"
#include "test.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

using namespace std::chrono_literals;
using namespace trawl::cli;
using mode = fping_options::mode;
using words = std::vector<std::string>;

namespace {

words argv(std::string const& line) {
    words all{"fping"};
    std::istringstream in(line);
    for (std::string word; in >> word;) all.push_back(word);
    return all;
}

fping_options read(std::string const& line) {
    auto result = parse_fping(argv(line));
    if (auto* early = std::get_if<fping_exit>(&result))
        FAIL(line << ": " << early->out << early->err);
    return std::get<fping_options>(std::move(result));
}

fping_exit refused(std::string const& line) {
    auto result = parse_fping(argv(line));
    INFO(line);
    REQUIRE(std::holds_alternative<fping_exit>(result));
    return std::get<fping_exit>(result);
}

words targets(std::string const& line, std::string const& input = {}) {
    std::istringstream in(input);
    auto result = fping_targets(read(line), in);
    if (auto* early = std::get_if<fping_exit>(&result)) FAIL(line << ": " << early->err);
    return std::get<words>(result);
}

fping_exit no_targets(std::string const& line) {
    std::istringstream in;
    auto result = fping_targets(read(line), in);
    INFO(line);
    REQUIRE(std::holds_alternative<fping_exit>(result));
    return std::get<fping_exit>(result);
}

/// Only for command lines that send nothing.
trawl::test::ran real(std::string const& line) { return trawl::test::run_fping(line); }
bool is_installed() { return trawl::test::fping_is_installed(); }

} // namespace

TEST_CASE("fping's defaults", "[cli][fping]") {
    auto const o = read("a b");
    CHECK(o.how == mode::reach);
    CHECK(o.words == words{"a", "b"});
    CHECK(o.timeout == 500ms);
    CHECK(o.interval == 10ms);
    CHECK(o.period == 1s);
    CHECK(o.retries == 3);
    CHECK(o.backoff == 1.5);
    CHECK(o.bytes == 56);
    CHECK(o.verdicts);
    CHECK_FALSE(o.each_echo);
    CHECK_FALSE(o.reports());
    CHECK_FALSE(o.file);
    CHECK(read("").file == "-");
}

TEST_CASE("fping takes letters together, values at once, and options behind targets",
          "[cli][fping]") {
    auto const o = read("-qC 5 host -p20 --timeout=30 --retry 2 -- -x");
    CHECK(o.quiet);
    CHECK(o.vector);
    CHECK(o.count == 5);
    CHECK(o.period == 20ms);
    CHECK(o.timeout == 30ms);
    CHECK(o.retries == 2);
    CHECK(o.words == words{"host", "-x"});
    CHECK(read("-c3 h").count == 3);
    CHECK(read("-c 3x h").count == 3);
    CHECK(read("-eAc 3 h").count == 3);
    CHECK(read("-").words == words{"-"}); // a name, as every word that is no option
    CHECK(read("-f - ").file == "-");
    CHECK(read("--alive h").alive);
}

TEST_CASE("every option of fping sets what it names", "[cli][fping]") {
    CHECK(read("-4 -4 h").only == fping_options::family::v4);
    CHECK(read("--ipv6 h").only == fping_options::family::v6);
    CHECK(std::get<fping_options>(parse_fping({"/usr/bin/fping6", "h"})).only ==
          fping_options::family::v6);
    CHECK(read("-A h").addresses);
    CHECK(read("-b 100 h").bytes == 100);
    CHECK(read("-B 2.5 h").backoff == 2.5);
    CHECK(read("-d h").names_of_all);
    CHECK(read("-n h").names_of_addresses);
    CHECK(read("-D h").timestamps);
    CHECK(read("-e h").elapsed);
    CHECK(read("-g 10.0.0.0/30").generate);
    CHECK(read("-H 7 h").hop_limit == 7);
    CHECK(read("-i 0.5 h").interval == 500us);
    CHECK(read("-I eth7 h").interface == "eth7");
    CHECK(read("-k 0x10 h").mark == 16);
    CHECK(read("-m h").all_addresses);
    CHECK(read("-M h").dont_fragment);
    CHECK(read("-N -l -Q 1 h").netdata);
    CHECK(read("-o h").outage);
    CHECK(read("-O 0x20 h").traffic_class == 32);
    CHECK(read("-r -1 h").retries == 0); // fping's %u wraps around, and so does its "+ 1"
    CHECK(read("-R h").random_bytes);
    CHECK(read("-s h").totals);
    CHECK(read("-S 127.0.0.9 h").source->to_string() == "127.0.0.9");
    CHECK(read("-S ::1 h").source->to_string() == "::1");
    CHECK(read("-T 9 h").words == words{"h"});
    CHECK(read("-x 2 h").required == 2);
    CHECK(read("-X 2 h").at_once);
    CHECK(read("-t 1e3 h").timeout == 1s);
    CHECK(read("-t 1e300 h").timeout > 24h);
}

TEST_CASE("with a count fping waits as long as its period, up to two seconds", "[cli][fping]") {
    CHECK(read("-c1 h").timeout == 1s);
    CHECK(read("-c1 -p 20 h").timeout == 20ms);
    CHECK(read("-C1 -p 5000 h").timeout == 2s);
    CHECK(read("-l -p 5000 -t 3000 h").timeout == 3s);
    CHECK(read("-p 5000 h").timeout == 500ms);
}

TEST_CASE("what fping shows follows from its options together", "[cli][fping]") {
    auto const shows = [](std::string const& line) {
        auto const o = read(line + " h");
        return (o.verdicts ? "v" : "") + std::string(o.each_echo ? "e" : "") +
               (o.alive ? "a" : "") + (o.unreachable ? "u" : "") + (o.reports() ? "r" : "");
    };
    CHECK(shows("") == "v");
    CHECK(shows("-e") == "v");
    CHECK(shows("-q") == "");
    CHECK(shows("-a") == "a");
    CHECK(shows("-u") == "u");
    CHECK(shows("-a -q") == "a");
    CHECK(shows("-x 1") == "");
    CHECK(shows("-x 1 -a") == "a");
    CHECK(shows("-c 1") == "e");
    CHECK(shows("-C 1 -q") == "");
    CHECK(shows("-c 1 -a") == ""); // as 5.1 is: -a silences the echoes, and shows nothing itself
    CHECK(shows("-c 1 -Q 1") == "r");
    CHECK(shows("-Q 1") == ""); // without a count there are no summaries
    CHECK(shows("-l") == "e");
    CHECK(shows("-l -q") == "e");
    CHECK(shows("-l -Q 1") == "r");
    CHECK(shows("-l -Q 0") == "e");
    CHECK(shows("-l -u") == "e");
}

TEST_CASE("help and version go to stdout and end with 0", "[cli][fping]") {
    for (auto const* line : {"-h", "--help", "-c1 -h", "-qh h"}) {
        auto const e = refused(line);
        CHECK(e.code == 0);
        CHECK(e.err.empty());
        CHECK(e.out.starts_with("Usage: fping [options] [targets...]\n"));
        // SmokePing looks for these to know what it may ask for.
        CHECK(e.out.find(" -S,") != std::string::npos);
        CHECK(e.out.find(" -O,") != std::string::npos);
    }
    auto const v = refused("-vc");
    CHECK(v.code == 0);
    CHECK(v.out.starts_with("fping: Version 5.1\n"));
}

TEST_CASE("the same mistakes are refused, in fping's words", "[cli][fping]") {
    if (!is_installed()) trawl::test::skip("needs fping 5.1");
    for (std::string const line : {"-Z",
                                   "--foo",
                                   "--foo=3",
                                   "-c",
                                   "--count",
                                   "--alive=3 127.0.0.1",
                                   "--cou 1 127.0.0.1",
                                   "-e1 127.0.0.1",
                                   "-T",
                                   "-a -u 127.0.0.1",
                                   "-c1 -l 127.0.0.1",
                                   "-lc 1",
                                   "-4 -6",
                                   "-6 -4",
                                   "-b 70000 127.0.0.1",
                                   "-b 65489 127.0.0.1",
                                   "-b -1 127.0.0.1",
                                   "-B 9 127.0.0.1",
                                   "-B 0.5 127.0.0.1",
                                   "-H 300 127.0.0.1",
                                   "-S foo",
                                   "-n -d",
                                   "-d -n"}) {
        INFO(line);
        auto const ours = refused(line);
        auto const theirs = real(line);
        CHECK(ours.code == theirs.code);
        CHECK(ours.err == theirs.err);
        CHECK(ours.out.empty());
    }
}

TEST_CASE("where fping answers with its whole usage, one line says what is wrong", "[cli][fping]") {
    for (std::string const line :
         {"--count= h", "-c x h",  "-c 0 h",  "-C -3 h",   "-B 0 h",   "-B x h",
          "-x 0 h",     "-X no h", "-t x h",  "-t -3 h",   "-t nan h", "-i -1 h",
          "-p -1 h",    "-Q x h",  "-Q -1 h", "-O z h",    "-b x h",   "-r x h",
          "-H x h",     "-k 0 h",  "-f x h",  "-f x -g h", "-g"}) {
        INFO(line);
        auto const ours = refused(line);
        CHECK(ours.code == 1);
        CHECK(std::ranges::count(ours.err, '\n') == 2);
        CHECK(ours.err.ends_with("\nsee 'fping -h' for usage information\n"));
        // 5.1 does not know these, or tries what they ask for.
        bool const otherwise = line.starts_with("-X") || line.starts_with("-k") ||
                               line.starts_with("-C") || line.find("nan") != std::string::npos;
        if (is_installed() && !otherwise) CHECK(real(line).code == 1);
    }
}

TEST_CASE("fping's targets come from words, a file or standard input", "[cli][fping]") {
    auto const text = "# comment\n\n  one two\n\tthree\r\n#four\nfive#\nlast";
    words const named{"one", "three", "five#", "last"};
    CHECK(targets("", text) == named);
    CHECK(targets("-f -", text) == named);
    CHECK(targets("x y") == words{"x", "y"});
    auto const file =
        std::filesystem::temp_directory_path() / ("trawl-fping-" + std::to_string(::getpid()));
    std::ofstream(file) << text;
    CHECK(targets("-f " + file.string()) == named);
    std::filesystem::remove(file);
    auto const missing = no_targets("-f /nonexistent/file");
    CHECK(missing.code == 4);
    CHECK(missing.err == "fping: fopen : No such file or directory\n");
}

TEST_CASE("fping -g counts up a network or a range", "[cli][fping]") {
    CHECK(targets("-g 10.1.2.3/30") == words{"10.1.2.1", "10.1.2.2"});
    CHECK(targets("-g 10.1.2.3/31") == words{"10.1.2.2", "10.1.2.3"});
    CHECK(targets("-g 10.1.2.3/32") == words{"10.1.2.3"});
    CHECK(targets("-g 255.255.255.255/31").back() == "255.255.255.255");
    CHECK(targets("-g 10.0.0.255 10.0.1.1") == words{"10.0.0.255", "10.0.1.0", "10.0.1.1"});
    CHECK(targets("-g 127.1 127.0.0.2") == words{"127.0.0.1", "127.0.0.2"});
    CHECK(targets("-g 127.0.0.5 127.0.0.1").empty());
    CHECK(targets("-6 -g 127.0.0.1/31").size() == 2); // which then have no IPv6 address
    CHECK(targets("-g 10.0.0.0 10.1.134.160").size() == 100001);
    CHECK(targets("-g 10.0.0.0/15").size() == 131070);
}

TEST_CASE("fping -g refuses in fping's words", "[cli][fping]") {
    auto const same = [](std::string const& line) {
        auto const ours = no_targets(line);
        CHECK(ours.code == 1);
        if (is_installed()) CHECK(ours.err == real(line).err);
    };
    for (auto const* line :
         {"-g ::1 ::2", "-g 127.0.0.1 ::2", "-g ::1/120", "-g 127.0.0.1/0", "-g 127.0.0.1/33",
          "-g 127.0.0.1/x", "-g abc/3", "-g abc 127.0.0.1", "-g 127.0.0.1 abc", "-4 -g ::1/120",
          "-6 -g ::1 ::2", "-g 127.0.0.0 127.255.0.0"})
        same(line);
    CHECK(no_targets("-g 127.0.0.1").code == 1);
    CHECK(no_targets("-g 1 2 3").code == 1);
    CHECK(no_targets("-g 127.0.0.0/7").err == "fping: -g parameter generates too many addresses\n");
}

TEST_CASE("fping's exit codes", "[cli][fping]") {
    auto const all = read("h"), some = read("-x 2 h");
    CHECK(fping_exit_code(all, 3, 3, 0) == 0);
    CHECK(fping_exit_code(all, 3, 2, 0) == 1);
    CHECK(fping_exit_code(all, 3, 3, 1) == 2);
    CHECK(fping_exit_code(all, 0, 0, 0) == 1);
    CHECK(fping_exit_code(all, 0, 0, 1) == 2);
    CHECK(fping_exit_code(some, 3, 2, 1) == 0);
    CHECK(fping_exit_code(some, 3, 1, 0) == 1);
    CHECK(fping_exit_code(some, 0, 0, 1) == 2);
}

TEST_CASE("a command is fping's by its name or by trawl ping --fping", "[cli][fping]") {
    CHECK(fping_command({"fping", "-a"}) == words{"fping", "-a"});
    CHECK(fping_command({"/usr/sbin/fping6"}) == words{"/usr/sbin/fping6"});
    CHECK(fping_command({"trawl", "ping", "--fping", "-c1", "h"}) == words{"fping", "-c1", "h"});
    CHECK(fping_command({"trawl", "ping", "--fping"}) == words{"fping"});
    for (auto const& other : {words{},
                              {"trawl"},
                              {"trawl", "ping", "h", "--fping"},
                              {"fping/trawl", "ping"},
                              {"trawl", "ssh", "--fping"},
                              {""}})
        CHECK_FALSE(fping_command(other));
}

TEST_CASE("fping's options become those of the engine", "[cli][fping]") {
    auto const plain = sweep_options(read("h"));
    CHECK(plain.timeout == 500ms);
    CHECK(plain.retries == 3);
    CHECK(plain.backoff == 1.5);
    CHECK(plain.count == 1);
    CHECK(plain.rate == Approx(100));
    CHECK(plain.every_echo);
    auto const counted = sweep_options(read("-c 5 -p 20.5 -i 0 -r 7 h"));
    CHECK(counted.count == 5);
    CHECK(counted.retries == 0);
    CHECK(counted.backoff == 1);
    CHECK(counted.interval == 21ms);
    CHECK(counted.timeout == 21ms);
    CHECK(counted.rate == 0);
    CHECK(sweep_options(read("-l h")).count == 0);
    CHECK(sweep_options(read("-t 0 h")).timeout == 1ms);

    auto const sent = pinger_options(read("-b 65488 -R -H 3 -O 8 -M -S 127.0.0.3 -I lo -k 5 h"));
    CHECK(sent.payload == 65488);
    CHECK(sent.random_payload);
    CHECK(sent.hop_limit == 3);
    CHECK(sent.traffic_class == 8);
    CHECK(sent.dont_fragment);
    CHECK(sent.source == asio::ip::make_address("127.0.0.3"));
    CHECK(sent.interface == "lo");
    CHECK(sent.mark == 5);
    CHECK(pinger_options(read("h")).payload == 56);
}
