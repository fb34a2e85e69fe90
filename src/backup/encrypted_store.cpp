#include <trawl/backup_store.hpp>

#include "backup/files.hpp"
#include "backup/repository.hpp"
#include "backup/sealed.hpp"

#include <trawl/backup.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace trawl::backup {

namespace {

using namespace detail;

constexpr std::size_t most_waiting = std::size_t(1) << 20; ///< sealed bytes

std::string sealed_name(std::string const& name) { return name + std::string(sealed_suffix); }

/// Opens what a sealed file has, block by block.
class sealed_file : public stored_file {
public:
    sealed_file(std::unique_ptr<stored_file> file, std::string shown, store_key const& key)
        : file_(std::move(file)), shown_(std::move(shown)), bytes_(file_->size()) {
        auto const head = head_of(*file_);
        switch (opener::look_at(key, head)) {
        case opener::verdict::not_sealed:
            throw damage("is no encrypted file, or its head is damaged");
        case opener::verdict::other_key:
            throw damage("is encrypted with another key, or its head is damaged");
        case opener::verdict::good: break;
        }
        auto const length = sealed_length::of(bytes_);
        if (!length) throw damage("was cut off");
        length_ = *length;
        opener_.emplace(key, head);
        if (length_.plain > 0) return;
        std::string block(sealed_tag, '\0'); // nobody is going to read it: is it really empty?
        block.resize(file_->read(sealed_head, block));
        open(0, block);
    }

    std::uint64_t size() const override { return length_.plain; }

    std::size_t read(std::uint64_t offset, std::span<char> into) const override {
        if (offset >= length_.plain) return 0;
        auto const end = offset + std::min<std::uint64_t>(into.size(), length_.plain - offset);
        constexpr std::uint64_t blocks_at_once = 16; // a round trip for each of these on a server
        std::string sealed;
        std::size_t done = 0;
        for (auto at = offset; at < end;) {
            auto const first = at / sealed_plain;
            auto const last = std::min((end - 1) / sealed_plain, first + blocks_at_once - 1);
            auto const begin = sealed_head + first * sealed_block;
            auto const stop = std::min(sealed_head + (last + 1) * sealed_block, bytes_);
            sealed.resize(static_cast<std::size_t>(stop - begin));
            if (file_->read(begin, sealed) < sealed.size()) throw damage("was cut off");
            for (auto number = first; number <= last; ++number) {
                auto const plain =
                    open(number, std::string_view(sealed).substr(
                                     static_cast<std::size_t>((number - first) * sealed_block)));
                auto const skip = static_cast<std::size_t>(at % sealed_plain);
                auto const n = static_cast<std::size_t>(
                    std::min<std::uint64_t>(plain.size() - skip, end - at));
                std::copy_n(plain.data() + skip, n, into.data() + done);
                done += n;
                at += n;
            }
        }
        return done;
    }

private:
    std::string open(std::uint64_t number, std::string_view from) const {
        bool const last = number + 1 == length_.blocks;
        auto plain = opener_->open(number, last, from.substr(0, sealed_block));
        if (!plain)
            throw damage(fmt::format("its encrypted block {} of {} is damaged, moved{}", number,
                                     length_.blocks, last ? ", or the file was cut off" : ""));
        return std::move(*plain);
    }
    error damage(std::string why) const {
        return error(errc::corrupt, "backup " + shown_, std::move(why));
    }

    std::unique_ptr<stored_file> file_;
    std::string shown_;
    std::uint64_t bytes_;
    sealed_length length_;
    std::optional<opener> opener_;
};

class sealed_new_file : public new_file {
public:
    sealed_new_file(std::unique_ptr<new_file> to, store_key const& key)
        : to_(std::move(to)), sealer_(key), waiting_(sealer_.head()) {}

    // A block goes out when there is more: the last one is another than the others.
    void write(std::string_view bytes) override {
        while (!bytes.empty()) {
            if (plain_.size() == sealed_plain) seal(false);
            if (waiting_.size() >= most_waiting) flush();
            auto const n = std::min(bytes.size(), sealed_plain - plain_.size());
            plain_.append(bytes.substr(0, n));
            bytes.remove_prefix(n);
        }
        flush();
    }

    void publish(std::string const& name, bool replace) override {
        seal(true);
        flush();
        to_->publish(sealed_name(name), replace);
    }

private:
    void seal(bool last) {
        waiting_ += sealer_.seal(plain_, last);
        plain_.clear();
    }
    void flush() {
        if (!waiting_.empty()) to_->write(waiting_);
        waiting_.clear();
    }

    std::unique_ptr<new_file> to_;
    sealer sealer_;
    std::string plain_, waiting_;
};

class sealed_store : public store {
public:
    sealed_store(std::shared_ptr<store> in, store_key key)
        : in_(std::move(in)), key_(std::move(key)) {}

    std::string where() const override { return in_->where(); }
    std::string shown(std::string const& name) const override {
        return in_->shown(sealed_name(name));
    }

    // One file with this key will do: the head of another may be damaged.
    void open(bool make) override {
        in_->open(make);
        bool any = false;
        for (auto const& name : in_->list()) {
            if (name.starts_with('.') || !name.ends_with(sealed_suffix)) continue;
            auto const file = in_->read(name);
            auto const seen =
                file ? opener::look_at(key_, head_of(*file)) : opener::verdict::not_sealed;
            if (seen == opener::verdict::good) return;
            any = any || seen == opener::verdict::other_key;
        }
        if (any) throw error(errc::wrong_key, "backup " + where());
    }

    std::vector<std::string> list() override {
        std::vector<std::string> names;
        for (auto& name : in_->list())
            if (name.ends_with(sealed_suffix))
                names.push_back(name.substr(0, name.size() - sealed_suffix.size()));
        std::sort(names.begin(), names.end()); // "a.enc" stands before "a-b.enc", "a" does not
        return names;
    }

    std::optional<std::uint64_t> size(std::string const& name) override {
        auto const bytes = in_->size(sealed_name(name));
        if (!bytes) return std::nullopt;
        auto const length = sealed_length::of(*bytes);
        return length ? length->plain : 0;
    }

    std::unique_ptr<stored_file> read(std::string const& name) override {
        auto file = in_->read(sealed_name(name));
        if (!file) return nullptr;
        return decrypted(std::move(file), shown(name), key_);
    }

    std::unique_ptr<new_file> create(std::string const& temporary) override {
        return std::make_unique<sealed_new_file>(in_->create(sealed_name(temporary)), key_);
    }
    void rename(std::string const& from, std::string const& to) override {
        in_->rename(sealed_name(from), sealed_name(to));
    }
    void remove(std::string const& name) override { in_->remove(sealed_name(name)); }
    std::unique_ptr<store_lock> lock(std::string const& name) override { return in_->lock(name); }
    std::filesystem::path folder() const override { return in_->folder(); }

private:
    std::shared_ptr<store> in_;
    store_key key_;
};

} // namespace

std::shared_ptr<store> encrypted_store(std::shared_ptr<store> in, store_key key) {
    return std::make_shared<sealed_store>(std::move(in), std::move(key));
}

std::unique_ptr<stored_file> decrypted(std::unique_ptr<stored_file> file, std::string const& shown,
                                       store_key const& key) {
    return std::make_unique<sealed_file>(std::move(file), shown, key);
}

} // namespace trawl::backup
