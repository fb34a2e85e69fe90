#include "ssh/sftp_local.hpp"
#include "ssh/sftp_tree.hpp"
#include "ssh/sftp_upload.hpp"

#include <algorithm>

namespace trawl::sftp::detail {
namespace {

namespace fs = std::filesystem;

/// True when the last bytes of the first `size` of both files are the same.
awaitable<bool> same_end(transfer_ptr t, local_file const& local, remote_handle const& remote,
                         std::uint64_t size) {
    auto const length =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(size, t->link->read_size()));
    auto reading = t->link->request(packet::read);
    reading.text(remote.name()).u64(size - length).u32(length);
    auto const answer = co_await t->link->call(reading);
    auto const there = parse_data(answer);
    if (!there) co_return false;
    std::string here(length, '\0');
    auto job = [&] { here.resize(local.read_at(size - length, here.data(), length)); };
    co_await t->link->blocking().run(std::move(job));
    co_return here == *there;
}

/// How much of the file an earlier transfer has left there; 0 when that is no part of it.
awaitable<std::uint64_t> left_over(transfer_ptr t, local_file const& from,
                                   remote_handle const& part, std::uint64_t size) {
    auto asking = t->link->request(packet::fstat);
    asking.text(part.name());
    auto const answer = co_await t->link->call(asking);
    auto const there = parse_attributes(answer);
    auto const length = there ? there->size.value_or(0) : 0;
    if (length == 0) co_return 0;
    if (length <= size && co_await same_end(t, from, part, length)) co_return length;
    attributes empty;
    empty.size = 0;
    auto cutting = t->link->request(packet::fsetstat);
    cutting.text(part.name()).attrs(empty);
    auto const cut = co_await t->link->call(cutting);
    t->link->expect_ok(cut, "truncate", {});
    co_return 0;
}

struct opened_source {
    local_file file;
    attributes attrs;
    std::optional<std::string> whole{}; ///< of a small one
};

awaitable<opened_source> open_source(transfer_ptr t, fs::path local) {
    auto const small = t->how.resume ? 0 : t->link->write_size();
    auto job = [&local, small] {
        opened_source found;
        found.file = local_file::source(local);
        found.attrs = attributes_of(found.file.status());
        if (*found.attrs.size < small) {
            std::string bytes(small, '\0');
            bytes.resize(found.file.read_at(0, bytes.data(), small));
            if (bytes.size() < small) found.whole = std::move(bytes); // it has not grown
        }
        return found;
    };
    co_return co_await t->link->blocking().run(std::move(job));
}

class tree_put : public tree_copy {
public:
    using tree_copy::tree_copy;

private:
    awaitable<contents> enter(std::string from, std::string to, attributes) override {
        auto job = [&from] {
            contents found;
            found.items = list_local(from);
            found.attrs = attributes_of(status_of(from));
            return found;
        };
        auto found = co_await t_->link->blocking().run(std::move(job));
        co_await ensure_remote_folder(t_->link, std::move(to), *found.attrs.permissions);
        co_return found;
    }
    awaitable<> copy(std::string from, std::string to, attributes) override {
        return put_file(t_, std::move(from), std::move(to));
    }
    awaitable<> settle(std::string folder, attributes wanted) override {
        return set_path(t_->link, std::move(folder), wanted);
    }
};

} // namespace

awaitable<> put_file(transfer_ptr t, fs::path local, std::string remote) {
    auto from = co_await open_source(t, local);
    auto write = [&](remote_handle const& file, upload& sending) -> awaitable<> {
        if (!from.whole) {
            std::uint64_t offset = 0;
            if (t->how.resume) offset = co_await left_over(t, from.file, file, *from.attrs.size);
            co_await sending.send(from.file, file.name(), offset, *from.attrs.size);
        } else if (!from.whole->empty()) {
            auto place = co_await sending.room();
            sending.write(file.name(), 0, *from.whole, std::move(place));
        }
    };
    co_await replace_file(t, std::move(remote), from.attrs, write);
}

awaitable<transferred> put(link_ptr link, fs::path local, std::string remote,
                           transfer_options how) {
    auto const t = std::make_shared<transfer>(std::move(link), std::move(how));
    auto look = [local] { return S_ISDIR(status_of(local).st_mode); };
    bool const folder = co_await t->link->blocking().run(std::move(look));
    if (folder && !t->how.recursive) throw error(errc::is_folder, "put " + local.string());
    if (folder) {
        tree_put tree(t);
        attributes const unknown; // enter() looks
        co_await tree.run(local.native(), remote, unknown);
    } else {
        co_await put_file(t, local, remote);
    }
    co_return t->done;
}

} // namespace trawl::sftp::detail
