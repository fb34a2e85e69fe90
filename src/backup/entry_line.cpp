#include "backup/entry_line.hpp"

#include "backup/hash.hpp"
#include "json/record.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace trawl::backup::detail {

namespace bj = boost::json;

namespace {

/// Stands in JSON as it is.
constexpr bool is_plain(char c) noexcept { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

void put_text(std::string& to, std::string_view bytes) {
    if (!std::all_of(bytes.begin(), bytes.end(), is_plain)) {
        to += bj::serialize(json::text(bytes));
        return;
    }
    to += '"';
    to += bytes;
    to += '"';
}

template <class... Number>
void put_numbers(std::string& to, Number... all) {
    auto const put = [&to](auto number) {
        fmt::format_int const text(number);
        to.append(text.data(), text.size());
        to += ',';
    };
    (put(all), ...);
}

bj::array list_of(std::vector<std::pair<std::string, std::string>> const& attributes) {
    bj::array list;
    for (auto const& [name, value] : attributes)
        list.push_back(bj::array{json::text(name), json::text(value)});
    return list;
}

bj::array list_of(std::vector<stretch> const& parts) {
    bj::array list;
    for (auto const& p : parts)
        list.push_back(bj::array{p.archive, p.offset, p.bytes, hex(p.content)});
    return list;
}

/// What few entries have.
void put_more(std::string& to, entry const& e) {
    auto const* key = e.type == file_type::symlink ? "to" : e.hard_link ? "link" : nullptr;
    if (e.device == 0 && e.stored == 0 && e.attributes.empty() && e.parts.empty()) {
        if (!key) return;
        to += ",{\"";
        to += key;
        to += "\":";
        put_text(to, e.link);
        to += '}';
        return;
    }
    bj::object more;
    if (key) more[key] = json::text(e.link);
    if (e.device != 0) more["device"] = e.device;
    if (e.stored != 0) more["stored"] = e.stored;
    if (!e.attributes.empty()) more["attributes"] = list_of(e.attributes);
    if (!e.parts.empty()) more["parts"] = list_of(e.parts);
    to += ',';
    to += bj::serialize(more);
}

/// A line that is taken apart from its begin. Each step is false when it does not fit.
class plain_line {
public:
    explicit plain_line(std::string_view line) : rest_(line) {}

    bool is(std::string_view text) {
        if (!rest_.starts_with(text)) return false;
        rest_.remove_prefix(text.size());
        return true;
    }
    bool text(std::string& into) {
        if (!is("\"")) return false;
        std::size_t n = 0;
        while (n < rest_.size() && is_plain(rest_[n])) ++n;
        into.assign(rest_, 0, n);
        rest_.remove_prefix(n);
        return is("\"");
    }
    /// As JSON has it: no leading zero, no plus sign. Overflow does not fit.
    template <class Number>
    bool number(Number& into) {
        auto const* const end = rest_.data() + rest_.size();
        auto const [stop, failure] = std::from_chars(rest_.data(), end, into);
        if (failure != std::errc()) return false;
        auto const digits = rest_.substr(rest_.starts_with('-') ? 1 : 0);
        auto const size = static_cast<std::size_t>(stop - rest_.data());
        if (digits.starts_with('0') && stop != digits.data() + 1) return false;
        rest_.remove_prefix(size);
        return true;
    }
    template <class... Number>
    bool numbers(Number&... all) {
        return ((number(all) && is(",")) && ...);
    }
    bool hash(std::size_t bytes, digest& into) {
        if (is("null")) return true;
        if (rest_.size() < bytes * 2 + 2 || !is("\"")) return false;
        auto const found = from_hex(rest_.substr(0, bytes * 2), bytes);
        if (!found) return false;
        into = *found;
        rest_.remove_prefix(bytes * 2);
        return is("\"");
    }
    bool type(file_type& into) {
        if (rest_.size() < 4 || rest_[0] != '"' || rest_[2] != '"' || rest_[3] != ',' ||
            std::string_view("fdlpcbs").find(rest_[1]) == std::string_view::npos)
            return false;
        into = static_cast<file_type>(rest_[1]);
        rest_.remove_prefix(4);
        return true;
    }
    bool ends() const noexcept { return rest_.empty(); }

private:
    std::string_view rest_;
};

} // namespace

void put_entry(std::string& to, entry const& e) {
    to += '[';
    put_text(to, e.path);
    to += ",\"";
    to += static_cast<char>(e.type);
    to += "\",";
    put_numbers(to, e.mode, e.uid, e.gid, e.size, e.mtime_ns, e.ctime_ns, e.inode);
    if (e.content) {
        to += '"';
        put_hex(to, e.content);
        to += "\",";
    } else
        to += "null,";
    if (e.archive != no_archive)
        put_numbers(to, e.archive, e.offset, e.flags);
    else
        to += "null,null,", put_numbers(to, e.flags);
    to.pop_back();
    put_more(to, e);
    to += "]\n";
}

bool read_plain_entry(std::string_view line, std::size_t hash_bytes, entry& into) {
    plain_line at(line);
    bool const facts = at.is("[") && at.text(into.path) && at.is(",") && at.type(into.type) &&
                       at.numbers(into.mode, into.uid, into.gid, into.size, into.mtime_ns,
                                  into.ctime_ns, into.inode) &&
                       at.hash(hash_bytes, into.content) && at.is(",");
    if (!facts) return false;
    if (!at.is("null,null,") && !at.numbers(into.archive, into.offset)) return false;
    if (!at.number(into.flags)) return false;
    bool const symlink = into.type == file_type::symlink;
    if (symlink || into.type == file_type::regular)
        if (at.is(symlink ? ",{\"to\":" : ",{\"link\":")) {
            into.hard_link = !symlink;
            if (!at.text(into.link) || !at.is("}")) return false;
        }
    return at.is("]") && at.ends();
}

} // namespace trawl::backup::detail
