#include "cli/environment.hpp"
#include "cli/line_diff.hpp"
#include "cli/node_set.hpp"
#include "cli/ssh_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace trawl::cli {
namespace {

std::string count(std::size_t number, std::string_view what) {
    return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

/// What several hosts said alike.
struct group {
    std::vector<std::string> names;
    std::string_view out, err; // of the key it is found by
    int status = 0;
    bool truncated = false;

    /// stdout, then stderr with a mark in front, line by line.
    std::vector<std::string> lines() const {
        std::vector<std::string> all;
        add(all, out, "");
        add(all, err, "stderr: ");
        return all;
    }

private:
    static void add(std::vector<std::string>& to, std::string_view text, std::string_view mark) {
        while (!text.empty()) {
            auto const end = std::min(text.find('\n'), text.size());
            to.push_back(std::string(mark).append(text.substr(0, end)));
            text.remove_prefix(std::min(end + 1, text.size()));
        }
    }
};

class group_writer : public ssh_writer {
public:
    explicit group_writer(environment& here) : ssh_writer(here) {}

    void host(ssh_answer answer) override {
        auto name = answer.target.to_string();
        if (answer.failed) {
            auto& alike = failures_[{answer.failed->at(), std::string(answer.failed->word())}];
            if (alike.names.empty()) alike.first = answer.failed->what();
            alike.names.push_back(std::move(name));
            return;
        }
        auto& done = *answer.done;
        answers key{*done.exit_status, std::move(done.out), std::move(done.err)};
        auto const [place, fresh] = groups_.try_emplace(std::move(key));
        auto& alike = place->second;
        if (fresh) {
            alike.status = std::get<0>(place->first);
            alike.out = std::get<1>(place->first);
            alike.err = std::get<2>(place->first);
        }
        alike.truncated |= done.out_truncated || done.err_truncated;
        alike.names.push_back(std::move(name));
        ++answered_;
    }

    void finish(ssh_totals const& totals) override {
        for (auto& [key, one] : groups_) std::ranges::sort(one.names);
        for (auto& [what, alike] : failures_) std::ranges::sort(alike.names);
        std::vector<group const*> order;
        for (auto const& [key, one] : groups_) order.push_back(&one);
        auto const size = [](group const* one) { return one->names.size(); };
        std::ranges::stable_sort(order, std::greater<>(), size);
        bool const majority = !order.empty() && size(order.front()) * 2 > answered_;
        for (auto const* one : order)
            if (one == order.front() || !majority)
                show(*one, size(one) > 1 ? "same " : "", one->lines());
            else
                show_difference(*order.front(), *one);
        show_failures();
        ssh_writer::finish(totals);
    }

private:
    using answers = std::tuple<int, std::string, std::string>;
    struct failed_alike {
        std::vector<std::string> names;
        std::string first;
    };

    void show(group const& one, std::string_view how, std::vector<std::string> const& lines) {
        auto text =
            fmt::format("{}: {}{}{}{}\n", fold_names(one.names), how, count(lines.size(), "line"),
                        one.status ? fmt::format(", exit status {}", one.status) : "",
                        one.truncated ? ", more was dropped" : "");
        for (auto const& line : lines) text.append(line).append("\n");
        here_.out().raw(text);
    }

    void show_difference(group const& usual, group const& one) {
        auto const expected = usual.lines(), found = one.lines();
        std::vector<std::string_view> const from(expected.begin(), expected.end()),
            to(found.begin(), found.end());
        auto const difference = line_diff(from, to);
        if (!difference || difference->size() > found.size()) return show(one, "other ", found);
        show(one, "differs in ", *difference);
    }

    void show_failures() {
        for (auto const& [what, alike] : failures_) {
            if (alike.names.size() == 1) {
                here_.log().log(severity::error, "", alike.first);
                continue;
            }
            auto const text = fmt::format("{} failed: {} {}, the first of them {}",
                                          count(alike.names.size(), "host"), ssh::name(what.first),
                                          what.second, alike.first);
            here_.log().log(severity::error, fold_names(alike.names), text);
        }
    }

    std::map<answers, group> groups_;
    std::map<std::pair<ssh::phase, std::string>, failed_alike> failures_;
    std::size_t answered_ = 0;
};

} // namespace

std::unique_ptr<ssh_writer> make_ssh_group(environment& here) {
    return std::make_unique<group_writer>(here);
}

} // namespace trawl::cli
