#include "backup/verifying.hpp"

#include <algorithm>
#include <cerrno>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {
constexpr std::size_t piece_bytes = std::size_t(1) << 20;
constexpr int pieces_in_a_slice = 16;
} // namespace

void verifying::prepare(std::stop_token const& stop) {
    shown_ = options_.archives.string();
    folder_ = open_archives(shown_);
    options_.name = choose_name(folder_.get(), shown_, options_.name);
    for (auto const& file : list(folder_.get()))
        if (auto const dated = parse_dated(file); dated && dated->name == options_.name)
            files_.push_back(file);
    struct stat facts {};
    bool const latest = ::fstatat(folder_.get(), latest_of(options_.name).c_str(), &facts, 0) == 0;
    if (files_.empty() && !latest)
        throw error(errc::no_such_archive, "backup " + shown_ + " " + options_.name);
    check_latest(stop);
}

// The copy is to be whole, and the manifest it is a copy of to be there.
void verifying::check_latest(std::stop_token const& stop) {
    auto const file = latest_of(options_.name);
    try {
        auto const found = load(folder_.get(), file, shown_, stop);
        auto const& own = found.state.self().manifest;
        if (!std::binary_search(files_.begin(), files_.end(), own))
            wrong(file, "is a copy of " + own + ", which is missing");
        ++report_.manifests;
    } catch (error const& failure) {
        if (is_cancelled(failure)) throw;
        wrong(file, failure.said().empty() ? failure.code().message() : failure.said());
    }
}

bool verifying::advance(std::stop_token const& stop) {
    if (archive_) {
        read_on(stop);
        return true;
    }
    if (next_ < files_.size()) {
        next_manifest(stop);
        return true;
    }
    for (auto const& found : parents_to_check_) check_parents(found);
    return false;
}

void verifying::next_manifest(std::stop_token const& stop) {
    auto const& file = files_[next_++];
    try {
        now_ = load(folder_.get(), file, shown_, stop);
    } catch (error const& failure) {
        if (is_cancelled(failure)) throw;
        return wrong(file, failure.said().empty() ? failure.code().message() : failure.said());
    }
    if (now_->state.self().manifest != file)
        return wrong(file, "was written as " + now_->state.self().manifest);
    ++report_.manifests;
    hashes_[file] = now_->hash;
    loaded head{{}, file, now_->hash};
    head.state.chain = now_->state.chain;
    parents_to_check_.push_back(std::move(head));
    open_archive();
}

void verifying::open_archive() {
    auto const& self = now_->state.self();
    archive_ = open_beneath(folder_.get(), self.archive, O_RDONLY);
    if (!archive_) return wrong(self.archive, system_message(errno));
    bytes_wanted_ += self.bytes;
}

void verifying::read_on(std::stop_token const& stop) {
    auto const& self = now_->state.self();
    buffer_.resize(piece_bytes);
    for (int i = 0; i < pieces_in_a_slice; ++i) {
        stop_point(stop);
        auto const n = ::read(archive_.get(), buffer_.data(), buffer_.size());
        if (n < 0 && errno == EINTR) continue;
        if (n > 0) {
            hash_.update(std::string_view(buffer_).substr(0, static_cast<std::size_t>(n)));
            report_.bytes += static_cast<std::uint64_t>(n);
            continue;
        }
        bool const same = hash_.finish() == self.archive_hash && n == 0;
        if (same) {
            ++report_.archives;
            for (auto const& e : now_->state.entries)
                report_.files += e.archive + 1 == now_->state.chain.size();
        } else {
            wrong(self.archive, n < 0 ? system_message(errno) : "is not as it was written");
            name_damaged(stop);
        }
        archive_.reset();
        return;
    }
}

// Reads the members of an archive that is damaged somewhere, to find out what that means.
void verifying::name_damaged(std::stop_token const& stop) {
    std::map<std::string, entry const*> left;
    for (auto const& e : now_->state.entries)
        if (e.archive + 1 == now_->state.chain.size()) left[e.path] = &e;
    auto const all = left.size();
    try {
        if (::lseek(archive_.get(), 0, SEEK_SET) != 0)
            throw std::runtime_error("cannot be read twice");
        tar_reader reader(archive_.get());
        compare_members(reader, left, stop);
    } catch (std::system_error const&) {
        throw;
    } catch (std::runtime_error const&) {
        // Where the reader gives up, what is left is lost.
    }
    report_.files += all - left.size();
    for (auto const& [path, e] : left) wrong(path, "is damaged in " + now_->state.self().archive);
}

void verifying::compare_members(tar_reader& reader, std::map<std::string, entry const*>& left,
                                std::stop_token const& stop) {
    hasher content(now_->state.algorithm);
    while (auto const member = reader.next()) {
        stop_point(stop);
        auto const at = left.find(member->path);
        if (at == left.end() || member->size != at->second->size) continue;
        for (auto piece = reader.data(); !piece.empty(); piece = reader.data()) {
            stop_point(stop);
            content.update(piece);
        }
        if (content.finish() == at->second->content) left.erase(at);
    }
}

// Each increment names the manifests it stands on by their hashes.
void verifying::check_parents(loaded const& found) {
    auto const& chain = found.state.chain;
    for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
        auto const parent = hashes_.find(chain[i].manifest);
        if (parent == hashes_.end())
            wrong(found.file, "stands on " + chain[i].manifest + ", which is missing or damaged");
        else if (parent->second != chain[i].manifest_hash)
            wrong(found.file,
                  "stands on another " + chain[i].manifest + " than the one that is there");
    }
}

} // namespace trawl::backup::detail
