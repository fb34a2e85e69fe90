// Connections that are cut in the middle of copies, at bytes that a seed chooses.
#include "descriptors.hpp"
#include "ssh/behind_proxy.hpp"

#include <trawl/sftp.hpp>

#include <random>

using namespace trawl;
using namespace trawl::test;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t biggest = 400'000;

/// A tree, what stood in its place before, and copies of it over connections that break.
class campaign {
public:
    campaign(bool up, bool resume, unsigned seed) : up_(up), chance_(seed) {
        how_.recursive = how_.preserve = true;
        how_.resume = resume;
        for (std::size_t i = 0; i < 12; ++i) {
            auto const name = "f" + std::to_string(i);
            std::string bytes(i == 3 ? biggest : i * 1000, '\0');
            for (auto& c : bytes) c = static_cast<char>(chance_());
            new_[name] = std::move(bytes);
        }
        fs::create_directories(folder_ / "from");
        for (auto const& [name, bytes] : new_) write_text(folder_ / "from" / name, bytes);
    }

    void run() {
        auto next = [this] { return fault_; };
        auto body = [this](ssh::options login, faulty_proxy& proxy) -> awaitable<> {
            co_await copy(login); // opens what stays open
            co_await settle(proxy);
            auto const before = open_descriptors();
            for (int round = 0; round < 15; ++round) {
                start_over();
                // Behind the key exchange; some of them after the end of the copy.
                std::uniform_int_distribution<std::size_t> any(2'000, biggest + 200'000);
                bool const data = round % 4 != 0; // else the direction of the answers
                fault_ = {faulty_proxy::kind::cut, data != up_,
                          data ? any(chance_) : 2'000 + 97u * unsigned(round)};
                INFO("cut after " << fault_.after << " bytes");
                co_await copy(login);
                co_await settle(proxy);
                check();
                CHECK(open_descriptors() == before);
            }
            fault_ = {};
            co_await copy(login);
        };
        behind_proxy(server(), next, body);
        for (auto const& [name, bytes] : new_) CHECK((read_text(folder_ / "to" / name) == bytes));
        CHECK(failed_ > 5);
        CHECK(whole_ >= 2);
    }

private:
    void start_over() {
        fs::remove_all(folder_ / "to");
        fs::create_directories(folder_ / "to");
        for (auto const* name : {"f3", "f5"}) write_text(folder_ / "to" / name, "old");
    }

    awaitable<> copy(ssh::options login) {
        auto const from = folder_ / "from", to = folder_ / "to";
        try {
            ssh::session host(co_await asio::this_coro::executor, login);
            co_await host.connect();
            auto files = co_await sftp::open(host);
            if (up_)
                co_await files.put(from, to.string(), how_);
            else
                co_await files.get(from.string(), to, how_);
            ++whole_;
        } catch (trawl::error const& thrown) {
            INFO(thrown.what());
            CHECK(thrown.code().category() == ssh::category());
            ++failed_;
        }
    }

    /// Until the proxy has let go of the connection.
    static awaitable<> settle(faulty_proxy& proxy) {
        while (proxy.open() > 0) co_await sleep_for(1ms);
    }

    /// Every name stands for the old file or the new one.
    void check() {
        for (auto const& file : fs::directory_iterator(folder_ / "to")) {
            auto const name = file.path().filename().string();
            // What a broken connection leaves on the server has a name that says so; here nothing
            // is left but what is to be gone on with.
            if (name.starts_with(".")) {
                CHECK(name.find(".trawl-") != name.npos);
                CHECK((up_ || how_.resume));
                continue;
            }
            INFO(name);
            auto const bytes = read_text(file.path());
            CHECK((bytes == new_.at(name) || bytes == "old"));
        }
    }

    scratch folder_;
    bool up_;
    std::minstd_rand chance_;
    sftp::transfer_options how_;
    std::map<std::string, std::string> new_;
    faulty_proxy::fault fault_;
    std::size_t whole_ = 0, failed_ = 0;
};

} // namespace

TEST_CASE("a copy that is cut at any byte leaves old files or new ones, and nothing open",
          "[sftp][faults]") {
    unsigned seed = 1;
    for (bool const up : {true, false})
        for (bool const resume : {false, true}) {
            INFO((up ? "put" : "get") << (resume ? " with resume" : "") << ", seed " << seed);
            campaign(up, resume, seed++).run();
        }
}
