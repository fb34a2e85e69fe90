#include "backup/reading.hpp"

#include <algorithm>
#include <stdexcept>
#include <tuple>

namespace trawl::backup::detail {

namespace {
/// A job inflates so many blocks, and most often the first one of the next job as well.
constexpr std::uint64_t blocks_of_a_job = 12;
constexpr std::uint64_t bytes_of_a_file = 4096; ///< what making one costs, in inflated bytes
} // namespace

std::vector<span> arrange(std::vector<wish>& wishes, std::vector<open_archive> const& archives) {
    std::sort(wishes.begin(), wishes.end(), [](wish const& a, wish const& b) {
        return std::tie(b.content->archive, a.content->offset, a.number) <
               std::tie(a.content->archive, b.content->offset, b.number);
    });
    std::vector<span> spans;
    std::uint64_t left = 0;
    for (std::size_t i = 0; i < wishes.size(); ++i) {
        auto const& now = *wishes[i].content;
        bool const fresh = i == 0 || wishes[i - 1].content->archive != now.archive;
        auto const cost = stored_bytes(now) + bytes_of_a_file;
        if (fresh || cost > left) {
            spans.push_back({i, i});
            left = blocks_of_a_job * archives[now.archive].map.block_bytes();
        }
        spans.back().end = i + 1;
        left -= std::min(cost, left);
    }
    return spans;
}

std::vector<open_archive> open_chain(store& from, std::vector<chain_link> const& chain,
                                     std::vector<bool> const& wanted) {
    std::vector<open_archive> archives;
    archives.reserve(chain.size());
    for (std::size_t i = 0; i < chain.size(); ++i)
        archives.emplace_back(wanted[i] ? from.read(chain[i].archive) : nullptr, chain[i]);
    return archives;
}

bool content_reader::whole(entry const& e, std::string_view& bytes) {
    auto const size = stored_bytes(e);
    bytes = {};
    if (!e.parts.empty()) return false;
    at_ = archive_;
    if (size > 0) bytes = blocks_.at(e.offset, size);
    if (bytes.size() != size) return false;
    hash_.finish();
    check(hash_.of(bytes), e.content);
    return true;
}

void content_reader::check(digest const& found, digest const& expected) {
    if (found != expected)
        throw std::runtime_error("its content has another hash than the manifest says");
}

} // namespace trawl::backup::detail
