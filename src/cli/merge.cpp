#include "cli/merge.hpp"

#include "cli/durable.hpp"
#include "cli/line_reader.hpp"
#include "cli/output_file.hpp"
#include "cli/verb.hpp"

#include <trawl/icmp.hpp>

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <numeric>
#include <set>

namespace trawl::cli {
namespace merge {
namespace {

constexpr icmp::status statuses[] = {icmp::status::up, icmp::status::down,
                                     icmp::status::unreachable, icmp::status::unknown};

std::uint64_t sum(counts const& all) {
    return std::accumulate(all.begin(), all.end(), std::uint64_t(0));
}

descriptor open_part(std::filesystem::path const& file, struct stat& seen) {
    descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); // a FIFO does not block
    if (in.get() < 0 || ::fstat(in.get(), &seen) != 0) fail(file.string());
    if (!S_ISREG(seen.st_mode))
        throw refused(file.string() + ": it is no ordinary file; it has to be read twice");
    return in;
}

/// Takes the lines of one file and knows what is wrong with them.
class inspection {
public:
    explicit inspection(std::filesystem::path const& file) { found_.file = file; }

    void take(std::string_view line, std::uint64_t offset) {
        ++number_;
        if (summed_up_) refuse("something follows its summary: two runs in one file");
        if (line.back() != '\n')
            refuse(line.size() >= most_line
                       ? fmt::format("it is longer than {} bytes", most_line)
                       : "it breaks off: the run was killed, or the disk full");
        boost::json::monotonic_resource memory(space_.data(), space_.size());
        std::error_code failure;
        auto const parsed = boost::json::parse(line, failure, &memory);
        auto const* record = parsed.if_object();
        if (failure || !record) refuse("it is no JSON object");
        if (whole_number(*record, "v") != 1u) refuse("it has no \"v\":1");
        if (text(*record, "verb") != "ping") refuse("it is no record of trawl ping");
        auto const type = text(*record, "type");
        if (type == "host") take_host(*record);
        if (type == "summary") take_summary(*record, offset);
    }

    part end() {
        number_ = 0; // it is about the whole file
        if (!summed_up_) refuse("it has no summary at its end: the run was killed");
        return found_;
    }

private:
    [[noreturn]] void refuse(std::string const& why) const {
        auto const line = number_ ? fmt::format(":{}", number_) : std::string();
        throw refused(fmt::format("{}{}: {}", found_.file.string(), line, why));
    }

    static std::string_view text(boost::json::object const& record, std::string_view name) {
        auto const* value = record.if_contains(name);
        return value && value->is_string() ? std::string_view(value->get_string()) : "";
    }

    void take_host(boost::json::object const& record) {
        auto const said = text(record, "status");
        auto const* known = std::ranges::find(statuses, said, icmp::to_string);
        if (known == std::end(statuses)) refuse("its status is none that trawl ping writes");
        ++hosts_[static_cast<std::size_t>(*known)];
    }

    void take_summary(boost::json::object const& record, std::uint64_t offset) {
        summed_up_ = true;
        found_.body = offset;
        auto const of = portion::read(record);
        auto const targets = whole_number(record, "targets");
        auto const exit = whole_number(record, "exit");
        if (!of) refuse("the summary does not say which shard of which sweep it is of");
        if (!targets || !exit) refuse("the summary has no \"targets\" or no \"exit\"");
        if (*exit == interrupted) refuse("the run was stopped by Ctrl-C; resume or repeat it");
        found_.of = *of;
        found_.targets = *targets;
        if (auto const* elapsed = record.if_contains("elapsed"); elapsed && elapsed->is_number())
            found_.elapsed = elapsed->to_number<double>();
        for (auto const status : statuses) {
            auto const count = whole_number(record, icmp::to_string(status));
            auto const hosts = hosts_[static_cast<std::size_t>(status)];
            if (!count) refuse(fmt::format("the summary has no \"{}\"", icmp::to_string(status)));
            if (*count != hosts)
                refuse(fmt::format("the summary counts {} {}, the file has {}", *count,
                                   icmp::to_string(status), hosts));
        }
        if (sum(hosts_) != *targets)
            refuse(fmt::format("the summary counts {} targets, the file has {}", *targets,
                               sum(hosts_)));
        found_.by_status = hosts_;
    }

