#include "backup/making.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

namespace trawl::backup::detail {

namespace fs = std::filesystem;

void making::open() {
    now_ = options_.now ? options_.now() : std::chrono::system_clock::now();
    check_options();
    open_source();
    open_destination();
    timespec walk_begins{};
    ::clock_gettime(CLOCK_REALTIME, &walk_begins); // not now_: it is compared with times of files
    started_ns_ = nanoseconds(walk_begins);
    walker_.emplace(source_.get(), rules_of(options_, store_->folder()));
}

void making::check_options() const {
    auto const refuse = [](char const* why) { throw error(errc::bad_option, "backup", why); };
    if (options_.between != kind::incremental && options_.between != kind::differential)
        refuse("between two fulls are increments or differentials");
    if (options_.rehash_part > options_.rehash_parts)
        refuse("the part to be hashed again is one of 1 to the number of parts");
    if (options_.full_every.count() < 0) refuse("a full every so many days");
}

void making::prepare() {
    auto found = walker_->result();
    walker_.reset();
    if (found.left_out) note("the destination lies inside the source and is left out");
    walk_errors_ = std::move(found.errors);
    report_.excluded = found.excluded;

    auto const* base = report_.made == kind::full ? nullptr : &base_->state;
    auto const index = base ? static_cast<std::uint32_t>(base->chain.size()) : 0;
    auto const again = rehash{options_.rehash_part, options_.rehash_parts}.on(local_day(now_));
    compressor_.emplace(options_.zstd ? codec::zstd : codec::gzip, options_.level);
    stream_.emplace(source_.get(), compare(std::move(found), base, again, options_.append_delta),
                    base, options_.hash, index, compressor_->block_bytes());
    archive_ = store_->create("." + options_.name + ".archive.partial");
    append(compressor_->head());
}

void making::open_source() {
    std::error_code ec;
    auto const root = fs::canonical(options_.source, ec);
    if (ec) throw error(ec, "backup " + options_.source.string());
    if (root_.empty()) root_ = root.string();
    source_ = descriptor(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!source_) throw error(errc::bad_source, "backup " + root_, system_message(errno));
    if (options_.name.empty()) options_.name = root.filename().string();
    if (!is_name(options_.name))
        throw error(errc::bad_name, "backup " + root_, "\"" + options_.name + "\" as NAME");
}

void making::open_destination() {
    store_ = options_.store ? options_.store : local_store(options_.destination);
    store_->open(true);
    destination_ = store_->where();
    if (auto const folder = store_->folder(); !folder.empty()) {
        struct stat source {
        }, destination{};
        if (::fstat(source_.get(), &source) != 0 || ::stat(folder.c_str(), &destination) != 0)
            fail(errno, destination_);
        if (source.st_dev == destination.st_dev && source.st_ino == destination.st_ino)
            throw error(errc::bad_source, "backup " + root_, "it is the destination, too");
    }
    lock_ = store_->lock("." + options_.name + ".lock");
    if (!lock_) throw error(errc::locked, "backup " + destination_ + " " + options_.name);
}

void making::load_base(std::stop_token const& stop) {
    std::vector<problem> damage;
    try {
        base_ = newest(*store_, options_.name, std::nullopt, damage, stop);
    } catch (error const& failure) {
        if (failure.code() != errc::no_such_archive && failure.code() != errc::corrupt) throw;
    }
    for (auto const& d : damage) note(d.path + " is of no use: " + d.message);
    // Nobody wants the next one to be readable to everybody because a word was forgotten.
    if (!base_ && has_sealed(*store_, options_.name))
        throw error(errc::no_key, "backup " + destination_ + " " + options_.name,
                    "the others of this name are encrypted");
    if (!base_) return;
    if (auto const why = why_unusable(*base_); !why.empty()) {
        note(base_->file + " is no base: " + why);
        base_.reset();
    }
}

std::string making::why_unusable(loaded const& base) const {
    if (base.state.algorithm != options_.hash) return "its hashes are of another kind";
    if (base.state.root != root_) return "it is of " + base.state.root;
    for (auto const& link : base.state.chain) {
        auto const bytes = store_->size(link.archive);
        if (!bytes) return link.archive + ": " + system_message(ENOENT);
        if (*bytes != link.bytes)
            return link.archive + " has another size than it was written with";
    }
    return {};
}

namespace {
std::int64_t since_1970(std::chrono::system_clock::time_point when) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}
} // namespace

void making::choose(std::stop_token const& stop) {
    load_base(stop);
    // A backup is dated behind its base, if only by a nanosecond: that is no clock set back.
    if (base_ && base_->state.self().created_ns > since_1970(now_ + std::chrono::seconds(1)))
        note("the clock was set back: " + base_->file + " is of a later time than now");
    auto made = decide(options_, local_day(now_), known_past());
    if (made && made->made == kind::differential) {
        stand_on_full(stop);
        if (!base_) made = decide(options_, local_day(now_), std::nullopt);
    }
    if (!made) {
        auto const why = report_.notes.empty() ? "a full backup has to come first"
                                               : report_.notes.back().message;
        throw error(errc::no_such_archive, "backup " + destination_ + " " + options_.name, why);
    }
    report_.made = made->made;
    report_.reason = std::move(made->why);
    stem_ = free_stem();
}

