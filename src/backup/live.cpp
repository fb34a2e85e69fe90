#include "backup/live.hpp"

#include "backup/archive.hpp"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

namespace trawl::backup::detail {

std::optional<digest> live_hasher::of(int file, entry const& facts, bool sparse,
                                      std::stop_token const& stop) {
    constexpr std::size_t piece_bytes = std::size_t(256) << 10;
    hash_.finish();
    tar_writer map_and_data;
    std::vector<extent> map;
    if (sparse) {
        map = data_extents(file, facts.size);
        map_and_data.begin(facts, &map);
        map_and_data.pending().clear(); // the header is not part of the content
    }
    buffer_.resize(piece_bytes);
    std::string const zeros(sparse ? piece_bytes : 0, '\0');
    std::size_t part = 0;
    for (std::uint64_t at = 0; at < facts.size;) {
        stop_point(stop);
        auto most = std::min<std::uint64_t>(piece_bytes, facts.size - at);
        std::string_view piece;
        while (part < map.size() && map[part].offset + map[part].size <= at) ++part;
        auto const data = !sparse ? at : part < map.size() ? map[part].offset : facts.size;
        if (at < data) { // a hole
            piece = std::string_view(zeros).substr(0, std::min<std::uint64_t>(most, data - at));
        } else {
            if (sparse) most = std::min(most, map[part].offset + map[part].size - at);
            auto const n = ::pread(file, buffer_.data(), most, static_cast<off_t>(at));
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return std::nullopt;
            if (n == 0) break; // shorter than its size: another content
            piece = std::string_view(buffer_).substr(0, static_cast<std::size_t>(n));
            bytes_ += piece.size();
        }
        at += piece.size();
        if (sparse) {
            map_and_data.data(piece);
            hash_.update(map_and_data.pending());
            map_and_data.pending().clear();
        } else
            hash_.update(piece);
    }
    return hash_.finish();
}

} // namespace trawl::backup::detail
