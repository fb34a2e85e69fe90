#include "cli/ssh_only.hpp"

#include "cli/environment.hpp"
#include "cli/line_reader.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <fmt/format.h>

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace trawl::cli {
namespace {

namespace bj = boost::json;

constexpr std::size_t longest_record = 64u << 20;

struct opened_file {
    explicit opened_file(std::string const& name)
        : number(::open(name.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (number < 0)
            throw error(std::error_code(errno, std::generic_category()), "--only " + name);
    }
    opened_file(opened_file const&) = delete;
    opened_file& operator=(opened_file const&) = delete;
    ~opened_file() { ::close(number); }
    int number;
};

std::string_view text_of(bj::object const& record, std::string_view name) {
    auto const* value = record.if_contains(name);
    auto const* text = value ? value->if_string() : nullptr;
    return text ? std::string_view(*text) : std::string_view();
}

} // namespace

earlier_results::earlier_results(std::string_view words) {
    auto const at = words.find('@');
    auto kinds = words.substr(0, at);
    if (at == words.npos || at + 1 == words.size())
        throw usage_error("--only: failed@FILE, nonzero@FILE or unfinished@FILE is wanted");
    while (!kinds.empty()) {
        auto const kind = kinds.substr(0, kinds.find(','));
        if (kind == "failed")
            failed_ = true;
        else if (kind == "nonzero")
            nonzero_ = true;
        else if (kind == "unfinished")
            unfinished_ = true;
        else
            throw usage_error(
                fmt::format("--only: '{}' is none of failed, nonzero, unfinished", kind));
        kinds.remove_prefix(std::min(kind.size() + 1, kinds.size()));
    }
    read(std::string(words.substr(at + 1)));
}

void earlier_results::read(std::string const& file) {
    opened_file const in(file);
    line_reader lines(in.number, file, longest_record);
    for (std::size_t number = 1; auto line = lines.next(); ++number)
        take(*line, fmt::format("{}:{}", file, number));
}

/// The last record of a host counts: a file may hold several runs.
void earlier_results::take(std::string_view line, std::string const& place) {
    std::error_code bad;
    auto const parsed = bj::parse(bj::string_view(line.data(), line.size()), bad);
    auto const* record = bad ? nullptr : parsed.if_object();
    if (!record) throw usage_error(place + ": not a line of trawl ssh --json");
    if (text_of(*record, "type") != "host" || text_of(*record, "verb") != "ssh") return;
    auto const target = std::string(text_of(*record, "target"));
    auto const* status = record->if_contains("exit_status");
    auto how = outcome::good;
    if (text_of(*record, "status") != "ok")
        how = outcome::failed;
    else if (!status || !status->is_int64() || status->as_int64() != 0)
        how = outcome::nonzero;
    if (hosts_.insert_or_assign(target, how).second) order_.push_back(target);
}

bool earlier_results::wants(outcome how) const noexcept {
    return (failed_ && how == outcome::failed) || (nonzero_ && how == outcome::nonzero);
}

bool earlier_results::wants(targets::target const& one) const {
    auto const found = hosts_.find(one.to_string());
    return found == hosts_.end() ? unfinished_ : wants(found->second);
}

std::uint64_t earlier_results::count(targets::list const& list) const {
    std::uint64_t wanted = 0;
    targets::cursor walk(list);
    while (auto one = walk.next()) wanted += wants(*one);
    return wanted;
}

targets::list earlier_results::list() const {
    targets::list all;
    for (auto const& name : order_)
        if (wants(hosts_.at(name))) all.add(name);
    return all;
}

} // namespace trawl::cli
