#include "targets/host_list.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace trawl::targets::detail {

namespace {

// Two host lists of several brackets are compared name by name; beyond this many the user had
// better list them once.
constexpr std::uint64_t most_compared = 1 << 22;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same(char a, char b) noexcept { return lower(a) == lower(b); }

bool same(std::string_view a, std::string_view b) noexcept {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](char x, char y) { return same(x, y); });
}

constexpr auto powers = [] {
    std::array<std::uint64_t, 20> p{1};
    for (std::size_t i = 1; i < p.size(); ++i) p[i] = p[i - 1] * 10;
    return p;
}();

unsigned digits(std::uint64_t number) noexcept {
    unsigned n = 1;
    while (n < powers.size() && number >= powers[n]) ++n;
    return n;
}

// Walks the alternatives of each bracket's width; the grammar makes sure that at most one of them
// fits.
std::optional<std::uint64_t> rank_from(host_list const& list, std::size_t part,
                                       std::string_view rest, std::uint64_t so_far) {
    auto const& literal = list.literals[part];
    if (rest.size() < literal.size() || !same(rest.substr(0, literal.size()), literal)) return {};
    rest.remove_prefix(literal.size());
    if (part == list.brackets.size()) return rest.empty() ? std::optional(so_far) : std::nullopt;

    auto const& numbers = list.brackets[part];
    for (unsigned width = 1; width <= std::min<std::size_t>(rest.size(), numbers.widest());
         ++width) {
        auto const own = numbers.rank(rest.substr(0, width));
        if (!own) continue;
        if (auto found =
                rank_from(list, part + 1, rest.substr(width), so_far * numbers.size() + *own))
            return found;
    }
    return {};
}

// True when the literal begins or ends tell that no name is in both.
bool disjoint(host_list const& a, host_list const& b) {
    auto const& a_head = a.literals.front();
    auto const& b_head = b.literals.front();
    auto const head = std::min(a_head.size(), b_head.size());
    if (!same(std::string_view(a_head).substr(0, head), std::string_view(b_head).substr(0, head)))
        return true;
    std::string_view a_tail = a.literals.back(), b_tail = b.literals.back();
    auto const tail = std::min(a_tail.size(), b_tail.size());
    return !same(a_tail.substr(a_tail.size() - tail), b_tail.substr(b_tail.size() - tail));
}

interval_set common_numbers(bracket const& in, bracket const& other) {
    interval_set ranks;
    for (auto const& mine : in.runs())
        for (auto const& theirs : other.runs()) {
            auto const first = std::max(mine.first, theirs.first);
            auto const last = std::min(mine.last, theirs.last);
            if (mine.width == theirs.width && first <= last)
                ranks.add({mine.before + (first - mine.first), mine.before + (last - mine.first)});
        }
    return ranks;
}

} // namespace

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(), [](char c) { return lower(c); });
    return result;
}

void bracket::add(std::uint64_t first, std::uint64_t last, unsigned width) {
    while (first <= last) {
        auto const written = std::max(width, digits(first));
        auto const end = std::min(last, powers[written] - 1);
        interval_set known;
        for (auto const& run : runs_)
            if (run.width == written) known.add({run.first, run.last});
        for (auto const& gap : known.gaps({first, end})) {
            runs_.push_back({written, static_cast<std::uint64_t>(gap.first),
                             static_cast<std::uint64_t>(gap.last), size_});
            size_ += saturated_size(gap);
        }
        first = end + 1;
    }
}

bool bracket::fixed_width() const noexcept {
    return std::all_of(runs_.begin(), runs_.end(),
                       [&](auto const& run) { return run.width == runs_.front().width; });
}

unsigned bracket::widest() const noexcept {
    unsigned most = 0;
    for (auto const& run : runs_) most = std::max(most, run.width);
    return most;
}

void bracket::write(std::uint64_t rank, std::string& to) const {
    auto const after = std::upper_bound(runs_.begin(), runs_.end(), rank,
                                        [](auto r, auto const& run) { return r < run.before; });
    auto const& run = *std::prev(after);
    auto const text = std::to_string(run.first + (rank - run.before));
    to.append(run.width - text.size(), '0').append(text);
}

std::optional<std::uint64_t> bracket::rank(std::string_view text) const {
    std::uint64_t number = 0;
    for (char c : text) {
        if (c < '0' || c > '9') return {};
        number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
    for (auto const& run : runs_)
        if (run.width == text.size() && run.first <= number && number <= run.last)
            return run.before + (number - run.first);
    return {};
}

std::uint64_t host_list::size() const noexcept {
    std::uint64_t product = 1;
    for (auto const& numbers : brackets) product *= numbers.size();
    return product;
}

std::string host_list::at(std::uint64_t rank) const {
    std::vector<std::uint64_t> ranks(brackets.size());
    for (auto i = brackets.size(); i-- > 0;) {
        ranks[i] = rank % brackets[i].size();
        rank /= brackets[i].size();
    }
    std::string name = literals.front();
    for (std::size_t i = 0; i < brackets.size(); ++i) {
        brackets[i].write(ranks[i], name);
        name += literals[i + 1];
    }
    return name;
}

std::optional<std::uint64_t> host_list::rank(std::string_view name) const {
    return rank_from(*this, 0, name, 0);
}

std::string host_list::canonical() const {
    auto const padded = [](std::uint64_t number, unsigned width) {
        auto const text = std::to_string(number);
        return std::string(width - text.size(), '0') + text;
    };
    auto text = lower(literals.front());
    for (std::size_t i = 0; i < brackets.size(); ++i) {
        char before = '[';
        for (auto const& run : brackets[i].runs()) {
            text += std::exchange(before, ',') + padded(run.first, run.width);
            if (run.first != run.last) text += '-' + padded(run.last, run.width);
        }
        text += ']' + lower(literals[i + 1]);
    }
    return text;
}

std::optional<interval_set> common_ranks(host_list const& in, host_list const& other) {
    interval_set ranks;
    if (disjoint(in, other)) return ranks;
    bool const alike = std::equal(in.literals.begin(), in.literals.end(), other.literals.begin(),
                                  other.literals.end(), [](auto const& a, auto const& b) {
                                      return same(std::string_view(a), std::string_view(b));
                                  });
    if (alike && in.brackets.size() == 1) return common_numbers(in.brackets[0], other.brackets[0]);

    if (other.size() <= most_compared && other.size() <= in.size()) {
        for (std::uint64_t i = 0; i < other.size(); ++i)
            if (auto rank = in.rank(other.at(i))) ranks.add({*rank, *rank});
        return ranks;
    }
    if (in.size() > most_compared) return std::nullopt;
    for (std::uint64_t i = 0; i < in.size(); ++i)
        if (other.rank(in.at(i))) ranks.add({i, i});
    return ranks;
}

} // namespace trawl::targets::detail
