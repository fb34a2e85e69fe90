#include "cli/resume.hpp"

#include "cli/durable.hpp"
#include "cli/environment.hpp"

#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <iterator>
#include <numeric>
#include <unistd.h>
#include <utility>
#include <vector>

namespace trawl::cli {
namespace {

constexpr icmp::status statuses[] = {icmp::status::up, icmp::status::down,
                                     icmp::status::unreachable, icmp::status::unknown};

// 64 bytes for each of 65,536 outstanding echoes are 4 MiB.
constexpr std::size_t most_bytes = 64u << 20;

/// The whole of a file; nullopt when there is none.
std::optional<std::string> content(std::filesystem::path const& file) {
    descriptor const in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (in.get() < 0) {
        if (errno == ENOENT) return {};
        fail("--resume " + file.string());
    }
    std::string all;
    std::array<char, 65536> part;
    for (;;) {
        auto const length = ::read(in.get(), part.data(), part.size());
        if (length == 0) return all;
        if (length > 0)
            all.append(part.data(), static_cast<std::size_t>(length));
        else if (errno != EINTR)
            fail("--resume " + file.string());
        if (all.size() > most_bytes)
            throw usage_error("--resume " + file.string() + ": it is too long for a state file");
    }
}

/// [first, last] of the array "done".
std::optional<std::pair<std::uint64_t, std::uint64_t>> run_of(boost::json::value const& pair) {
    if (!pair.is_array() || pair.get_array().size() != 2) return {};
    auto const number = [](boost::json::value const& v) -> std::optional<std::uint64_t> {
        if (v.is_uint64()) return v.get_uint64();
        if (v.is_int64() && v.get_int64() >= 0) return static_cast<std::uint64_t>(v.get_int64());
        return {};
    };
    auto const first = number(pair.get_array()[0]), last = number(pair.get_array()[1]);
    if (!first || !last || *first > *last) return {};
    return std::pair(*first, *last);
}

} // namespace

// ---- done_set ----

bool done_set::add_run(std::uint64_t first, std::uint64_t last) {
    auto const next = runs_.upper_bound(last);
    auto before = next == runs_.begin() ? runs_.end() : std::prev(next);
    if (before != runs_.end() && before->second >= first) return false;
    size_ += last - first + 1;
    bool const joins_before = before != runs_.end() && before->second + 1 == first;
    bool const joins_next = next != runs_.end() && last + 1 == next->first;
    if (joins_before && joins_next) {
        before->second = next->second;
        runs_.erase(next);
    } else if (joins_before) {
        before->second = last;
    } else if (joins_next) {
        auto node = runs_.extract(next); // its last stays
        node.key() = first;
        runs_.insert(std::move(node));
    } else {
        runs_.emplace_hint(next, first, last);
    }
    return true;
}

bool done_set::contains(std::uint64_t position) const {
    auto const next = runs_.upper_bound(position);
    return next != runs_.begin() && std::prev(next)->second >= position;
}

std::uint64_t done_set::low_water() const {
    return runs_.empty() || runs_.begin()->first != 0 ? 0 : runs_.begin()->second + 1;
}

// ---- progress_file ----

progress_file::progress_file(std::filesystem::path file, portion const& of, std::uint64_t targets,
                             bool to_file)
    : file_(std::move(file)), of_(of), targets_(targets), to_file_(to_file) {
    if (auto const text = content(file_)) load(*text);
}

void progress_file::refuse(std::string const& why) const {
    throw usage_error(fmt::format("--resume {}: {}", file_.string(), why));
}

void progress_file::load(std::string const& text) {
    std::error_code failure;
    auto const parsed = boost::json::parse(text, failure);
    auto const* state = parsed.if_object();
    auto const is = [&](char const* name, std::string_view value) {
        auto const* found = state->if_contains(name);
        return found && found->is_string() && found->get_string() == value;
    };
    if (failure || !state || !is("type", "progress"))
        refuse("it is no state file of a sweep; remove it to begin anew");
    if (whole_number(*state, "v") != 1u || !is("verb", "ping"))
        refuse("it was written by another version or verb of trawl");
    auto const theirs = portion::read(*state);
    auto const* runs = state->if_contains("done");
    auto const* bytes = state->if_contains("bytes");
    if (!theirs || !runs || !runs->is_array() || !bytes)
        refuse("it is damaged; remove it to begin anew");

    if (auto const other = of_.unlike_sweep(*theirs); !other.empty())
        refuse(fmt::format("it is of another sweep: {}", other));
    if (theirs->part.index != of_.part.index)
        refuse(fmt::format("it is of shard {}/{}, this is {}/{}", theirs->part.index,
                           theirs->part.count, of_.part.index, of_.part.count));
    if (bytes->is_null() == to_file_)
        refuse(to_file_ ? "that run wrote to stdout; go on without --output"
                        : "that run wrote to a file; go on with the same --output");
    for (auto const& pair : runs->get_array()) {
        auto const run = run_of(pair);
        if (!run || run->second >= targets_ || !done_.add_run(run->first, run->second))
            refuse("it is damaged; remove it to begin anew");
    }
    for (auto const status : statuses)
        counts_[static_cast<std::size_t>(status)] =
            whole_number(*state, icmp::to_string(status)).value_or(0);
    auto const length = to_file_ ? whole_number(*state, "bytes") : 0;
    if (whole_number(*state, "targets") != targets_ || !length ||
        std::accumulate(counts_.begin(), counts_.end(), std::uint64_t(0)) != done_.size())
        refuse("it is damaged; remove it to begin anew");
    bytes_ = *length;
}

bool progress_file::note(std::uint64_t position, icmp::status status) {
    if (!done_.add(position)) return false;
    ++counts_[static_cast<std::size_t>(status)];
    changed_ = true;
    return true;
}

bool progress_file::due(time_point now, duration interval) const noexcept {
    return changed_ && now - saved_ >= interval;
}

json::record progress_file::header(std::uint64_t output_bytes) const {
    json::record made("progress", "ping");
    of_.describe(made);
    made.field("targets", targets_);
    for (auto const status : statuses)
        made.field(icmp::to_string(status), counts_[static_cast<std::size_t>(status)]);
    if (to_file_)
        made.field("bytes", output_bytes);
    else
        made.field("bytes", nullptr);
    return made;
}

std::function<void()> progress_file::saving(std::uint64_t output_bytes, time_point now) {
    changed_ = false;
    saved_ = now;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> runs(done_.runs().begin(),
                                                              done_.runs().end());
    return [file = file_, made = header(output_bytes), runs = std::move(runs)]() mutable {
        boost::json::array pairs;
        pairs.reserve(runs.size());
        for (auto const& [first, last] : runs) pairs.push_back(boost::json::array{first, last});
        replace(file, made.field("done", boost::json::value(std::move(pairs))).line() + '\n');
    };
}

void progress_file::remove() const {
    if (::unlink(file_.c_str()) != 0 && errno != ENOENT) fail("remove " + file_.string());
}

} // namespace trawl::cli