    part found_;
    counts hosts_{};
    std::uint64_t number_ = 0;
    bool summed_up_ = false;
    std::array<unsigned char, 4096> space_; ///< a record's values, without an allocation
};

/// "1, 2, 5 and 7 more"
std::string missing(std::vector<part> const& parts, std::uint64_t count) {
    constexpr std::size_t most_named = 5;
    std::string named;
    std::size_t names = 0;
    std::uint64_t expected = 0;
    for (auto at = parts.begin(); names < most_named && expected < count; ++expected) {
        if (at != parts.end() && at->of.part.index == expected) {
            ++at;
            continue;
        }
        named += fmt::format("{}{}", names++ ? ", " : "", expected);
    }
    auto const more = count - parts.size() - names;
    return more ? fmt::format("{} and {} more", named, more) : named;
}

/// What the exit code of one sweep over all targets would have been.
int exit_code(counts const& by_status, std::uint64_t targets) {
    auto const up = by_status[static_cast<std::size_t>(icmp::status::up)];
    return up == targets ? all_well : up == 0 ? nothing_reached : some_failed;
}

json::record summary(std::vector<part> const& parts) {
    counts all{};
    double elapsed = 0; // they ran side by side: the slowest tells how long it took
    std::uint64_t targets = 0;
    for (auto const& one : parts) {
        for (std::size_t i = 0; i < all.size(); ++i) all[i] += one.by_status[i];
        targets += one.targets;
        elapsed = std::max(elapsed, one.elapsed);
    }
    json::record made("summary", "ping");
    made.field("targets", targets);
    for (auto const status : statuses)
        made.field(icmp::to_string(status), all[static_cast<std::size_t>(status)]);
    made.field("elapsed", elapsed).field("exit", exit_code(all, targets));
    auto whole = parts.front().of;
    whole.part = {};
    whole.describe(made);
    return made.field("merged", parts.size());
}

bool changed(struct stat const& before, struct stat const& now) {
    return before.st_dev != now.st_dev || before.st_ino != now.st_ino ||
           before.st_size != now.st_size || before.st_mtim.tv_sec != now.st_mtim.tv_sec ||
           before.st_mtim.tv_nsec != now.st_mtim.tv_nsec;
}

} // namespace

part inspect(std::filesystem::path const& file) {
    struct stat seen {};
    auto const in = open_part(file, seen);
    line_reader lines(in.get(), file.string(), most_line);
    inspection of(file);
    while (auto const line = lines.next()) of.take(*line, lines.offset());
    auto found = of.end();
    found.seen = seen;
    return found;
}

void check_set(std::vector<part>& parts) {
    auto const& first = parts.front();
    auto const count = first.of.part.count;
    for (auto const& one : parts)
        if (auto const other = first.of.unlike_sweep(one.of); !other.empty())
            throw refused(fmt::format("{}: it is of another sweep than {}: {}", one.file.string(),
                                      first.file.string(), other));
    std::ranges::stable_sort(parts, {}, [](part const& one) { return one.of.part.index; });
    for (std::size_t i = 1; i < parts.size(); ++i)
        if (parts[i].of.part.index == parts[i - 1].of.part.index)
            throw refused(fmt::format("{}: it is shard {}/{}, and so is {}", parts[i].file.string(),
                                      parts[i].of.part.index, count, parts[i - 1].file.string()));
    if (parts.size() != count)
        throw refused(fmt::format("{} of {} shards are missing: {}", count - parts.size(), count,
                                  missing(parts, count)));
    auto const total =
        std::accumulate(parts.begin(), parts.end(), std::uint64_t(0),
                        [](std::uint64_t before, part const& one) { return before + one.targets; });
    for (auto const& one : parts)
        if (one.targets != one.of.part.size(total))
            throw refused(fmt::format("{}: shard {}/{} of {} targets has {}, not {}",
                                      one.file.string(), one.of.part.index, count, total,
                                      one.of.part.size(total), one.targets));
}

void write(std::vector<part> const& parts, output& to) {
    constexpr std::size_t enough = 256u
                                   << 10; // a write(2) for each line would take most of the time
    for (auto const& one : parts) {
        struct stat now {};
        auto const in = open_part(one.file, now);
        if (changed(one.seen, now)) throw refused(one.file.string() + ": it has just changed");
        line_reader lines(in.get(), one.file.string(), most_line);
        std::string block;
        while (auto const line = lines.next()) {
            if (lines.offset() >= one.body) break;
            if (block.append(*line).size() < enough) continue;
            to.raw(block);
            block.clear();
        }
        if (lines.offset() != one.body) throw refused(one.file.string() + ": it has just changed");
        to.raw(block);
    }
    to.record(summary(parts));
}

namespace {

struct options {
    std::vector<std::string> files;
    std::string output;
};

int run(environment& env, options const& o) {
    std::vector<part> parts;
    for (auto const& file : o.files) parts.push_back(inspect(file));
    check_set(parts);
    if (o.output.empty()) {
        write(parts, env.out());
        return all_well;
    }
    output_file file(o.output); // after the reading: it may be one of the parts
    env.out().redirect(file.number(), file.name());
    write(parts, env.out());
    file.commit();
    return all_well;
}

} // namespace
} // namespace merge

void add_merge(CLI::App& app, action& chosen) {
    auto o = std::make_shared<merge::options>();
    auto* verb = app.add_subcommand(
        "merge", "Put the results of all shards of a sweep together, or say what is missing");
    verb->add_option("FILE", o->files, "What trawl ping --json --shard I/N wrote, one file a shard")
        ->required();
    verb->add_option("--output", o->output,
                     "Write to this file, which appears when it is whole, instead of stdout");
    verb->callback([o, &chosen] {
        chosen = [o](environment& env) -> int {
            try {
                return merge::run(env, *o);
            } catch (merge::refused const& e) {
                env.log().log(severity::error, "merge", e.what());
                return some_failed;
            }
        };
    });
}

} // namespace trawl::cli
