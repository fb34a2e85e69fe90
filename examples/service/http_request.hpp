#pragma once

#include <http_parser.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace service {

/// One HTTP/1.1 request (RFC 9112), whole in memory.
struct request {
    std::string method;
    std::string path;  ///< of the target, before the question mark
    std::string query; ///< behind it
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;
    bool keep_alive = false; ///< the client wants the connection kept (RFC 9112 §9.3)
    bool chunks = false;     ///< the client knows chunks: HTTP/1.1

    /// The value of a field, its name without regard to case; empty when it is not there.
    std::string_view field(std::string_view name) const;
    /// Whether the query has this parameter and it is neither 0 nor empty.
    bool flag(std::string_view name) const;
};

/// Reads requests off a byte stream, without I/O: bytes in, a request or a refusal out. Memory is
/// bounded by the limits whatever a client sends.
///
/// http-parser tokenises, because Debian 12 has it; llhttp, its successor, has the same callbacks.
class request_reader {
public:
    struct limits {
        std::size_t target = 2048; ///< bytes; more is 414
        std::size_t head = 16384;  ///< bytes of all fields; more is 431
        std::size_t body = 65536;  ///< bytes; more is 413
    };
    enum class state { more, ready, refused };

    explicit request_reader(limits bounds);
    request_reader(request_reader const&) = delete;
    request_reader& operator=(request_reader const&) = delete;

    /// Takes bytes up to the end of one request and says how many; the others belong to the next.
    std::size_t feed(std::string_view bytes);
    /// ready: take() it; refused: answer status() and close.
    state now() const noexcept { return state_; }
    /// Whether some of a request has come.
    bool begun() const noexcept { return begun_; }
    /// Whether the client waits for "100 Continue" before it sends the body; says so once.
    bool wants_continue();

    int status() const noexcept { return status_; }             ///< 400, 413, 414, 431, ...
    std::string const& reason() const noexcept { return why_; } ///< one line
    request take();                                             ///< makes it ready for the next

private:
    struct callbacks;
    int refuse(int status, std::string why);
    int append(std::string& to, std::string_view piece, std::size_t limit, int status,
               char const* what);
    int head_field(std::string& to, std::string_view piece);
    int head_ended();

    limits limits_;
    ::http_parser parser_{};
    request request_;
    std::string target_;
    std::size_t head_ = 0;
    bool begun_ = false, in_value_ = false, continue_ = false;
    state state_ = state::more;
    int status_ = 0;
    std::string why_;
};

} // namespace service
