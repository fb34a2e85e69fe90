#pragma once

#include <trawl/detail/parking.hpp>
#include <trawl/dns.hpp>
#include <trawl/limiter.hpp>

#include <asio/any_io_executor.hpp>

#include <ares.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace trawl::dns::detail {

/// Record types (RFC 1035 §3.2.2, RFC 3596).
enum class type { a = 1, ptr = 12, aaaa = 28 };

/// One question and, once it is `done`, its answer. c-ares holds a reference until it has called
/// back.
struct question {
    explicit question(limiter::ticket place) : slot(std::move(place)) {}
    limiter::ticket slot; // given back when the answer is there, not when the asker loses interest
    bool done = false;
    int status = 0; // ARES_...
    std::vector<unsigned char> answer;
    trawl::detail::waiter_list askers;
};

/// A c-ares 1.18 channel on Asio.
///
/// c-ares calls back from inside its own functions, sometimes before ares_query returns; here a
/// callback only stores the answer and wakes the asker, whose coroutine resumes from the loop.
/// There is no timer: an asker wakes up when its question is due for another try and lets c-ares
/// look at the clock. When the last asker has gone, the questions that nobody waits for any more
/// are cancelled, which closes the sockets.
class channel : public std::enable_shared_from_this<channel> {
public:
    channel(asio::any_io_executor executor, resolver::options const& configuration);
    ~channel() { close(); }

    /// Ends every question with ARES_EDESTRUCTION.
    void close() noexcept;

    /// Keeps the channel working while an asker lives.
    class interest {
    public:
        explicit interest(std::shared_ptr<channel> owner) : owner_(std::move(owner)) {
            ++owner_->interested_;
        }
        interest(interest const&) = delete;
        interest& operator=(interest const&) = delete;
        ~interest() { owner_->leave(); }

    private:
        std::shared_ptr<channel> owner_;
    };

    /// Waits for a place among options.in_flight and sends the question. The caller holds an
    /// `interest`.
    awaitable<std::shared_ptr<question>> ask(std::string name, type wanted);
    /// Waits for the answer; false when `deadline` passed first.
    awaitable<bool> wait(std::shared_ptr<question> asked, time_point deadline);

    /// The search list of resolv.conf and the number of dots that make a name absolute
    /// (resolv.conf(5)).
    std::vector<std::string> const& search() const noexcept { return search_; }
    int dots() const noexcept { return dots_; }
    std::size_t in_flight() const noexcept { return places_.in_use(); }

private:
    struct watch;
    static void answered(void* asked, int status, int timeouts, unsigned char* bytes, int size);
    static void watch_socket(void* self, ares_socket_t socket, int readable, int writable);
    void arm(std::shared_ptr<watch> const& on, bool writing);
    void open(resolver::options const& configuration, int flags);
    void leave() noexcept;
    void set_servers(std::vector<std::string> const& servers);
    void read_configuration();

    asio::any_io_executor executor_;
    duration retry_;
    limiter places_;
    ares_channel handle_ = nullptr;
    std::map<ares_socket_t, std::shared_ptr<watch>> watched_;
    std::size_t interested_ = 0;
    std::vector<std::string> search_;
    int dots_ = 1;
    std::size_t servers_ = 0;
};

} // namespace trawl::dns::detail
