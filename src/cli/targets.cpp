#include "cli/targets.hpp"

#include <trawl/error.hpp>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <system_error>

namespace trawl::cli {

namespace {

using targets::origin;

// Feeds the words, files and lines to `take(text, origin)` in the order in which they were given.
template <class Take>
class reader {
public:
    reader(std::string_view what, bool& stdin_used, Take take)
        : what_(what), stdin_used_(stdin_used), take_(take) {}

    void read(std::vector<std::string> const& words) {
        for (std::size_t i = 0; i < words.size(); ++i) {
            auto const name = std::string(what_) + " " + std::to_string(i + 1);
            auto const& word = words[i];
            if (word == "-")
                read_stdin(name);
            else if (word.starts_with('@'))
                read_file(name, word.substr(1));
            else if (word.find_first_not_of(" \t\r\n,") == std::string::npos)
                throw error(errc::bad_target, name, "it is empty");
            else
                take_(word, origin{name, 0, 1});
        }
    }

private:
    void read_stdin(std::string const& name) {
        if (stdin_used_)
            throw error(errc::bad_target, name, "standard input can be read only once");
        stdin_used_ = true;
        lines(std::cin, "stdin");
    }

    void read_file(std::string const& name, std::string const& path) {
        if (path.empty()) throw error(errc::bad_target, name, "a file name is missing after '@'");
        errno = 0;
        std::ifstream file(path);
        if (!file) throw error(std::error_code(errno, std::generic_category()), name + ", " + path);
        lines(file, path);
    }

    void lines(std::istream& in, std::string const& name) {
        std::string line;
        errno = 0;
        for (std::size_t number = 1; std::getline(in, line); ++number) {
            auto const text = std::string_view(line).substr(0, line.find('#'));
            take_(text, origin{name, number, 1});
        }
        if (in.bad()) // a directory opens, and fails here
            throw error(std::error_code(errno ? errno : EIO, std::generic_category()), name);
    }

    std::string_view what_;
    bool& stdin_used_;
    Take take_;
};

} // namespace

targets::list read_targets(std::vector<std::string> const& words,
                           std::vector<std::string> const& excludes) {
    targets::list result;
    bool stdin_used = false;
    auto const leave_out = [&](std::string_view text, origin from) { result.exclude(text, from); };
    auto const take = [&](std::string_view text, origin from) { result.add(text, from); };
    reader("exclude", stdin_used, leave_out).read(excludes); // first: it is the cheaper order
    reader("target", stdin_used, take).read(words);
    return result;
}

} // namespace trawl::cli
