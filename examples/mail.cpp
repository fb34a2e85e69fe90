// mail PORT FROM SUBJECT TO...: sends the text on standard input through a server on this machine.
#include <trawl/mime.hpp>
#include <trawl/smtp.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <iostream>
#include <iterator>

namespace smtp = trawl::smtp;

trawl::awaitable<> deliver(smtp::client& server, trawl::mime::message letter) {
    auto const receipt = co_await server.send(std::move(letter));
    for (auto const& one : receipt.recipients)
        std::cout << one.address << ": " << smtp::to_string(one.status) << " " << one.code << "\n";
    co_await server.quit();
}

int main(int argc, char** argv) try {
    if (argc < 5) return std::cerr << "usage: mail PORT FROM SUBJECT TO... < TEXT\n", 2;
    trawl::mime::message letter; // UTF-8 goes in, what RFC 2047 wants comes out
    letter.from(argv[2]).subject(argv[3]);
    for (int i = 4; i < argc; ++i) letter.to(argv[i]);
    letter.text(std::string(std::istreambuf_iterator<char>(std::cin), {}));

    asio::io_context io(1);
    smtp::options options;
    options.addresses.push_back(asio::ip::address_v4::loopback());
    options.port = static_cast<std::uint16_t>(std::stoi(argv[1]));
    options.tls = smtp::tls::none; // for loopback only; the default is verified TLS
    smtp::client server(io.get_executor(), std::move(options));
    asio::co_spawn(io, deliver(server, letter), [](std::exception_ptr failure) {
        if (failure) std::rethrow_exception(failure);
    });
    io.run();
} catch (std::exception const& e) {
    std::cerr << e.what() << "\n";
    return 1;
}
