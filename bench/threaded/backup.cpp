// A full backup as it is written with threads and without an event loop: a walk, and workers that read, hash and compress.
//
//     bench-threaded-backup [--threads per-host|N] SOURCE DESTINATION
//
// writes DESTINATION/NAME_full.tar.gz (ustar, a gzip member for each batch, which is one stream to any reader) and
// NAME_full.manifest, a line "SHA256 SIZE PATH" for each file; both are on disk (fsync) when it ends. A thread of a pool takes
// files of 1 MiB together, as the library's blocks are; "per-host" is a thread for each file. Regular files only. Prints
// "N files in ARCHIVE".
#include "crowd.hpp"

#include <openssl/evp.h>
#include <zlib.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>

namespace {

namespace fs = std::filesystem;

constexpr std::size_t batch_bytes = 1 << 20, tar_block = 512;

std::system_error failed(fs::path const& what) {
    return {errno, std::generic_category(), what.string()};
}

struct file_info {
    fs::path path; // relative to the source
    struct stat seen {};
};

/// Files that one worker archives together.
using batch = std::vector<file_info>;

std::vector<batch> walk(fs::path const& source, bool alone) {
    std::vector<batch> all;
    std::size_t room = 0;
    for (auto const& entry : fs::recursive_directory_iterator(source)) {
        file_info file{entry.path().lexically_relative(source), {}};
        if (::lstat(entry.path().c_str(), &file.seen) != 0) throw failed(entry.path());
        if (!S_ISREG(file.seen.st_mode)) continue;
        auto const size = static_cast<std::size_t>(file.seen.st_size) + tar_block;
        if (all.empty() || alone || room < size) all.emplace_back(), room = batch_bytes;
        room -= std::min(room, size);
        all.back().push_back(std::move(file));
    }
    return all;
}

/// POSIX.1-1988 ustar. Throws for a path that does not fit.
std::array<char, tar_block> tar_header(file_info const& file) {
    std::array<char, tar_block> head{};
    auto const path = file.path.string();
    auto const cut = path.size() <= 100 ? 0 : path.find('/', path.size() - 101) + 1;
    if (cut > 156 || (path.size() > 100 && cut == 0))
        throw std::runtime_error(path + ": too long for ustar");
    path.copy(head.data(), 100, cut);
    if (cut > 1) path.copy(head.data() + 345, cut - 1);
    auto const octal = [&](std::size_t at, std::size_t width, auto value) {
        for (auto i = at + width - 1; i-- > at; value /= 8)
            head[i] = static_cast<char>('0' + static_cast<int>(value % 8));
    };
    octal(100, 8, file.seen.st_mode & 07777);
    octal(108, 8, file.seen.st_uid);
    octal(116, 8, file.seen.st_gid);
    octal(124, 12, file.seen.st_size);
    octal(136, 12, file.seen.st_mtime);
    std::memcpy(head.data() + 148, "        ", 8);
    head[156] = '0';
    std::memcpy(head.data() + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (char const c : head) sum += static_cast<unsigned char>(c);
    octal(148, 7, sum);
    return head;
}

/// Appends the file, padded to whole tar blocks, and returns its hash in hexadecimal.
std::string read_file(fs::path const& path, std::size_t size, std::string& into) {
    int const file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0) throw failed(path);
    auto const begin = into.size();
    into.resize(begin + (size + tar_block - 1) / tar_block * tar_block);
    std::size_t have = 0;
    ssize_t got = 1;
    while (have < size && (got = ::read(file, into.data() + begin + have, size - have)) > 0)
        have += static_cast<std::size_t>(got);
    auto const why = failed(path);
    ::close(file);
    if (got < 0) throw why;
    if (have < size) throw std::runtime_error(path.string() + ": became shorter");
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned length = 0;
    ::EVP_Digest(into.data() + begin, size, digest.data(), &length, ::EVP_sha256(), nullptr);
    std::string text;
    for (unsigned i = 0; i < length; ++i) {
        std::array<char, 3> hex;
        std::snprintf(hex.data(), hex.size(), "%02x", digest[i]);
        text += hex.data();
    }
    return text;
}

/// One gzip member (RFC 1952), level 6 as the library's default.
std::string compress(std::string const& plain) {
    z_stream stream{};
    if (::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::bad_alloc();
    std::string packed(::deflateBound(&stream, plain.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
    stream.avail_in = static_cast<uInt>(plain.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    ::deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    ::deflateEnd(&stream);
    return packed;
}

/// A file that is written from several threads, a piece at a time.
class sink {
public:
    explicit sink(fs::path path) : path_(std::move(path)) {
        fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd_ < 0) throw failed(path_);
    }
    sink(sink const&) = delete;
    sink& operator=(sink const&) = delete;
    ~sink() { ::close(fd_); }
    void append(std::string_view bytes) {
        std::lock_guard const one(door_);
        while (!bytes.empty()) {
            auto const written = ::write(fd_, bytes.data(), bytes.size());
            if (written < 0) throw failed(path_);
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    void sync() {
        if (::fsync(fd_) != 0) throw failed(path_);
    }

private:
    fs::path path_;
    int fd_ = -1;
    std::mutex door_;
};

int back_up(bench::pool_size threads, fs::path const& source, fs::path const& destination) {
    fs::create_directories(destination);
    auto const name = fs::canonical(source).filename().string() + "_full";
    sink archive(destination / (name + ".tar.gz")), manifest(destination / (name + ".manifest"));
    auto const batches = walk(source, !threads);
    std::atomic<std::size_t> stored = 0, failures = 0;
    auto const fail = [&](std::size_t i, std::string const& why) {
        failures += batches[i].size();
        std::fprintf(stderr, "%s: %s\n", batches[i].front().path.c_str(), why.c_str());
    };
    auto const work = [&](std::size_t i) {
        try {
            std::string plain, lines;
            for (auto const& file : batches[i]) {
                auto const head = tar_header(file);
                plain.append(head.data(), head.size());
                auto const size = static_cast<std::size_t>(file.seen.st_size);
                lines += read_file(source / file.path, size, plain) + " " + std::to_string(size) +
                         " " + file.path.string() + "\n";
            }
            archive.append(compress(plain));
            manifest.append(lines);
            stored += batches[i].size();
        } catch (std::exception const& why) {
            fail(i, why.what());
        }
    };
    bench::run_crowd(threads, batches.size(), work, fail);
    archive.append(compress(std::string(2 * tar_block, '\0')));
    archive.sync(), manifest.sync();
    std::printf("%zu files in %s\n", stored.load(), (destination / (name + ".tar.gz")).c_str());
    return failures == 0 ? 0 : 1;
}

} // namespace

int main(int count, char** word) {
    std::vector<std::string> words(word + 1, word + count);
    auto const threads = bench::take_threads(words);
    if (words.size() != 2)
        return std::fputs("bench-threaded-backup [--threads per-host|N] SOURCE DESTINATION\n",
                          stderr),
               2;
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    try {
        return back_up(threads, words[0], words[1]);
    } catch (std::exception const& why) {
        return std::fprintf(stderr, "%s\n", why.what()), 2;
    }
}
