// Names to addresses: trawl::dns::resolver beside bare c-ares on the same loop, against one server.
//
//     bench-dns SERVER NAMES [WINDOW [ROUNDS]]      SERVER: ADDR:PORT, NAMES: a file, a name a line
//
// Medians of the rounds; in each every row runs once. CPU is that of this process.
#include <trawl/dns.hpp>
#include <trawl/task_group.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include <ares.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using trawl::awaitable;
using names = std::vector<std::string>;

struct outcome {
    double seconds = 0, cpu = 0;
    std::size_t answered = 0, questions = 0;
};

double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    auto const in_seconds = [](timeval t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return in_seconds(used.ru_utime) + in_seconds(used.ru_stime);
}

// ---- c-ares, as its manual says ----

class bare {
public:
    bare(asio::io_context& io, std::string const& server, names const& all, std::size_t window)
        : io_(io), timer_(io), all_(all), window_(window) {
        ares_options options{};
        char lookups[] = "b";
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_STAYOPEN;
        options.timeout = 2000;
        options.tries = 4;
        options.lookups = lookups;
        options.socket_receive_buffer_size = 4 << 20;
        options.sock_state_cb = [](void* self, ares_socket_t s, int readable, int) {
            static_cast<bare*>(self)->watch(s, readable);
        };
        options.sock_state_cb_data = this;
        ares_init_options(&channel_, &options,
                          ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                              ARES_OPT_SOCK_RCVBUF | ARES_OPT_SOCK_STATE_CB);
        ares_set_servers_ports_csv(channel_, server.c_str());
    }
    ~bare() { ares_destroy(channel_); }

    std::size_t run() {
        pump();
        tick();
        io_.run();
        return answered_;
    }

private:
    void watch(ares_socket_t s, int readable) {
        if (!readable) {
            if (auto const found = sockets_.find(s); found != sockets_.end())
                found->second->release(), sockets_.erase(found);
        } else if (!sockets_.contains(s)) {
            sockets_[s] = std::make_shared<asio::posix::stream_descriptor>(io_, s);
            wait(s, sockets_[s]);
        }
    }
    void wait(ares_socket_t s, std::shared_ptr<asio::posix::stream_descriptor> on) {
        auto then = [this, s, on](std::error_code failure) {
            if (failure || !sockets_.contains(s)) return;
            ares_process_fd(channel_, s, ARES_SOCKET_BAD);
            pump();
            if (sockets_.contains(s)) wait(s, on);
        };
        on->async_wait(asio::posix::descriptor_base::wait_read, std::move(then));
    }
    void tick() {
        timer_.expires_after(std::chrono::milliseconds(50));
        timer_.async_wait([this](std::error_code failure) {
            if (failure) return;
            ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            pump();
            if (ended_ < all_.size()) tick();
        });
    }
    void pump() {
        while (next_ < all_.size() && next_ - ended_ < window_)
            ares_query(channel_, all_[next_++].c_str(), 1, 1, &bare::done, this);
        if (ended_ == all_.size()) io_.stop();
    }
    static void done(void* self, int status, int, unsigned char*, int) {
        auto& me = *static_cast<bare*>(self);
        ++me.ended_;
        me.answered_ += status == ARES_SUCCESS;
    }

    asio::io_context& io_;
    asio::steady_timer timer_;
    names const& all_;
    std::size_t window_, next_ = 0, ended_ = 0, answered_ = 0;
    ares_channel channel_ = nullptr;
    std::map<ares_socket_t, std::shared_ptr<asio::posix::stream_descriptor>> sockets_;
};

// ---- trawl ----

template <class Ask>
std::size_t ask_all(asio::io_context& io, names const& all, std::size_t window, Ask ask) {
    std::size_t next = 0, answered = 0;
    auto some = [&]() -> awaitable<> {
        while (next < all.size()) {
            auto const& name = all[next++];
            bool const found = co_await ask(name);
            answered += found;
        }
    };
    auto body = [&](trawl::task_group& group) -> awaitable<> {
        for (std::size_t i = 0; i < std::min(window, all.size()); ++i) group.spawn(some());
        co_return;
    };
    auto everything = [&]() -> awaitable<> { co_await trawl::with_group(body); };
    asio::co_spawn(io, everything, [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
    return answered;
}

trawl::dns::resolver::options options(std::string const& server, std::size_t window) {
    trawl::dns::resolver::options how;
    how.servers = {server};
    how.in_flight = window;
    how.search = false;
    how.cached = 0;
    return how;
}

template <class Run>
outcome measure(std::size_t questions, Run run) {
    asio::io_context io(1);
    auto const began = trawl::clock::now();
    auto const cpu = cpu_seconds();
    auto const answered = run(io);
    std::chrono::duration<double> const took = trawl::clock::now() - began;
    return {took.count(), cpu_seconds() - cpu, answered, questions};
}

void print(char const* title, std::vector<outcome> rounds) {
    std::size_t fewest = ~std::size_t{0};
    for (auto const& one : rounds) fewest = std::min(fewest, one.answered);
    auto const median = [&](auto key) {
        std::ranges::sort(rounds, {}, key);
        return key(rounds[rounds.size() / 2]);
    };
    auto const questions = static_cast<double>(rounds[0].questions);
    fmt::print("{:36} {:9.0f} {:13.2f} {:9}\n", title,
               questions / median([](outcome const& o) { return o.seconds; }),
               median([](outcome const& o) { return o.cpu; }) * 1e6 / questions, fewest);
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("bench-dns SERVER NAMES [WINDOW [ROUNDS]]\n", stderr);
        return 2;
    }
    std::string const server = argv[1];
    std::size_t const window = argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 1000;
    int const rounds = argc > 4 ? std::atoi(argv[4]) : 5;
    ares_library_init(ARES_LIB_INIT_ALL);
    names all;
    std::ifstream file(argv[2]);
    for (std::string line; std::getline(file, line);) all.push_back(line);

    std::vector<outcome> of_bare, of_look_up, of_addresses;
    for (int i = 0; i < rounds; ++i) {
        of_bare.push_back(measure(all.size(), [&](asio::io_context& io) {
            bare peer(io, server, all, window);
            return peer.run();
        }));
        of_look_up.push_back(measure(all.size(), [&](asio::io_context& io) {
            trawl::dns::resolver dns(io.get_executor(), options(server, window));
            return ask_all(io, all, window, [&](std::string const& name) -> awaitable<bool> {
                auto const found = co_await dns.look_up(name, trawl::dns::type::a);
                co_return found.status == trawl::dns::status::answered;
            });
        }));
        of_addresses.push_back(measure(2 * all.size(), [&](asio::io_context& io) {
            trawl::dns::resolver dns(io.get_executor(), options(server, window));
            return ask_all(io, all, window, [&](std::string const& name) -> awaitable<bool> {
                auto const found = co_await dns.addresses(name);
                co_return !found.empty();
            });
        }));
    }
    fmt::print("{:36} {:>9} {:>13} {:>9}\n", "", "questions", "CPU us each", "answered");
    fmt::print("{:36} {:>9}\n", "", "a second");
    print("bare ares_query", std::move(of_bare));
    print("resolver::look_up", std::move(of_look_up));
    print("resolver::addresses, A and AAAA", std::move(of_addresses));
}
