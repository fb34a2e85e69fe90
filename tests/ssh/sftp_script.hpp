#pragma once

#include "peers/sshd.hpp"
#include "ssh/sftp_packets.hpp"
#include "ssh/sftp_transfer.hpp"

#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The SFTP client's other end as a script, over a stream in memory.
namespace trawl::test {

using sftp::detail::packet;
using sftp::detail::packet_reader;
using sftp::detail::packet_writer;

/// A file server of one folder's worth of files in memory. Every answer may be changed by the test.
class sftp_script {
public:
    std::map<std::string, std::string> files;
    std::vector<std::string> listing{"a"}; ///< what every folder holds
    std::size_t most_read = 1 << 20;       ///< bytes of one answer
    bool backwards = false;                ///< answers of one turn of the loop in reverse order
    bool posix_rename = true;
    std::string greeting; ///< instead of its own
    std::function<std::optional<std::string>(packet, std::uint32_t id, packet_reader)>
        instead; ///< a whole packet, or nothing for the usual answer; an empty one: silence

    std::vector<packet> asked;
    int open_handles = 0;
    std::size_t most_in_flight = 0;

    std::vector<std::string> answer(std::string_view bytes) {
        std::vector<std::string> out;
        in_.feed(bytes, [&](std::string request) {
            packet_reader r(request);
            auto const type = static_cast<packet>(r.byte());
            auto const id = r.u32();
            asked.push_back(type);
            if (type == packet::init) return out.push_back(hello());
            if (instead)
                if (auto made = instead(type, id, r)) {
                    if (!made->empty()) out.push_back(*made);
                    return;
                }
            out.push_back(serve(type, id, r));
        });
        most_in_flight = std::max(most_in_flight, out.size());
        if (backwards) std::reverse(out.begin(), out.end());
        return out;
    }

    static std::string status(std::uint32_t id, sftp::errc code, std::string_view words = {}) {
        return packet_writer(packet::status, id)
            .u32(static_cast<std::uint32_t>(code))
            .text(words)
            .text("")
            .take();
    }
    static std::string ok(std::uint32_t id) { return status(id, sftp::errc{}); }

private:
    std::string hello() const {
        if (!greeting.empty()) return greeting;
        packet_writer w(packet::version, 3);
        if (posix_rename) w.text("posix-rename@openssh.com").text("1");
        return w.take();
    }

    static sftp::attributes attributes_of(std::string const& bytes) {
        sftp::attributes a;
        a.size = bytes.size();
        a.permissions = 0100644;
        return a;
    }

    std::string serve(packet type, std::uint32_t id, packet_reader r) {
        std::string const first(r.text());
        auto const missing = status(id, sftp::errc::no_such_file, "gone");
        switch (type) {
        case packet::open:
            if (r.u32() & sftp::detail::open_create) files[first];
            if (!files.count(first)) return missing;
            ++open_handles;
            return packet_writer(packet::handle, id).text(first).take();
        case packet::opendir:
            ++open_handles, listed_ = false;
            return packet_writer(packet::handle, id).text(first).take();
        case packet::close: --open_handles; return ok(id);
        case packet::read: {
            auto const offset = r.u64();
            auto const size = std::min<std::size_t>(r.u32(), most_read);
            if (offset >= files[first].size()) return status(id, sftp::errc::end_of_file);
            return packet_writer(packet::data, id).text(files[first].substr(offset, size)).take();
        }
        case packet::write: {
            auto const offset = r.u64();
            auto const data = r.text();
            auto& file = files[first];
            if (file.size() < offset + data.size()) file.resize(offset + data.size());
            file.replace(offset, data.size(), data);
            return ok(id);
        }
        case packet::readdir: {
            if (std::exchange(listed_, true)) return status(id, sftp::errc::end_of_file);
            packet_writer w(packet::name, id);
            w.u32(static_cast<std::uint32_t>(listing.size()));
            for (auto const& name : listing) w.text(name).text("").attrs(attributes_of("x"));
            return w.take();
        }
        case packet::stat:
        case packet::fstat: {
            if (first == "/folder") {
                sftp::attributes folder;
                folder.permissions = 040755;
                return packet_writer(packet::attrs, id).attrs(folder).take();
            }
            if (!files.count(first)) return missing;
            return packet_writer(packet::attrs, id).attrs(attributes_of(files[first])).take();
        }
        case packet::remove: return files.erase(first) ? ok(id) : missing;
        case packet::rename:
        case packet::extended: {
            auto const from = type == packet::rename ? first : std::string(r.text());
            std::string const to(r.text());
            if (type == packet::rename && files.count(to)) return status(id, sftp::errc::failure);
            files[to] = files[from];
            files.erase(from);
            return ok(id);
        }
        default: return status(id, sftp::errc::unsupported);
        }
    }

