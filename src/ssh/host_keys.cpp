#include "ssh/base64.hpp"
#include "ssh/known_hosts.hpp"
#include "ssh/known_hosts_file.hpp"

#include <trawl/ssh.hpp>

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace trawl::ssh {

using detail::known_entry;
using detail::line_kind;
using detail::record_name;

std::string host_key::fingerprint() const { return detail::sha256_fingerprint(blob); }

struct host_keys::state {
    /// A host's entries, as far as they have been looked for.
    struct lookup {
        std::size_t scanned = 0; // of `searched`
        std::vector<std::size_t> hits;
    };
    struct record {
        known_entry entry;
        std::size_t origin;
    };

    explicit state(options configuration) : how(std::move(configuration)) {
        if (how.file.empty()) return;
        file = std::make_shared<detail::known_hosts_file>(how.file);
        if (how.blocking) lane.emplace(how.blocking->make_strand());
    }

    std::size_t origin(std::string_view name) {
        auto const found = std::find(origins.begin(), origins.end(), name);
        if (found != origins.end()) return static_cast<std::size_t>(found - origins.begin());
        origins.emplace_back(name);
        return origins.size() - 1;
    }

    void add(known_entry entry, std::size_t from) {
        auto const index = records.size();
        if (entry.plain()) {
            for (auto const& name : entry.patterns) {
                named[name].push_back(index);
                if (auto seen = cache.find(name); seen != cache.end()) insert(seen->second, index);
            }
        } else {
            searched.push_back(index);
        }
        records.push_back({std::move(entry), from});
    }

    static void insert(lookup& into, std::size_t index) {
        auto& hits = into.hits;
        auto const place = std::lower_bound(hits.begin(), hits.end(), index);
        if (place == hits.end() || *place != index) hits.insert(place, index);
    }

    /// Looks at `limit` more of the entries that have no index; true when all are done.
    bool advance(std::string const& name, std::size_t limit) {
        auto [seen, fresh] = cache.try_emplace(name);
        if (fresh)
            if (auto found = named.find(name); found != named.end())
                seen->second.hits = found->second;
        auto& at = seen->second;
        for (; at.scanned < searched.size() && limit > 0; ++at.scanned, --limit) {
            auto const index = searched[at.scanned];
            if (records[index].entry.applies_to(name)) insert(at, index);
        }
        return at.scanned == searched.size();
    }

    std::vector<std::size_t> const& entries_of(std::string const& name) {
        advance(name, static_cast<std::size_t>(-1));
        return cache.find(name)->second.hits;
    }

    void parse(std::string_view text, std::string_view origin_name, std::size_t line) {
        auto const from = origin(origin_name);
        std::size_t skipped = 0;
        for (; !text.empty(); ++line) {
            auto const end = std::min(text.find('\n'), text.size());
            known_entry entry;
            auto const kind = detail::parse_line(text.substr(0, end), entry);
            text.remove_prefix(std::min(end + 1, text.size()));
            entry.line = line;
            if (kind == line_kind::entry)
                add(std::move(entry), from);
            else if (kind != line_kind::nothing && ++skipped <= 5)
                complain(from, line);
        }
        if (skipped > 5 && how.log)
            how.log->log(severity::warning, "ssh known_hosts " + origins[from],
                         std::to_string(skipped - 5) + " more lines were skipped");
    }

    void complain(std::size_t from, std::size_t line) const {
        if (!how.log) return;
        auto const where = "ssh known_hosts " + origins[from] + ":" + std::to_string(line);
        how.log->log(severity::warning, where, "not a known_hosts line, skipped");
    }

    answer compare(std::string const& name, host_key const& shown) {
        answer out;
        record const *other = nullptr, *authority = nullptr;
        for (auto index : entries_of(name)) {
            auto const& at = records[index];
            if (at.entry.authority) {
                if (!authority) authority = &at;
                continue;
            }
            bool const same = at.entry.key.blob == shown.blob;
            if (at.entry.revoked) {
                if (same) return {verdict::revoked, place(at), std::nullopt, {}};
                continue;
            }
            if (same && out.verdict != verdict::match)
                out = {verdict::match, place(at), std::nullopt, {}};
            // The record of the same type says the most about what changed.
            if (!other || (other->entry.key.type != shown.type && at.entry.key.type == shown.type))
                other = &at;
        }
        if (out.verdict != verdict::match && other)
            out = {verdict::changed, place(*other), other->entry.key, {}};
        if (out.verdict == verdict::unknown && authority) out.authority = place(*authority);
        return out;
    }

    std::string place(record const& at) const {
        auto const& from = origins[at.origin];
        return at.entry.line ? from + ":" + std::to_string(at.entry.line) : from;
    }

    /// The key counts from now on; its line is known once it is written.
    std::size_t add_new(std::string const& name, host_key const& key) {
        known_entry entry;
        entry.key = key;
        entry.patterns.push_back(name);
        add(std::move(entry), origin(file ? how.file.native() : "this run"));
        return records.size() - 1;
    }

    void withdraw(std::string const& name, std::size_t index) {
        std::erase(named[name], index);
        if (auto seen = cache.find(name); seen != cache.end()) std::erase(seen->second.hits, index);
    }

    options how;
    std::shared_ptr<detail::known_hosts_file> file; // touched on `lane` only once there is one
    std::optional<offload_pool::strand> lane;
    std::vector<std::string> origins;
    std::deque<record> records;
    std::unordered_map<std::string, std::vector<std::size_t>> named;
    std::vector<std::size_t> searched; // wildcards, negations, hashes: no index helps
    std::unordered_map<std::string, lookup> cache;
};

host_keys::host_keys() : host_keys(options()) {}

host_keys::host_keys(options configuration)
    : state_(std::make_unique<state>(std::move(configuration))) {
    if (!state_->file) return;
    auto const text = state_->file->read();
    state_->parse(text, state_->how.file.native(), 1);
}

host_keys::~host_keys() = default;

void host_keys::log_to(observer* log) noexcept { state_->how.log = log; }

void host_keys::parse(std::string_view text, std::string_view origin) {
    state_->parse(text, origin, 1);
}

std::size_t host_keys::size() const noexcept { return state_->records.size(); }

awaitable<> host_keys::prepare(std::string host, std::uint16_t port) {
    auto const name = record_name(host, port);
    // 256 hashed lines are some 60 us: well under a millisecond between two turns of the loop.
    while (!state_->advance(name, 256)) co_await yield();
}

std::vector<std::string> host_keys::types(std::string_view host, std::uint16_t port) const {
    std::vector<std::string> out;
    for (auto index : state_->entries_of(record_name(host, port))) {
        auto const& entry = state_->records[index].entry;
        bool const own = !entry.revoked && !entry.authority;
        if (own && std::find(out.begin(), out.end(), entry.key.type) == out.end())
            out.push_back(entry.key.type);
    }
    return out;
}

host_keys::answer host_keys::check(std::string_view host, std::uint16_t port,
                                   host_key const& shown) const {
    return state_->compare(record_name(host, port), shown);
}

awaitable<host_keys::answer> host_keys::remember(std::string host, std::uint16_t port,
                                                 host_key shown) {
    auto const name = record_name(host, port);
    auto known = state_->compare(name, shown);
    if (known.verdict != verdict::unknown) co_return known;
    auto const index = state_->add_new(name, shown);
    if (!state_->file) co_return state_->compare(name, shown);

    detail::known_hosts_file::addition added;
    std::exception_ptr failure;
    try {
        if (state_->lane) {
            auto work = [file = state_->file, name, shown] { return file->append(name, shown); };
            added = co_await state_->how.blocking->run(*state_->lane, std::move(work));
        } else {
            added = state_->file->append(name, shown);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure || !added.written) state_->withdraw(name, index);
    if (failure) std::rethrow_exception(failure);
    state_->records[index].entry.line = added.line;
    state_->parse(added.others, state_->how.file.native(), added.others_line);
    co_return state_->compare(name, shown);
}

} // namespace trawl::ssh
