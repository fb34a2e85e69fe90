#include "backup/content.hpp"

#include "backup/tail.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <span>
#include <stdexcept>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace {

constexpr std::size_t small_file = std::size_t(1) << 20;
constexpr std::size_t piece_bytes = std::size_t(256) << 10;
constexpr int most_tries = 3;

bool same_moment(struct stat const& a, struct stat const& b) {
    return a.st_size == b.st_size && nanoseconds(a.st_mtim) == nanoseconds(b.st_mtim) &&
           nanoseconds(a.st_ctim) == nanoseconds(b.st_ctim);
}

/// Reads until `size` bytes are there or the file ends; false with errno set when it fails.
bool read_up_to(int file, std::uint64_t at, char* to, std::size_t size, std::size_t& done) {
    for (done = 0; done < size;) {
        auto const n = ::pread(file, to + done, size - done, static_cast<off_t>(at + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        if (n == 0) break;
        done += static_cast<std::size_t>(n);
    }
    return true;
}

} // namespace

tar_stream::tar_stream(int source, plan what, manifest const* base, hash algorithm,
                       std::uint32_t archive, std::size_t block_bytes)
    : source_(source), plan_(std::move(what)), base_(base), archive_(archive),
      block_bytes_(block_bytes), hash_(algorithm), tail_hash_(algorithm),
      dropped_(plan_.entries.size()),
      buffer_(std::make_unique_for_overwrite<char[]>(small_file + 1)) {
    for (auto const at : plan_.gone) {
        auto const& e = base_->entries[at];
        bool const worth_it = e.has_content() && e.size > 0 && e.stored == 0;
        if (worth_it && (e.flags & flag_stale) == 0) gone_.emplace(e.size, at);
    }
}

std::string tar_stream::next(std::stop_token const& stop) {
    while (tar_.pending().size() < block_bytes_) {
        stop_point(stop);
        if (large_)
            pump();
        else if (at_ < plan_.steps.size())
            begin(at_++);
        else if (!ended_)
            tar_.finish(), ended_ = true;
        else
            break;
    }
    return take_block();
}

std::string tar_stream::take_block() {
    auto& pending = tar_.pending();
    auto const n = std::min(pending.size(), block_bytes_);
    std::string rest(pending, n);
    rest.reserve(block_bytes_ + piece_bytes);
    pending.resize(n);
    taken_ += n;
    return std::exchange(pending, std::move(rest));
}

void tar_stream::begin(std::size_t at) {
    switch (plan_.steps[at].what) {
    case action::keep: return;
    case action::describe: return tell(at);
    case action::verify: ++rehashed_; return read(at);
    case action::check:
    case action::store:
    case action::append:
    case action::refer: return read(at);
    }
}

// A member without data.
void tar_stream::tell(std::size_t at) {
    auto& e = plan_.entries[at];
    if (e.hard_link) {
        auto const first = place_of(plan_.entries, e.link);
        if (dropped_[static_cast<std::size_t>(first - plan_.entries.begin())]) {
            // The leader went away or could not be read: this link holds the content now, or leads
            // to the one that does.
            auto const [stand_in, is_first] = leaders_.try_emplace(e.link, e.path);
            if (!is_first)
                e.link = stand_in->second;
            else {
                e.hard_link = false;
                e.link.clear();
                plan_.steps[at].what = action::store;
                return read(at);
            }
        }
    }
    if (e.type == file_type::folder) {
        auto const folder = open_beneath(source_, e.path, O_RDONLY | O_DIRECTORY);
        if (folder) e.attributes = attributes_of(folder.get()); // else the walk has named it
    }
    put_header(at, e);
}

bool tar_stream::put_header(std::size_t at, entry const& as, std::vector<extent> const* map) try {
    if (tar_.begin(as, map)) ++members_;
    plan_.entries[at].offset = as.has_content() ? taken_ + tar_.pending().size() : 0;
    return true;
} catch (std::runtime_error const& refused) {
    lose(at, 0, std::string("cannot be put into a tar archive: ") + refused.what());
    return false;
}

void tar_stream::read(std::size_t at) {
    auto& e = plan_.entries[at];
    int const tries = large_ ? large_->tries : 0;
    large_.reset();
    for (int i = tries; i < most_tries; ++i) {
        // O_NONBLOCK: a fifo that took the file's place must not hold us up.
        auto file = open_beneath(source_, e.path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (!file) return lose(at, errno);
        struct stat before {};
        if (::fstat(file.get(), &before) != 0) return lose(at, errno);
        if (!S_ISREG(before.st_mode)) return lose(at, 0, "is no regular file any more");
        describe(e, before);
        e.attributes = attributes_of(file.get());
        auto& what = plan_.steps[at].what;
        if (what == action::append && known_prefix(at) == 0) what = action::store;
        if (e.size > small_file || what == action::append) {
            if (!begin_large(at, std::move(file), before, i, whole)) large_.reset();
            return;
        }
        if (read_small(at, file.get(), before, i + 1 == most_tries)) return;
    }
}

bool tar_stream::begin_large(std::size_t at, descriptor file, struct stat const& before, int tries,
                             std::uint64_t limit) {
    auto& e = plan_.entries[at];
    auto& now = large_.emplace();
    now.at = at;
    now.tries = tries;
    now.before = before;
    now.file = std::move(file);
    now.limit = limit;
    e.size = std::min(static_cast<std::uint64_t>(before.st_size), limit);
    now.map = {{0, e.size}};
    // Fewer blocks than bytes: holes, or the file system compresses.
    if (static_cast<std::uint64_t>(before.st_blocks) * 512 < e.size)
        now.map = data_extents(now.file.get(), e.size);
    now.sparse = now.map.size() != 1 || now.map.front().size != e.size;
    auto& s = plan_.steps[at];
    if (s.what == action::append && now.sparse) s.what = action::store;
    now.prefix = known_prefix(at);
    now.comparing =
        limit == whole && (now.prefix > 0 || s.what == action::check || s.what == action::verify ||
                           (tries == 0 && !now.sparse && gone_.contains(e.size)));
    e.stored = 0;
    e.parts.clear();
    if (!now.comparing) {
        // What cannot be read at all is to have no member.
        char first = 0;
        if (::pread(now.file.get(), &first, 1, 0) < 0) return lose(at, errno), false;
        return put_header(at, e, now.sparse ? &now.map : nullptr);
    }
    if (now.sparse) {
        now.nowhere = std::make_unique<tar_writer>();
        now.nowhere->begin(e, &now.map);
        now.nowhere->pending().clear();
    }
    return true;
}

// True when the file is done with, false to read it again.
bool tar_stream::read_small(std::size_t at, int file, struct stat const& before, bool last_try) {
    auto& e = plan_.entries[at];
    // One byte more, to see that it grew.
    std::span const room(buffer_.get(), static_cast<std::size_t>(e.size) + 1);
    std::size_t done = 0;
    if (!read_up_to(file, 0, room.data(), room.size(), done)) return lose(at, errno), true;
    struct stat after {};
    if (::fstat(file, &after) != 0) return lose(at, errno), true;
    bool const settled =
        done == static_cast<std::uint64_t>(before.st_size) && same_moment(before, after);
    if (!settled && !last_try) return false;
    bytes_read_ += done;
    std::string_view const bytes(room.data(), done);
    e.size = done;
    if (!settled) flag(at, "changed while it was read; stored as read");
    auto const content = hash_.of(bytes);
    e.stored = 0;
    e.parts.clear();
    if (!known(at, content)) put_whole(at, content, bytes);
    return true;
}

bool tar_stream::same_as_before(std::size_t at, digest const& content) const {
    auto const& s = plan_.steps[at];
    if (s.what != action::check && s.what != action::verify) return false;
    auto const& before = base_->entries[s.before];
    auto const& e = plan_.entries[at];
    return before.size == e.size && before.stored == e.stored && before.content == content;
}

// True when an older archive has this content, and nothing more is to be done.
bool tar_stream::known(std::size_t at, digest const& content) {
    if (same_as_before(at, content)) return keep_content(at), true;
    if (plan_.steps[at].what == action::verify)
        notes_.push_back({plan_.entries[at].path, "has other content although its size and times "
                                                  "are as they were: stored anew"});
    return refer(at, content);
}

// A file that is gone may lend its content once: to whom it was renamed.
bool tar_stream::refer(std::size_t at, digest const& content) {
    auto& e = plan_.entries[at];
    auto const [first, last] = gone_.equal_range(e.size);
    auto const found = std::find_if(first, last, [&](auto const& candidate) {
        return base_->entries[candidate.second].content == content;
    });
    if (found == last || e.stored != 0 || (e.flags & flag_unsettled) != 0) return false;
    auto const& before = base_->entries[found->second];
    auto link = e;
    link.hard_link = true;
    link.link = before.path;
    if (!put_header(at, link)) return true; // named, and gone from the state
    take_content(e, before);
    plan_.steps[at].what = action::refer;
    gone_.erase(found);
    return true;
}

// The content is where it was; at most the metadata is new, and the manifest says that.
void tar_stream::keep_content(std::size_t at) {
    auto& e = plan_.entries[at];
    auto& s = plan_.steps[at];
    auto const& before = base_->entries[s.before];
    take_content(e, before);
    bool const same = e.mode == before.mode && e.uid == before.uid && e.gid == before.gid &&
                      e.mtime_ns == before.mtime_ns && e.attributes == before.attributes;
    s.what = same ? action::keep : action::describe;
}

void tar_stream::put_whole(std::size_t at, digest const& content, std::string_view bytes) {
    auto& e = plan_.entries[at];
    if (!put_header(at, e)) return;
    tar_.data(bytes);
    e.content = content;
    e.archive = archive_;
    plan_.steps[at].what = action::store;
    bytes_stored_ += e.size;
}

// How much of the file is in the base, when only what follows is to be stored; 0: all of it is.
std::uint64_t tar_stream::known_prefix(std::size_t at) const {
    auto const& s = plan_.steps[at];
    if (s.what != action::append) return 0;
    auto const& e = plan_.entries[at];
    auto const& before = base_->entries[s.before];
    if (e.size <= before.size || e.inode != before.inode) return 0;
    // A name that no file can have, or that one has.
    auto const tail = tail_name{e.path, before.size}.text();
    auto const other = place_of(plan_.entries, tail);
    bool const taken = other != plan_.entries.end() && other->path == tail;
    return taken || leaf_of(tail).size() > NAME_MAX ? 0 : before.size;
}

// The beginning has been read: when it is what the base has, the rest is all there is to store.
void tar_stream::begin_tail() {
    auto& now = *large_;
    auto const at = now.at;
    auto const& e = plan_.entries[at];
    auto const& before = base_->entries[plan_.steps[at].before];
    if (hash_.so_far() != before.content) {
        hash_.finish();
        plan_.steps[at].what = action::store;
        return read(at);
    }
    now.comparing = false;
    auto tail = e;
    tail.path = tail_name{e.path, now.prefix}.text();
    tail.size -= now.prefix;
    tail.attributes.emplace_back(tail_attribute, std::to_string(now.prefix));
    tail_hash_.finish();
    if (put_header(at, tail)) return;
    hash_.finish();
    large_.reset();
}

void tar_stream::pump() {
    auto& now = *large_;
    auto& e = plan_.entries[now.at];
    if (now.prefix > 0 && now.comparing && now.done == now.prefix) return begin_tail();
    if (now.done == e.size) return now.comparing ? compare_large() : end_large();
    auto const piece = next_piece();
    if (now.comparing && (now.failure || now.ran_short)) return compare_large();
    now.done += piece.size();
    if (!now.sparse) {
        hash_.update(piece);
        if (now.comparing) return;
        if (now.prefix > 0) tail_hash_.update(piece);
        tar_.data(piece);
        return;
    }
    // What is hashed is what is stored: the map and the data.
    auto& sink = now.comparing ? *now.nowhere : tar_;
    auto const had = sink.pending().size();
    sink.data(piece);
    auto const stored = std::string_view(sink.pending()).substr(had);
    hash_.update(stored);
    e.stored += stored.size();
    if (now.comparing) sink.pending().clear();
}

// The next bytes of the large file; zeros for a hole, which is not read, and for what is missing:
// the header has promised its size.
std::string_view tar_stream::next_piece() {
    auto& now = *large_;
    while (now.part < now.map.size() &&
           now.map[now.part].offset + now.map[now.part].size <= now.done)
        ++now.part;
    auto const size = plan_.entries[now.at].size;
    bool const at_end = now.part == now.map.size();
    auto const data = at_end ? size : now.map[now.part].offset;
    if (now.done < data) {
        static std::string const zeros(std::size_t(1) << 20, '\0');
        auto const n = std::min<std::uint64_t>(data - now.done, zeros.size());
        bytes_read_ += n;
        if (!now.ran_short && !now.failure) now.sound = now.done + n;
        return std::string_view(zeros).substr(0, static_cast<std::size_t>(n));
    }
    auto const end = now.prefix > 0 && now.comparing ? now.prefix : data + now.map[now.part].size;
    auto const bytes = std::min<std::uint64_t>(end - now.done, piece_bytes);
    std::span const room(buffer_.get(), static_cast<std::size_t>(bytes));
    std::size_t done = 0;
    if (!now.ran_short && !now.failure) {
        if (!read_up_to(now.file.get(), now.done, room.data(), room.size(), done))
            now.failure = errno;
        else if (done < room.size())
            now.ran_short = true;
        bytes_read_ += done;
        now.sound = now.done + done;
    }
    std::fill(room.begin() + static_cast<std::ptrdiff_t>(done), room.end(), '\0');
    return {room.data(), room.size()};
}

// The first pass of a check has ended: the same content, or a second pass that stores it.
void tar_stream::compare_large() {
    auto& now = *large_;
    auto const at = now.at;
    auto const content = hash_.finish();
    struct stat after {};
    if (!now.failure && ::fstat(now.file.get(), &after) != 0) now.failure = errno;
    if (now.failure) {
        auto const before = plan_.steps[at].before;
        bool const has_old = before != not_in_base && base_->entries[before].has_content();
        if (has_old || !cut_short()) lose_large();
        return;
    }
    if (!now.ran_short && same_moment(now.before, after) && known(at, content)) {
        large_.reset();
        return;
    }
    plan_.steps[at].what = action::store;
    ++now.tries;
    read(at);
}

void tar_stream::end_large() {
    auto& now = *large_;
    auto const at = now.at;
    auto& e = plan_.entries[at];
    auto const content = hash_.finish();
    struct stat after {};
    if (!now.failure && ::fstat(now.file.get(), &after) != 0) now.failure = errno;
    bool const last_try = now.tries + 1 >= most_tries;
    if (now.failure || (now.ran_short && last_try)) {
        if (!cut_short()) lose_large();
        return;
    }
    bytes_stored_ += e.size - now.prefix;
    e.content = content;
    e.archive = archive_;
    if (now.prefix > 0) {
        auto const& before = base_->entries[plan_.steps[at].before];
        e.parts.clear();
        for_each_stretch(before, [&e](stretch const& s) { e.parts.push_back(s); });
        e.parts.push_back({archive_, e.offset, e.size - now.prefix, tail_hash_.finish()});
    }
    if (now.limit != whole) return end_cut();
    bool const settled = !now.ran_short && same_moment(now.before, after);
    bool const only_grew = !now.ran_short && after.st_size > now.before.st_size; // a log
    if (!settled && !only_grew && !last_try) {
        ++now.tries;
        return read(at);
    }
    if (!settled) flag(at, "changed while it was read; stored as read");
    large_.reset();
}

// Once more, only as far as it can be read: the member that is there has zeros behind that. False
// when there is nothing to be had.
bool tar_stream::cut_short() {
    auto& now = *large_;
    auto const at = now.at;
    auto const sound = now.sound;
    auto const cause = now.failure;
    auto const cuts = now.cuts + 1;
    if (cause != 0 && (sound == 0 || cuts > most_tries)) return false;
    auto const before = now.before;
    auto file = std::move(now.file);
    plan_.steps[at].what = action::store;
    if (cause == 0 && (sound <= small_file || cuts > most_tries)) {
        // It shrinks while we read: what is there now, in one piece.
        large_.reset();
        plan_.entries[at].size = std::min<std::uint64_t>(sound, small_file);
        read_small(at, file.get(), before, true);
        return true;
    }
    if (!begin_large(at, std::move(file), before, now.tries, sound)) {
        large_.reset();
        return true; // and named
    }
    large_->cause = cause;
    large_->cuts = cuts;
    return true;
}

// Its beginning is stored. What is known of the whole of it is better, if there is any.
void tar_stream::end_cut() {
    auto const now = std::exchange(large_, std::nullopt);
    auto& e = plan_.entries[now->at];
    if (now->cause == 0) return flag(now->at, "changed while it was read; stored as read");
    auto const why = system_message(now->cause) + ": only the first " + std::to_string(e.size) +
                     " of " + std::to_string(now->before.st_size) + " bytes could be read";
    e.flags |= flag_partial;
    auto const& s = plan_.steps[now->at];
    if (s.before != not_in_base && base_->entries[s.before].has_content())
        return lose(now->at, 0, why);
    errors_.push_back({e.path, why});
}

void tar_stream::lose_large() {
    auto const at = large_->at;
    auto const number = large_->failure;
    large_.reset();
    lose(at, number);
}

void tar_stream::flag(std::size_t at, std::string const& why) {
    plan_.entries[at].flags |= flag_unsettled;
    notes_.push_back({plan_.entries[at].path, why});
}

// Not to be had: what the base knows of it stays, if it knows anything.
void tar_stream::lose(std::size_t at, int number, std::string const& why) {
    auto& e = plan_.entries[at];
    auto& s = plan_.steps[at];
    if (number == ENOENT) { // deleted since the walk: no failure
        dropped_[at] = true;
        return;
    }
    errors_.push_back({e.path, number ? system_message(number) : why});
    auto const* before = s.before == not_in_base ? nullptr : &base_->entries[s.before];
    if (!before || !before->has_content()) {
        dropped_[at] = true;
        return;
    }
    e = *before;
    e.flags |= flag_stale;
    s.what = action::keep;
}

plan tar_stream::finish(std::vector<problem>& errors, std::vector<problem>& notes) {
    settle(plan_, std::move(dropped_), errors_);
    errors.insert(errors.end(), errors_.begin(), errors_.end());
    notes.insert(notes.end(), notes_.begin(), notes_.end());
    return std::move(plan_);
}

} // namespace trawl::backup::detail