    sftp::detail::packet_stream in_;
    bool listed_ = false;
};

/// Carries each turn's requests to the server and brings its answers in the next.
class pretend_stream : public ssh::detail::byte_stream {
public:
    pretend_stream(asio::any_io_executor executor, sftp_script& server)
        : executor_(std::move(executor)), server_(server) {}
    ~pretend_stream() override { pretend_stream::flush(); } // as the real one does

    void send(std::string bytes) override {
        out_ += bytes;
        if (std::exchange(posted_, true)) return;
        asio::post(executor_, [this, alive = std::weak_ptr<int>(alive_)] {
            if (!alive.expired()) flush();
        });
    }
    void flush() override {
        posted_ = false;
        auto const bytes = std::exchange(out_, {});
        if (!bytes.empty())
            for (auto const& next : server_.answer(bytes)) in_ += next;
        asio::post(executor_, [this, alive = std::weak_ptr<int>(alive_)] {
            if (alive.expired()) return;
            if (auto const arrived = std::exchange(in_, {}); !arrived.empty()) received(arrived);
        });
    }
    std::string const& peer() const noexcept override { return peer_; }
    /// By default there is none.
    awaitable<std::unique_ptr<ssh::detail::byte_stream>> another() override {
        if (more) return more();
        return ssh::detail::byte_stream::another();
    }
    std::function<awaitable<std::unique_ptr<ssh::detail::byte_stream>>()> more;

private:
    asio::any_io_executor executor_;
    sftp_script& server_;
    std::string peer_ = "test:22", out_, in_;
    bool posted_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

struct sftp_lab {
    sftp_script server;
    scratch folder;
    pretend_stream* stream = nullptr;
    sftp::options how;
    std::vector<sftp_script> further; ///< at the ends of further channels
    std::size_t opened = 0;           ///< of those

    void run(std::function<awaitable<>(sftp::client&)> body) {
        auto all = [&]() -> awaitable<> {
            auto made =
                std::make_unique<pretend_stream>(co_await asio::this_coro::executor, server);
            stream = made.get();
            auto const executor = co_await asio::this_coro::executor;
            stream->more = [this,
                            executor]() -> awaitable<std::unique_ptr<ssh::detail::byte_stream>> {
                if (opened == further.size()) co_return nullptr;
                co_return std::make_unique<pretend_stream>(executor, further[opened++]);
            };
            auto files = co_await sftp::detail::start_client(std::move(made), how);
            co_await body(files);
            co_await yield(); // requests that nobody waits for
            stream->flush();
        };
        trawl::test::run(all);
    }

    std::error_code failure_of(std::function<awaitable<>(sftp::client&)> body) {
        try {
            run(body);
        } catch (trawl::error const& thrown) {
            words = thrown.what();
            return thrown.code();
        }
        FAIL("it did not fail");
        return {};
    }

    std::error_code get_failure() {
        auto body = [&](sftp::client& files) -> awaitable<> {
            co_await files.get("/file", folder / "got");
        };
        auto const code = failure_of(body);
        CHECK(std::filesystem::is_empty(folder.path())); // neither the file nor a temporary one
        return code;
    }

    std::string words;
};

inline std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761u >> 13);
    return bytes;
}

} // namespace trawl::test
