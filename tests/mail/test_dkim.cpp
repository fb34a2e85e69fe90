#include "judge.hpp"
#include "mail/decoding.hpp"
#include "mail/dkim_canonical.hpp"
#include "mail/encoding.hpp"
#include "peers.hpp"
#include "test.hpp"

#include <trawl/dkim.hpp>
#include <trawl/error.hpp>
#include <trawl/mime.hpp>

#include <cstdlib>
#include <fstream>

#include <openssl/evp.h>
#include <openssl/pem.h>

using namespace std::string_literals;
namespace dkim = trawl::dkim;
namespace mime = trawl::mime;

namespace {

std::string canonical_body(std::string_view body, std::size_t step) {
    dkim::detail::relaxed_body relaxed;
    std::string out;
    for (; !body.empty(); body.remove_prefix(std::min(step, body.size())))
        relaxed.write(body.substr(0, step), out);
    relaxed.finish(out);
    return out;
}

std::string pem_of(EVP_PKEY* key) {
    auto* const out = BIO_new(BIO_s_mem());
    REQUIRE(PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    char* text = nullptr;
    auto const size = BIO_get_mem_data(out, &text);
    std::string const pem(text, static_cast<std::size_t>(size));
    BIO_free(out);
    EVP_PKEY_free(key);
    return pem;
}

/// RFC 8463 A.1: the Ed25519 private key of the example.
std::string ed25519_pem() {
    return "-----BEGIN PRIVATE KEY-----\n"
           "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
           "-----END PRIVATE KEY-----\n";
}

std::shared_ptr<dkim::signer const> signer_of(std::string pem, std::string selector) {
    dkim::options how;
    how.domain = "football.example.com";
    how.selector = std::move(selector);
    trawl::net::secret const key(std::move(pem));
    return std::make_shared<dkim::signer const>(key, how);
}

} // namespace

TEST_CASE("a relaxed body is that of RFC 6376, wherever it is cut", "[mail]") {
    struct {
        std::string body, wanted;
    } const cases[] = {
        {" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"}, // §3.4.5
        {"", ""},
        {"\r\n\r\n", ""},
        {" \t\r\n \r\n", ""},
        {"a", "a\r\n"},
        {"\r\n\r\na\r\n \r\nb", "\r\n\r\na\r\n\r\nb\r\n"},
        {"a\rb\n\r\n", "a\rb\n\r\n"},
        {"a\r", "a\r\r\n"},
    };
    for (auto const& [body, wanted] : cases)
        for (std::size_t step = 1; step < 8; ++step) CHECK(canonical_body(body, step) == wanted);
}

TEST_CASE("a relaxed header field is that of RFC 6376", "[mail]") {
    using dkim::detail::relaxed_field;
    CHECK(relaxed_field("A", " X") == "a:X");
    CHECK(relaxed_field("B", " Y\t\r\n\tZ  ") == "b:Y Z");
    CHECK(relaxed_field("Subject", "") == "subject:");
}

TEST_CASE("fields are signed from the bottom, and absent ones as nothing", "[mail]") {
    std::vector<mime::detail::raw_field> const fields{{"To", " a"}, {"From", " b"}, {"to", " c"}};
    CHECK(dkim::detail::signed_header(fields, {"To", "to", "TO", "From"}, " v=1; b=") ==
          "to:c\r\nto:a\r\nfrom:b\r\ndkim-signature:v=1; b=");
}

TEST_CASE("the body of RFC 8463's example hash as it says", "[mail]") {
    std::string const body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    dkim::detail::sha256 hash;
    hash.update(canonical_body(body, 7));
    auto const value = hash.finish();
    CHECK(mime::detail::base64({reinterpret_cast<char const*>(value.data()), value.size()}) ==
          "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    CHECK(signer_of(ed25519_pem(), "brisbane")->record() ==
          "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
}

TEST_CASE("the header that is signed is the one of RFC 8463's example", "[mail]") {
    std::vector<mime::detail::raw_field> const fields{
        {"From", " Joe SixPack <joe@football.example.com>"},
        {"To", " Suzie Q <suzie@shopping.example.net>"},
        {"Subject", " Is dinner ready?"},
        {"Date", " Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"},
        {"Message-ID", " <20030712040037.46341.5F8J@football.example.com>"}};
    std::vector<std::string> const names{"from",       "to",   "subject", "date",
                                         "message-id", "from", "subject", "date"};
    auto const header =
        dkim::detail::signed_header(fields, names,
                                    " v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                                    " d=football.example.com; i=@football.example.com;\r\n"
                                    " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                                    " subject : date : message-id : from : subject : date;\r\n"
                                    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=");
    dkim::detail::sha256 hash;
    hash.update(header);
    auto const value = hash.finish();
    auto const key = mime::detail::base64_decoded("11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
    auto const signature = mime::detail::base64_decoded(
        "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==");
    auto const bytes = [](std::string const& text) {
        return reinterpret_cast<unsigned char const*>(text.data());
    };
    auto* const published =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(key), key.size());
    auto* const context = EVP_MD_CTX_new();
    REQUIRE(EVP_DigestVerifyInit(context, nullptr, nullptr, nullptr, published) == 1);
    CHECK(EVP_DigestVerify(context, bytes(signature), signature.size(), value.data(),
                           value.size()) == 1);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(published);
}

TEST_CASE("a key or a name that no signature may have is refused", "[mail]") {
    auto const code_of = [](std::string pem, dkim::options how) -> std::error_code {
        trawl::net::secret const key(std::move(pem));
        try {
            dkim::signer const made(key, std::move(how));
        } catch (trawl::error const& e) {
            return e.code();
        }
        return {};
    };
    dkim::options good;
    good.domain = "b.example", good.selector = "s1";
    CHECK_FALSE(code_of(ed25519_pem(), good));
    CHECK(code_of("nonsense", good) == dkim::errc::bad_key);
    CHECK(code_of("", good) == dkim::errc::bad_key);
    CHECK(code_of(pem_of(EVP_EC_gen("P-256")), good) == dkim::errc::bad_key);
    CHECK(code_of(pem_of(EVP_RSA_gen(768)), good) == dkim::errc::weak_key);
    for (auto evil : {"", "b.example; x=y", "b\r\nc", "b..c", "[127.0.0.1]"}) {
        auto bad = good;
        bad.domain = evil;
        CHECK(code_of(ed25519_pem(), bad) == dkim::errc::bad_name);
        bad = good;
        bad.selector = evil;
        CHECK(code_of(ed25519_pem(), bad) == dkim::errc::bad_name);
    }
    for (auto identity : {"@sub.b.example", "x@b.example", "@B.example"}) {
        auto how = good;
        how.identity = identity;
        CHECK_FALSE(code_of(ed25519_pem(), how));
    }
    for (auto identity : {"@c.example", "x", "@xb.example", "x@b.example;"}) {
        auto how = good;
        how.identity = identity;
        CHECK(code_of(ed25519_pem(), how) == dkim::errc::bad_name);
    }
}

TEST_CASE("what cannot be signed is refused", "[mail]") {
    auto const signer = signer_of(ed25519_pem(), "s");
    auto const code_of = [&](std::string message) -> std::error_code {
        mime::content const bytes(std::move(message));
        try {
            (void)signer->sign(*bytes.open());
        } catch (trawl::error const& e) {
            return e.code();
        }
        return {};
    };
    CHECK(code_of("Subject: x\r\n\r\n") == dkim::errc::no_from);
    CHECK(code_of("From: x\r\nno field\r\n\r\n") == dkim::errc::bad_message);
    CHECK(code_of(std::string(5 << 20, 'x')) == dkim::errc::bad_message);
    CHECK_FALSE(code_of("From: x\r\n\r\n"));
}

TEST_CASE("python3-dkim verifies what was signed, and nothing that was changed", "[mail]") {
    if (std::system("/usr/bin/python3 -c 'import dkim, nacl' 2>/dev/null") != 0)
        trawl::test::skip("needs python3-dkim and python3-nacl");
    trawl::test::temporary_folder const scratch;
    auto const& folder = scratch.path;
    auto const rsa = signer_of(pem_of(EVP_RSA_gen(2048)), "rsa"),
               ed = signer_of(ed25519_pem(), "ed");
    std::ofstream(folder / "rsa.txt") << rsa->record();
    std::ofstream(folder / "ed.txt") << ed->record();
    for (int i = 0; i < 4; ++i) {
        mime::message letter;
        letter.from("Zo\xc3\xab <joe@football.example.com>").to("a@b.example, c@d.example");
        letter.subject("Is dinner ready?   " + std::string(100, 'y') + " \xe2\x82\xac");
        letter.text(i == 1 ? "" : "Hi.  \n\n \t\nWe lost the game. \n\n\n\n").sign(rsa).sign(ed);
        if (i == 2) letter.html("<p>x</p>").attach("\0\1"s, "a.bin");
        if (i == 3) letter.attach(std::string(300'000, 'z'), "b.bin");
        std::ofstream(folder / (std::to_string(i) + ".eml"), std::ios::binary)
            << letter.serialize();
    }
    std::ofstream(folder / "judge.py") << R"PY(
import sys, glob, os, dkim
at = sys.argv[1]
def dns(name, timeout=5):
    return open(os.path.join(at, name.decode().split('.')[0] + '.txt'), 'rb').read()
for path in sorted(glob.glob(at + '/*.eml')):
    raw = open(path, 'rb').read()
    for index in (0, 1):
        if not dkim.DKIM(raw).verify(idx=index, dnsfunc=dns): print('REFUSED', path, index)
    for changed in (raw + b'x', raw.replace(b'Subject:', b'Subject: z', 1), b'From: evil@x.example\r\n' + raw,
                    b'Subject: evil\r\n' + raw):
        try:
            if dkim.DKIM(changed).verify(idx=0, dnsfunc=dns): print('BELIEVED', path, changed[:30])
        except dkim.DKIMException: pass
    print('judged')
)PY";
    auto const said = trawl::test::output_of("/usr/bin/python3 " + (folder / "judge.py").string() +
                                             " " + folder.string() + " 2>&1");
    CHECK(said == "judged\njudged\njudged\njudged\n");
}
