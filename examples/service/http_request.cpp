#include "http_request.hpp"

#include <algorithm>
#include <cctype>

namespace service {
namespace {

bool same(std::string_view a, std::string_view b) {
    auto const lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
    return std::ranges::equal(a, b, {}, lower, lower);
}

} // namespace

std::string_view request::field(std::string_view name) const {
    auto const found =
        std::ranges::find_if(fields, [&](auto const& field) { return same(field.first, name); });
    return found == fields.end() ? std::string_view() : found->second;
}

bool request::flag(std::string_view name) const {
    for (std::string_view rest = query; !rest.empty();) {
        auto const word = rest.substr(0, rest.find('&'));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        auto const equals = word.find('=');
        if (word.substr(0, equals) != name || equals == word.npos) continue;
        return word.substr(equals + 1) != "" && word.substr(equals + 1) != "0";
    }
    return false;
}

/// What http-parser calls; one that returns other than 0 ends the parsing.
struct request_reader::callbacks {
    static request_reader& self(::http_parser* p) { return *static_cast<request_reader*>(p->data); }

    static int begin(::http_parser* p) { return self(p).begun_ = true, 0; }
    static int url(::http_parser* p, char const* at, std::size_t size) {
        auto& r = self(p);
        return r.append(r.target_, {at, size}, r.limits_.target, 414, "the target");
    }
    static int name(::http_parser* p, char const* at, std::size_t size) {
        auto& r = self(p);
        if (r.in_value_ || r.request_.fields.empty()) r.request_.fields.emplace_back();
        r.in_value_ = false;
        return r.head_field(r.request_.fields.back().first, {at, size});
    }
    static int value(::http_parser* p, char const* at, std::size_t size) {
        auto& r = self(p);
        r.in_value_ = true;
        return r.head_field(r.request_.fields.back().second, {at, size});
    }
    static int head(::http_parser* p) { return self(p).head_ended(); }
    static int body(::http_parser* p, char const* at, std::size_t size) {
        auto& r = self(p);
        return r.append(r.request_.body, {at, size}, r.limits_.body, 413, "the body");
    }
    static int end(::http_parser* p) {
        auto& r = self(p);
        r.request_.keep_alive = ::http_should_keep_alive(p) != 0;
        r.state_ = state::ready;
        ::http_parser_pause(p, 1); // what follows is another request
        return 0;
    }

    static ::http_parser_settings const& all() {
        static ::http_parser_settings const settings = [] {
            ::http_parser_settings s;
            ::http_parser_settings_init(&s);
            s.on_message_begin = begin, s.on_url = url, s.on_header_field = name;
            s.on_header_value = value, s.on_headers_complete = head, s.on_body = body;
            s.on_message_complete = end;
            return s;
        }();
        return settings;
    }
};

request_reader::request_reader(limits bounds) : limits_(bounds) { take(); }

request request_reader::take() {
    ::http_parser_init(&parser_, HTTP_REQUEST);
    parser_.data = this;
    target_.clear();
    head_ = 0;
    begun_ = in_value_ = continue_ = false;
    state_ = state::more;
    return std::exchange(request_, {});
}

std::size_t request_reader::feed(std::string_view bytes) {
    if (state_ != state::more) return 0;
    auto const taken =
        ::http_parser_execute(&parser_, &callbacks::all(), bytes.data(), bytes.size());
    auto const error = HTTP_PARSER_ERRNO(&parser_);
    if (error != HPE_OK && error != HPE_PAUSED && state_ != state::refused)
        refuse(error == HPE_INVALID_VERSION             ? 505
               : error == HPE_INVALID_TRANSFER_ENCODING ? 501
               : error == HPE_HEADER_OVERFLOW           ? 431
                                                        : 400,
               ::http_errno_description(error));
    return taken;
}

bool request_reader::wants_continue() { return std::exchange(continue_, false); }

int request_reader::refuse(int status, std::string why) {
    state_ = state::refused;
    status_ = status;
    why_ = std::move(why);
    return -1; // 1 and 2 mean something else at the end of the head
}

int request_reader::append(std::string& to, std::string_view piece, std::size_t limit, int status,
                           char const* what) {
    if (piece.size() > limit - std::min(limit, to.size()))
        return refuse(status,
                      std::string(what) + " has more than " + std::to_string(limit) + " bytes");
    to += piece;
    return 0;
}

/// Counts each piece, and 4 bytes a field for ": " and the line's end.
int request_reader::head_field(std::string& to, std::string_view piece) {
    head_ += piece.size() + (to.empty() ? 2 : 0);
    if (head_ > limits_.head)
        return refuse(431, "the fields have more than " + std::to_string(limits_.head) + " bytes");
    to += piece;
    return 0;
}

int request_reader::head_ended() {
    request_.method = ::http_method_str(static_cast<::http_method>(parser_.method));
    if (parser_.http_major != 1) return refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    request_.chunks = parser_.http_minor >= 1;
    auto const hosts = std::ranges::count_if(
        request_.fields, [](auto const& field) { return same(field.first, "Host"); });
    for (auto const& [name, value] : request_.fields)
        if (name.find(' ') != name.npos) // RFC 9112 §5.1; http-parser lets it pass
            return refuse(400, "a blank in the name of a field");
    if (hosts > 1 || (request_.chunks && hosts == 0)) // RFC 9112 §3.2
        return refuse(400, "one Host field is needed");
    if (target_.starts_with("http://")) // the absolute form (RFC 9112 §3.2.2)
        target_.erase(0, std::min(target_.find('/', 7), target_.size()));
    if (target_.empty() || target_[0] != '/')
        return refuse(400, "the target must begin with a slash");
    auto const question = target_.find('?');
    request_.path = target_.substr(0, question);
    if (question != target_.npos) request_.query = target_.substr(question + 1);
    bool const sized = (parser_.flags & F_CONTENTLENGTH) != 0;
    if (sized && parser_.content_length > limits_.body)
        return refuse(413, "the body has more than " + std::to_string(limits_.body) + " bytes");
    bool const body = (parser_.flags & F_CHUNKED) != 0 || (sized && parser_.content_length > 0);
    continue_ = request_.chunks && body && same(request_.field("Expect"), "100-continue");
    return 0;
}

} // namespace service
