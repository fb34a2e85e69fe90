#include "ssh/sftp_connection.hpp"

#include <algorithm>

namespace trawl::sftp::detail {
namespace {

constexpr std::size_t smallest_block = 4096;

/// What `block` may be where the server names a limit (0: none).
std::size_t within_limit(std::size_t block, std::uint64_t limit) {
    auto const most = std::min<std::uint64_t>(limit ? limit : block, longest_packet - 1024);
    return std::max(smallest_block, std::min<std::size_t>(block, most));
}

} // namespace

connection::connection(std::unique_ptr<ssh::detail::byte_stream> stream, options how)
    : stream_(std::move(stream)), how_(std::move(how)), pool_(how_.blocking),
      budget_(std::max<std::size_t>(how_.requests, 1)), read_size_(within_limit(how_.block, 0)),
      write_size_(read_size_) {
    if (!pool_) {
        own_pool_ = std::make_unique<offload_pool>(
            offload_pool::options{.threads = 2, .name = "trawl-sftp"});
        pool_ = own_pool_.get();
    }
    stream_->received = [this](std::string_view bytes) { take_bytes(bytes); };
    stream_->ended = [this](std::exception_ptr why) { break_off(std::move(why)); };
}

connection::~connection() {
    stream_->received = nullptr;
    stream_->ended = nullptr;
}

// --- what arrives ---

void connection::take_bytes(std::string_view bytes) {
    if (broken_) return;
    heard_ = clock::now();
    auto const whole = [this](std::string packet) { take_packet(std::move(packet)); };
    if (!packets_.feed(bytes, whole))
        break_off(std::make_exception_ptr(
            failed(errc::protocol, "read", {}, "a packet of a length that none has")));
}

void connection::take_packet(std::string packet) {
    if (broken_) return;
    if (!greeted_) {
        auto seen = parse_version(packet);
        if (!seen || seen->number < 3)
            return break_off(std::make_exception_ptr(
                failed(errc::protocol, "start", {}, "the server does not speak version 3")));
        server_ = std::move(*seen);
        greeted_ = true;
        greeting_.wake_all();
        return;
    }
    auto answer = parse_reply(std::move(packet));
    auto const found = answer ? flights_.find(answer->id) : flights_.end();
    if (found == flights_.end())
        return break_off(std::make_exception_ptr(
            failed(errc::protocol, "read", {}, "an answer to nothing that was asked")));
    auto* const place = found->second;
    flights_.erase(found);
    if (!place) return close_unclaimed(*answer);
    place->answer = std::move(answer);
    place->waiting.wake_all();
}

/// A handle that nobody waits for any more would stay open on the server.
void connection::close_unclaimed(detail::reply const& late) {
    if (auto const handle = parse_handle(late))
        start_and_forget(request(packet::close).text(*handle));
}

void connection::break_off(std::exception_ptr why) noexcept {
    if (broken_) return;
    broken_ = std::move(why);
    greeting_.wake_all();
    for (auto const& [id, place] : flights_)
        if (place) place->waiting.wake_all();
}

// --- requests ---

packet_writer connection::extension(std::string_view name) {
    if (!supports(name)) throw failed(errc::unsupported, name, {});
    auto begun = request(packet::extended);
    begun.text(name);
    return begun;
}

connection::flight connection::expect_reply(std::uint32_t id) {
    flight begun;
    begun.owner_ = shared_from_this();
    begun.id_ = id;
    begun.place_ = std::make_unique<slot>();
    flights_.emplace(begun.id_, begun.place_.get());
    return begun;
}

connection::flight connection::start(packet_writer& request) {
    if (broken_) std::rethrow_exception(broken_);
    auto packet = request.take();
    auto begun = expect_reply(packet_reader(std::string_view(packet).substr(5)).u32());
    stream_->send(std::move(packet));
    return begun;
}

std::vector<connection::flight> connection::start(std::string packets,
                                                  std::vector<std::uint32_t> const& ids) {
    if (broken_) std::rethrow_exception(broken_);
    std::vector<flight> begun;
    for (auto const id : ids) begun.push_back(expect_reply(id));
    stream_->send(std::move(packets));
    return begun;
}

void connection::start_and_forget(packet_writer& request) {
    if (broken_) return;
    start(request); // the flight ends here
}

awaitable<detail::reply> connection::call(packet_writer& request) {
    auto begun = start(request);
    return [](flight sent) -> awaitable<detail::reply> {
        co_return co_await sent.reply();
    }(std::move(begun));
}

void connection::flight::forget() noexcept {
    if (!place_) return;
    if (!place_->answer) {
        if (auto const found = owner_->flights_.find(id_); found != owner_->flights_.end())
            found->second = nullptr;
    } else if (auto const handle = parse_handle(*place_->answer)) {
        // Answered, and its reader was cancelled before it saw that.
        owner_->start_and_forget(owner_->request(packet::close).text(*handle));
    }
    place_.reset();
}

detail::reply connection::flight::take() {
    auto const place = std::exchange(place_, nullptr);
    return std::move(*place->answer);
}

awaitable<detail::reply> connection::flight::reply() {
    co_await owner_->wait_for(*place_);
    co_return take();
}

awaitable<> connection::wait_for(slot& place) {
    auto const begun = clock::now();
    while (!place.answer) {
        if (broken_) std::rethrow_exception(broken_);
        auto deadline = time_point::max();
        if (how_.timeout.count() > 0) deadline = std::max(begun, heard_) + how_.timeout;
        trawl::detail::waiter self(place.waiting);
        auto const woken = co_await self.wait(deadline);
        if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
        if (woken == trawl::detail::wake::timed_out && clock::now() >= heard_ + how_.timeout)
            throw failed(trawl::errc::timed_out, "wait", {}, "the server is silent");
    }
}

awaitable<std::shared_ptr<connection>> connection::another() {
    auto how = how_;
    how.blocking = pool_;
    auto stream = co_await stream_->another();
    if (!stream) co_return nullptr;
    auto made = std::make_shared<connection>(std::move(stream), std::move(how));
    co_await made->handshake();
    co_return made;
}

awaitable<> connection::handshake() {
    stream_->send(make_init());
    auto const deadline =
        how_.timeout.count() > 0 ? clock::now() + how_.timeout : time_point::max();
    while (!greeted_) {
        if (broken_) std::rethrow_exception(broken_);
        trawl::detail::waiter self(greeting_);
        auto const woken = co_await self.wait(deadline);
        if (woken == trawl::detail::wake::cancelled) trawl::detail::throw_cancelled();
        if (woken == trawl::detail::wake::timed_out)
            throw failed(trawl::errc::timed_out, "start", {}, "the server is silent");
    }
    if (!supports("limits@openssh.com")) co_return;
    auto asking = extension("limits@openssh.com");
    auto const answer = co_await call(asking);
    if (auto const told = parse_limits(answer)) {
        read_size_ = within_limit(how_.block, told->read);
        write_size_ = within_limit(how_.block, told->write);
    }
}

// --- replies ---

void connection::expect_ok(reply const& from, std::string_view operation,
                           std::string const& path) const {
    auto const said = parse_status(from);
    if (!said || said->code != 0) throw_unexpected(from, operation, path);
}

void connection::throw_unexpected(reply const& from, std::string_view operation,
                                  std::string const& path) const {
    auto const said = parse_status(from);
    if (!said || said->code == 0)
        throw failed(errc::protocol, operation, path, "an answer of the wrong kind");
    throw failed(std::error_code(static_cast<int>(said->code), category()), operation, path,
                 said->words);
}

} // namespace trawl::sftp::detail
