#include "parts.hpp"

#include "backup/hash.hpp"
#include "backup/ignore.hpp"
#include "backup/manifest.hpp"
#include "backup/sealed.hpp"
#include "backup/sparse.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace trawl::fuzz {

// ---- backup manifests ----

namespace {

/// What is found by halving is what is found by parsing all.
void look_up(backup::detail::manifest const& whole, std::string_view text) {
    std::string complaint;
    std::string_view lines;
    auto const head = backup::detail::parse_head(text, lines, complaint);
    require(head.has_value(), "the head of a sound manifest is refused");
    for (auto const& e : whole.entries) {
        auto const found = backup::detail::find_entry(lines, *head, e.path, complaint);
        require(found && found->path == e.path && found->content == e.content &&
                    found->offset == e.offset,
                "an entry is not found");
    }
    require(!backup::detail::find_entry(lines, *head, "no/such path", complaint) ||
                whole.find("no/such path"),
            "an entry is found that is not there");
}

void look_at_manifest(std::string_view text) {
    std::string complaint;
    auto const state = backup::detail::parse_manifest(text, complaint);
    require(state.has_value() == complaint.empty(), "refused without a reason");
    if (!state) return;
    auto const written = backup::detail::serialize(*state);
    auto const again = backup::detail::parse_manifest(written, complaint);
    require(again && backup::detail::serialize(*again) == written,
            "a manifest does not survive being written");
    look_up(*state, text);
}

} // namespace

/// First as it is, then with an end line that agrees: no mutation would get past it otherwise.
void run_manifest(std::string_view input) {
    look_at_manifest(input);
    std::string complaint;
    auto rest = input;
    (void)backup::detail::parse_header(cut(rest, '\n'), complaint);
    auto const end = input.find("{\"end\"");
    std::string text(input.substr(0, end));
    if (!text.ends_with('\n')) text += '\n';
    auto const sum = backup::detail::hasher(backup::hash::sha256).of(text);
    text += fmt::format("{{\"end\":true,\"lines\":{},\"sha256\":\"{}\"}}\n",
                        std::ranges::count(text, '\n'), backup::detail::hex(sum));
    look_at_manifest(text);
}

/// The head of anything, and a search in what follows.
void run_manifest_search(std::string_view input) {
    auto const path = std::string(cut(input, '\n'));
    std::string complaint;
    std::string_view lines;
    auto const head = backup::detail::parse_head(input, lines, complaint);
    require(head.has_value() == complaint.empty(), "refused without a reason");
    if (!head) return;
    auto const found = backup::detail::find_entry(lines, *head, path, complaint);
    require(!found || found->path == path, "another entry than the one that was looked for");
}

// ---- patterns of gitignore(5) ----

/// The first line is a path, the others are patterns.
void run_ignore(std::string_view input) {
    auto const path = cut(input, '\n');
    backup::detail::ignore_list const all(input);
    for (bool const folder : {false, true}) {
        auto const verdict = all.leaves_out(path, folder);
        std::optional<bool> last; // the last line that matches counts
        for (auto rest = input; !rest.empty();)
            if (auto const one = backup::detail::ignore_pattern::parse(cut(rest, '\n')))
                if (one->matches(path, folder)) last = !one->negative();
        require(verdict == last, "a list is not the sum of its lines");
    }
}

// ---- encrypted files ----

namespace {

class file_of : public backup::stored_file {
public:
    explicit file_of(std::string bytes) : bytes_(std::move(bytes)) {}
    std::uint64_t size() const override { return bytes_.size(); }
    std::size_t read(std::uint64_t offset, std::span<char> into) const override {
        auto const from = std::min(static_cast<std::size_t>(offset), bytes_.size());
        return std::string_view(bytes_).substr(from).copy(into.data(), into.size());
    }

private:
    std::string bytes_;
};

/// The content; nullopt for anything but what was sealed.
std::optional<std::string> unsealed(std::string bytes, backup::store_key const& key) {
    try {
        auto const file =
            backup::decrypted(std::make_unique<file_of>(std::move(bytes)), "input", key);
        return std::string(file->view());
    } catch (error const& refused) {
        require(refused.code() == backup::errc::corrupt && !refused.said().empty(),
                "refused for another reason than damage");
    }
    return std::nullopt;
}

std::string seal_all(backup::detail::sealer to, std::string_view plain) {
    using backup::detail::sealed_plain;
    auto bytes = to.head();
    for (; plain.size() > sealed_plain; plain.remove_prefix(sealed_plain))
        bytes += to.seal(plain.substr(0, sealed_plain), false);
    return bytes + to.seal(plain, true);
}

} // namespace

/// The input as such a file, then as the content of one, of which a bit flips that it chooses.
void run_sealed(std::string_view input) {
    using namespace backup::detail;
    std::array<unsigned char, 32> const bytes{7};
    std::array<unsigned char, 16> salt{};
    backup::store_key const key(bytes);
    if (auto const plain = unsealed(std::string(input), key)) {
        std::ranges::copy(input.substr(16, 16), salt.begin());
        require(seal_all(sealer(key, salt), *plain) == input, "two files of one content and salt");
    }
    auto file = seal_all(sealer(key, salt), input);
    auto const length = sealed_length::of(file.size());
    require(length && length->plain == input.size(), "a length of another content");
    require(unsealed(file, key) == input, "what was sealed does not open");
    std::size_t place = input.size();
    for (char const c : input.substr(0, 8)) place = place * 131 + static_cast<unsigned char>(c);
    file[place % file.size()] ^= static_cast<char>(1 << place / file.size() % 8);
    require(!unsealed(file, key), "a bit that flipped is not seen");
}

// ---- maps of sparse files ----

void run_sparse(std::string_view input) {
    using pieces = std::vector<std::pair<std::uint64_t, std::string>>;
    constexpr std::uint64_t size = 100'000;
    auto const read = [&](std::size_t step, bool& sound) {
        backup::detail::sparse_reader reader(size);
        pieces placed;
        auto const place = [&](std::uint64_t at, std::string_view bytes) {
            require(at <= size && bytes.size() <= size - at, "a piece outside the file");
            bool const goes_on =
                !placed.empty() && placed.back().first + placed.back().second.size() == at;
            if (goes_on)
                placed.back().second += bytes;
            else
                placed.emplace_back(at, bytes);
        };
        sound = true;
        for (std::size_t at = 0; at < input.size() && sound; at += step)
            sound = reader.feed(input.substr(at, step), place);
        sound = sound && reader.complete();
        return placed;
    };
    bool sound = false, same = false;
    auto const whole = read(std::max<std::size_t>(input.size(), 1), sound);
    for (std::size_t const step : {1, 7}) {
        auto const again = read(step, same);
        require(same == sound && (!sound || again == whole), "it depends on how the map is cut");
    }
}

} // namespace trawl::fuzz
