#include "exchange.hpp"

#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <utility>

using trawl::awaitable;

namespace service {

exchange::exchange(asio::ip::tcp::socket socket, options const& how)
    : socket_(std::move(socket)), options_(how), reader_(how.limits) {}

/// Some bytes more in input_; 0 when the client has closed.
awaitable<std::size_t> exchange::fill() {
    std::error_code failed;
    auto const buffer = asio::buffer(piece_);
    auto const size =
        co_await socket_.async_read_some(buffer, asio::redirect_error(asio::use_awaitable, failed));
    if (failed == asio::error::eof || failed == asio::error::connection_reset) co_return 0;
    if (failed) throw trawl::error(failed, "http client");
    input_.append(piece_.data(), size);
    co_return size;
}

awaitable<bool> exchange::next() {
    answered_ = false;
    if (input_.empty()) {
        waiting_ = true;
        auto const came = co_await trawl::within(options_.idle, fill());
        waiting_ = false;
        if (!came || *came == 0) co_return false;
    }
    auto const whole = co_await trawl::within(options_.read, rest());
    if (!whole) co_return co_await refuse(408, "the request did not come in time");
    if (!*whole) co_return false;
    if (reader_.now() == request_reader::state::refused)
        co_return co_await refuse(reader_.status(), reader_.reason());
    request_ = reader_.take();
    co_return true;
}

/// False when the client closed before the request was whole.
awaitable<bool> exchange::rest() {
    input_.erase(0, reader_.feed(input_));
    while (reader_.now() == request_reader::state::more) {
        if (reader_.wants_continue()) {
            std::string go = "HTTP/1.1 100 Continue\r\n\r\n";
            co_await send(std::move(go));
        }
        auto const more = co_await fill();
        if (more == 0) co_return false;
        input_.erase(0, reader_.feed(input_));
    }
    co_return true;
}

void exchange::stop_waiting() {
    if (waiting_) socket_.cancel();
}

awaitable<bool> exchange::refuse(int status, std::string why) {
    request_ = {};
    co_await answer(refusal(status, why));
    co_await linger();
    co_return false;
}

awaitable<> exchange::answer(response whole) {
    answered_ = true;
    co_await send(text_of(whole, kept(), request_.method == "HEAD"));
}

awaitable<> exchange::begin(response head) {
    answered_ = true;
    chunks_ = request_.chunks;
    if (!chunks_) close_behind(); // HTTP/1.0: the end of the connection ends the body
    co_await send(head_of(head, kept()) +
                  (chunks_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n"));
}

awaitable<> exchange::write(std::string piece) {
    if (piece.empty()) co_return;
    if (chunks_) piece = chunk(piece);
    co_await send(std::move(piece));
}

awaitable<> exchange::end() {
    if (chunks_) co_await send(chunk(""));
}

awaitable<> exchange::send(std::string text) {
    co_await trawl::with_timeout(options_.write, send_all(std::move(text)), "http client");
}

awaitable<> exchange::send_all(std::string text) {
    co_await asio::async_write(socket_, asio::buffer(text), asio::use_awaitable);
}

awaitable<> exchange::until_it_leaves() {
    while (input_.size() < options_.limits.head) {
        // g++ 12 resumes `if (co_await ...)` at a wrong place in a coroutine without a local variable.
        auto const more = co_await fill();
        if (more == 0) throw trawl::error(asio::error::eof, "http client");
    }
    // It sends requests without waiting for answers: the kernel keeps the rest, and a write that
    // fails will tell when it leaves.
}

awaitable<> exchange::linger() {
    std::error_code gone;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, gone);
    auto const drain = [this]() -> awaitable<> {
        for (std::size_t size = 1, all = 0; size > 0 && all < 1'000'000; all += size) {
            input_.clear();
            size = co_await fill();
        }
    };
    co_await trawl::within(std::chrono::seconds(1), drain());
}

} // namespace service
