#include "fixture.hpp"

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <random>
#include <sstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace trawl::test {

namespace fs = std::filesystem;

scratch::scratch(medium on) {
    // Memory when there is some: fsync of hundreds of files takes a real disk a minute.
    std::string name = "/tmp/trawl-backup-XXXXXX";
    if (on == medium::memory && ::access("/dev/shm", W_OK) == 0) name.replace(0, 4, "/dev/shm");
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = name;
}

scratch::~scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

void put(fs::path const& file, std::string_view content) {
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out << content;
    out.close();
    if (!out) throw std::runtime_error("cannot write " + file.string());
}

std::string get(fs::path const& file) {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream all;
    all << in.rdbuf();
    if (!in) throw std::runtime_error("cannot read " + file.string());
    return std::move(all).str();
}

std::string noise(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string bytes(size, '\0');
    for (auto& c : bytes) c = static_cast<char>(random() & 0xff);
    return bytes;
}

void set_mtime(fs::path const& file, std::int64_t ns) {
    auto seconds = ns / 1'000'000'000;
    auto rest = ns % 1'000'000'000;
    if (rest < 0) rest += 1'000'000'000, --seconds;
    timespec const times[2] = {{0, UTIME_NOW}, {seconds, rest}};
    if (::utimensat(AT_FDCWD, file.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
        throw std::runtime_error("utimensat " + file.string());
}

void make_plain_tree(fs::path const& root, unsigned files, unsigned seed) {
    std::mt19937 random(seed);
    fs::create_directories(root);
    for (unsigned i = 0; i < files; ++i) {
        auto const folder = root / ("folder" + std::to_string(i % 7));
        fs::create_directory(folder);
        put(folder / ("file" + std::to_string(i)), noise(random() % 4000, seed + i));
    }
}

void make_hard_tree(fs::path const& root) {
    make_plain_tree(root, 30);
    put(root / "empty file", "");
    fs::create_directory(root / "empty folder");
    put(root / "large", noise(1'500'000) + std::string(1'500'000, 'x'));
    put(root / "of one block", std::string(1 << 20, 'b'));
    put(root / "new\nline", "1");
    put(root / "tab\tand \x1b escape", "2");
    put(root / "not utf-8 \xff\xfe\x80", "3");
    put(root / "caf\xc3\xa9", "composed");
    put(root / "cafe\xcc\x81", "decomposed");
    put(root / "\"quoted\" \\ back", "4");
    put(root / "-rf", "5");
    put(root / std::string(255, 'n'), "6");
    fs::create_directory(root / "a");
    put(root / "a-b", "sorts between a and a/b");
    put(root / "a" / "b", "7");
    fs::path deep = root / "deep";
    for (int i = 0; i < 30; ++i) deep /= "level" + std::to_string(i) + std::string(20, 'd');
    fs::create_directories(deep);
    put(deep / "bottom", "8");
    fs::create_symlink("a/b", root / "link");
    fs::create_symlink("/nowhere/at/all", root / "dangling");
    fs::create_symlink(".", root / "loop");
    fs::create_symlink("not utf-8 \xff\xfe\x80", root / "link to odd");
    fs::create_symlink(std::string(300, 't'), root / "link with a long target");
    fs::create_hard_link(root / "large", root / "zz link to large");
    fs::create_hard_link(root / "large", root / "a" / "link to large");
    fs::create_hard_link(root / "a-b", root / "deep" / "link");
    if (::mkfifo((root / "fifo").c_str(), 0640) != 0) throw std::runtime_error("mkfifo");
    ::chmod((root / "fifo").c_str(), 0622);
    if (::mknod((root / "socket").c_str(), S_IFSOCK | 0600, 0) != 0)
        throw std::runtime_error("mknod");
    put(root / "hole in front", std::string());
    if (::truncate((root / "hole in front").c_str(), 3 << 20) != 0)
        throw std::runtime_error("truncate");
    std::ofstream(root / "hole in front", std::ios::app) << "end";
    put(root / "one hole", "");
    if (::truncate((root / "one hole").c_str(), 700'000) != 0) throw std::runtime_error("truncate");
    ::chmod((root / "folder1" / "file1").c_str(), 04755);
    ::chmod((root / "folder2" / "file2").c_str(), 0);
    ::chmod((root / "folder3").c_str(), 01770);
    if (::geteuid() == 0) {
        if (::lchown((root / "folder4" / "file4").c_str(), 4'000'000, 12345) != 0 ||
            ::lchown((root / "dangling").c_str(), 1, 2) != 0)
            throw std::runtime_error("lchown");
    }
    // Not every file system of a test machine has attributes; look_at() compares what there is.
    ::setxattr((root / "a-b").c_str(), "user.colour", "blue\0green", 10, 0);
    ::setxattr((root / "empty folder").c_str(), "user.note", "", 0, 0);
    set_mtime(root / "empty file", -1'234'567'891);
    set_mtime(root / "new\nline", 4'102'444'800'000'000'001);
    set_mtime(root / "link", 1'000'000'000'123'456'789);
    set_mtime(root / "empty folder", 1'111'111'111'111'111'111);
    set_mtime(root, 1'222'222'222'222'222'222);
}

namespace {

std::string attributes_of(fs::path const& file) {
    std::string names(4096, '\0'), all;
    auto const n = ::llistxattr(file.c_str(), names.data(), names.size());
    std::map<std::string, std::string> sorted;
    for (std::size_t begin = 0; n > 0 && begin < static_cast<std::size_t>(n);) {
        std::string const name = names.c_str() + begin;
        begin += name.size() + 1;
        std::string value(4096, '\0');
        auto const size = ::lgetxattr(file.c_str(), name.c_str(), value.data(), value.size());
        value.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        sorted[name] = value;
    }
    for (auto const& [name, value] : sorted) all += " " + name + "=" + value;
    return all;
}

std::string line_of(fs::path const& path, std::string const& relative,
                    std::map<std::uint64_t, std::string>& first_of) {
    struct stat s {};
    if (::lstat(path.c_str(), &s) != 0) throw std::runtime_error("lstat " + path.string());
    std::ostringstream line;
    line << std::oct << s.st_mode << std::dec << " " << s.st_uid << ":" << s.st_gid << " "
         << s.st_mtim.tv_sec << "." << s.st_mtim.tv_nsec;
    if (S_ISREG(s.st_mode)) {
        auto const [leader, first] = first_of.try_emplace(s.st_ino, relative);
        if (!first) line << " link to " << leader->second;
        line << " " << s.st_size << " #" << std::hash<std::string>()(get(path))
             << attributes_of(path);
    }
    if (S_ISLNK(s.st_mode)) line << " -> " << fs::read_symlink(path).string();
    if (S_ISDIR(s.st_mode)) line << attributes_of(path);
    if (S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode)) line << " device " << s.st_rdev;
    return line.str();
}

void collect(fs::path const& folder, std::string const& prefix, std::vector<std::string>& into) {
    for (auto const& found : fs::directory_iterator(folder)) {
        auto const path = prefix + found.path().filename().string();
        into.push_back(path);
        if (!found.is_symlink() && found.is_directory()) collect(found.path(), path + "/", into);
    }
}

} // namespace

facts look_at(fs::path const& root) {
    std::vector<std::string> paths;
    collect(root, "", paths);
    std::sort(paths.begin(), paths.end());
    facts found;
    std::map<std::uint64_t, std::string> first_of;
    found[""] = line_of(root, "", first_of);
    for (auto const& path : paths) found[path] = line_of(root / path, path, first_of);
    return found;
}

std::string difference(facts const& expected, facts const& found) {
    std::string text;
    for (auto const& [path, line] : expected) {
        auto const at = found.find(path);
        if (at == found.end())
            text += "missing: " + path + "\n";
        else if (at->second != line)
            text += path + ": expected " + line + "\n   found " + at->second + "\n";
    }
    for (auto const& [path, line] : found)
        if (!expected.count(path)) text += "too much: " + path + "\n";
    return text;
}

std::chrono::system_clock::time_point noon(int year, int month, int day) {
    std::tm parts{};
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    parts.tm_mday = day;
    parts.tm_hour = 12;
    parts.tm_isdst = -1;
    return std::chrono::system_clock::from_time_t(std::mktime(&parts));
}

backup::report back_up(backup::options configuration, std::size_t threads) {
    offload_pool pool(offload_pool::options{threads, "test", nullptr});
    backup::report made;
    auto body = [&]() -> awaitable<> { made = co_await backup::run(pool, configuration); };
    run(body);
    return made;
}

backup::restore_report put_back(backup::restore_options configuration, std::size_t threads) {
    offload_pool pool(offload_pool::options{threads, "test", nullptr});
    backup::restore_report done;
    auto body = [&]() -> awaitable<> { done = co_await backup::restore(pool, configuration); };
    run(body);
    return done;
}

backup::verify_report verify(fs::path const& archives, std::size_t threads) {
    backup::verify_options o;
    o.archives = archives;
    offload_pool pool(offload_pool::options{threads, "test", nullptr});
    backup::verify_report seen;
    auto body = [&]() -> awaitable<> { seen = co_await backup::verify(pool, o); };
    run(body);
    return seen;
}

backup::extract_report extract(std::vector<fs::path> archives, fs::path const& target) {
    backup::extract_options o;
    o.archives = std::move(archives);
    o.target = target;
    offload_pool pool(offload_pool::options{1, "test", nullptr});
    backup::extract_report done;
    auto body = [&]() -> awaitable<> { done = co_await backup::extract(pool, o); };
    run(body);
    return done;
}

backup::options from_to(fs::path const& source, fs::path const& destination) {
    backup::options o;
    o.source = source;
    o.destination = destination;
    o.now = [] { return noon(2026, 11, 24); };
    return o;
}

backup::restore_options restoring(fs::path const& archives, fs::path const& target) {
    backup::restore_options o;
    o.archives = archives;
    o.target = target;
    return o;
}

int command(std::vector<std::string> const& words) {
    auto const child = ::fork();
    if (child < 0) throw std::runtime_error("fork");
    if (child == 0) {
        std::vector<char*> arguments;
        for (auto const& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        int const nowhere = ::open("/dev/null", O_RDWR);
        ::dup2(nowhere, 1);
        ::dup2(nowhere, 2);
        ::execvp(arguments[0], arguments.data());
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> names(fs::path const& folder) {
    std::vector<std::string> found;
    for (auto const& f : fs::directory_iterator(folder))
        found.push_back(f.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
}

} // namespace trawl::test