std::optional<past> making::known_past() const {
    if (!base_) return std::nullopt;
    auto const& chain = base_->state.chain;
    past known;
    std::chrono::nanoseconds const created(chain.front().created_ns);
    known.full_day = local_day(std::chrono::system_clock::time_point(
        std::chrono::duration_cast<std::chrono::system_clock::duration>(created)));
    known.full_bytes = chain.front().bytes;
    for (auto const& link : chain) known.later_bytes += link.bytes;
    known.later_bytes -= known.full_bytes;
    known.later = static_cast<std::uint32_t>(chain.size() - 1);
    if (options_.between != kind::differential) return known;
    // Of the differentials only the last one is in the chain.
    auto const full = parse_dated(chain.front().manifest);
    for (auto const& file : store_->list()) {
        auto const dated = parse_dated(file);
        known.later += full && dated && dated->name == options_.name &&
                       dated->made == kind::differential && dated->stamp >= full->stamp &&
                       file != chain.back().manifest;
    }
    return known;
}

// A differential's base is the full itself, by its own manifest.
void making::stand_on_full(std::stop_token const& stop) {
    if (base_->state.chain.size() == 1) return;
    auto const& full = base_->state.chain.front();
    std::string why;
    try {
        auto found = load(*store_, full.manifest, stop);
        if (found.hash == full.manifest_hash) {
            base_ = std::move(found);
            return;
        }
        why = "it is not the one that " + base_->file + " stands on";
    } catch (error const& failure) {
        if (failure.code() != errc::no_such_archive && !is_damage(failure.code())) throw;
        why = words_of(failure);
    }
    note(full.manifest + " is no base: " + why);
    base_.reset();
}

// The first of a day has the date, further ones the time as well; the clock's second may be taken,
// too.
std::string making::free_stem() const {
    auto const taken = [&](std::string const& stem) {
        for (auto const* suffix : {".tar.gz", ".tar.zst", ".manifest.json"})
            if (store_->size(stem + suffix)) return true;
        return false;
    };
    dated_name name{options_.name, stamp_of(now_, false), report_.made};
    for (int later = 0; later < 3600; ++later) {
        if (!taken(stem_of(name))) return stem_of(name);
        name.stamp = stamp_of(now_ + std::chrono::seconds(later), true);
    }
    throw error(errc::exists, "backup " + destination_ + "/" + stem_of(name));
}

void making::write(squeezed const& block) {
    compressor_->count(block);
    append(block.bytes);
    blocks_.push_back(static_cast<std::uint32_t>(block.bytes.size()));
}

void making::append(std::string_view bytes) {
    archive_hash_.update(bytes);
    archive_->write(bytes);
    archive_bytes_ += bytes.size();
}

void making::publish() {
    append(compressor_->tail());

    report_.errors = walk_errors_;
    auto done = stream_->finish(report_.errors, report_.notes);
    report_.entries = stream_->members();
    report_.bytes_in = stream_->bytes_stored();
    report_.bytes_out = archive_bytes_;
    report_.rehashed = stream_->rehashed();
    tally(done);

    auto state = new_state(std::move(done));
    report_.deleted = state.deleted.size();
    auto& self = state.chain.back();
    self.archive = stem_ + std::string(compressor_->suffix());
    self.bytes = report_.bytes_out;
    self.archive_hash = archive_hash_.finish();
    self.manifest = stem_ + ".manifest.json";
    auto const own = store_->create("." + options_.name + ".manifest.partial");
    auto const copy = store_->create("." + options_.name + ".latest.partial");
    serialize(state, [&](std::string_view piece) {
        own->write(piece);
        copy->write(piece);
    });

    archive_->publish(self.archive, false);
    own->publish(self.manifest, false);
    copy->publish(latest_of(options_.name), true);
    report_.file = store_->shown(self.archive);
    report_.manifest = store_->shown(self.manifest);
}

void making::tally(plan const& done) {
    for (auto const& s : done.steps) {
        if (s.before == not_in_base) {
            ++report_.added;
            report_.renamed += s.what == action::refer;
        } else if (s.what == action::store || s.what == action::refer || s.what == action::append) {
            ++report_.changed;
            report_.appended += s.what == action::append;
        } else if (s.what == action::describe)
            ++report_.metadata_only;
        else
            ++report_.unchanged;
    }
}

manifest making::new_state(plan done) {
    manifest state;
    state.name = options_.name;
    state.root = root_;
    state.algorithm = options_.hash;
    state.started_ns = started_ns_;
    auto created_ns = since_1970(now_);
    if (report_.made != kind::full) {
        // Whatever the clock says, what stands on another one is later.
        created_ns = std::max(created_ns, base_->state.self().created_ns + 1);
        state.chain = base_->state.chain;
        state.chain.back().manifest_hash = base_->hash;
        state.deleted = deletions(done.entries, base_->state);
    }
    auto& self = state.chain.emplace_back();
    self.made = report_.made;
    self.block_bytes = compressor_->block_bytes();
    self.blocks = std::move(blocks_);
    self.created_ns = created_ns;
    state.entries = std::move(done.entries);
    state.errors = report_.errors;
    return state;
}

} // namespace trawl::backup::detail
