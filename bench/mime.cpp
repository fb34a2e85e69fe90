// What a message costs on its way out, CPU time of one thread:
//
//     bench-mime [FILE]     FILE: an attachment to read and encode, of any size; also shows the memory
//
// GB/s of input, medians of 9 rounds over 64 MB; base64 of OpenSSL beside ours.
#include "mail/dkim_canonical.hpp"
#include "mail/encoding.hpp"
#include "mail/smtp_dialogue.hpp"

#include <trawl/mime.hpp>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/resource.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace trawl::mime;

double cpu_seconds() {
    timespec now{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

constexpr std::size_t block = 57 * 1024, total = 64 << 20;

/// `work` takes a block of `input` at a time.
template <class Work>
void measure(char const* title, std::string const& input, Work work) {
    std::vector<double> rounds;
    for (int round = 0; round < 9; ++round) {
        auto const began = cpu_seconds();
        for (std::size_t done = 0; done < total; done += input.size()) work(input);
        rounds.push_back(cpu_seconds() - began);
    }
    std::ranges::sort(rounds);
    fmt::print("{:44} {:6.2f} GB/s\n", title, static_cast<double>(total) / 1e9 / rounds[4]);
}

void send(char const* file) {
    message letter;
    letter.from("a@example.org")
        .to("b@example.org")
        .text("see there\n")
        .attach(std::filesystem::path(file));
    auto const source = letter.open();
    std::string buffer(65536, '\0');
    auto const began = cpu_seconds();
    std::uint64_t bytes = 0;
    for (auto size = buffer.size(); size == buffer.size(); bytes += size)
        size = source->read(buffer);
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    fmt::print("{} bytes of message, CPU {:.2f} s, RSS {:.1f} MB at most\n", bytes,
               cpu_seconds() - began, static_cast<double>(used.ru_maxrss) / 1024);
}

} // namespace

int main(int count, char** word) {
    if (count > 1) return send(word[1]), 0;
    std::mt19937 random(1);
    std::string bytes, text;
    while (bytes.size() < block) bytes += static_cast<char>(random());
    while (text.size() < block)
        text += random() % 76 ? static_cast<char>('a' + random() % 26) : '\n';
    auto const lines = detail::with_crlf(text);
    auto mixed = lines;
    for (std::size_t i = 0; i < mixed.size(); i += 20)
        if (mixed[i] >= 'a') mixed[i] = '\xe9';
    std::string base64;
    detail::append_base64_lines(base64, bytes);
    std::string out;
    measure("base64 in lines", bytes, [&](std::string const& in) {
        out.clear();
        detail::append_base64_lines(out, in);
    });
    std::vector<unsigned char> room(2 * block);
    measure("  OpenSSL's EVP_EncodeBlock, no lines", bytes, [&](std::string const& in) {
        EVP_EncodeBlock(room.data(), reinterpret_cast<unsigned char const*>(in.data()),
                        static_cast<int>(in.size()));
    });
    measure("survey of text", lines, [&](std::string const& in) { (void)detail::look_at(in); });
    measure("line ends to CRLF", lines, [&](std::string const& in) {
        out.clear();
        detail::line_ends().write(in, out);
    });
    auto const stuff = [&](std::string const& in) {
        out.clear();
        trawl::smtp::detail::dot_stuffer().write(in, out);
    };
    measure("dot-stuffing of text", lines, stuff);
    measure("dot-stuffing of base64", base64, stuff);
    measure("quoted-printable of ASCII", lines,
            [&](std::string const& in) { out = detail::quoted_printable(in); });
    measure("quoted-printable, one byte of 20 escaped", mixed,
            [&](std::string const& in) { out = detail::quoted_printable(in); });
    measure("DKIM body hash of base64", base64, [&](std::string const& in) {
        out.clear();
        trawl::dkim::detail::relaxed_body().write(in, out);
        trawl::dkim::detail::sha256 hash;
        hash.update(out);
        (void)hash.finish();
    });
    message letter;
    letter.from("Zoë <a@example.org>")
        .to("b@example.org")
        .subject("Nachtlauf: grün")
        .text(lines.substr(0, 4096));
    constexpr int letters = 20000;
    auto const began = cpu_seconds();
    for (int i = 0; i < letters; ++i) (void)letter.serialize();
    fmt::print("{:44} {:6.2f} us\n", "a message with 4 KB of text, built",
               (cpu_seconds() - began) * 1e6 / letters);
}
