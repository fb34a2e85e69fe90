#include "mail/smtp_sasl.hpp"
#include "test.hpp"

#include <vector>

using namespace std::string_literals;
using namespace trawl::smtp::detail;

namespace {

credentials who(std::string user, std::string_view secret) {
    credentials made;
    made.user = std::move(user);
    made.secret = secret;
    return made;
}

std::optional<std::string> answer(mechanism& one, std::string_view challenge) {
    auto response = one.respond(challenge);
    while (!response && one.working()) response = one.work();
    return response;
}

/// RFC 7677 §3.
std::unique_ptr<mechanism> rfc_7677() {
    return scram_sha_256(who("user", "pencil"), false, false, "rOprNGfwEbeRWgbNEkqO");
}
constexpr auto first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                       "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

} // namespace

TEST_CASE("SCRAM-SHA-256 speaks the dialogue of RFC 7677", "[mail]") {
    auto scram = rfc_7677();
    CHECK(scram->initial() == "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"s);
    CHECK(answer(*scram, first) == "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                   "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="s);
    CHECK_FALSE(scram->complete());
    CHECK(scram->respond("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == ""s);
    CHECK(scram->complete());
}

TEST_CASE("a SCRAM server that does not know the password is not believed", "[mail]") {
    for (auto last :
         {"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "", "e=other-error"}) {
        auto scram = rfc_7677();
        (void)scram->initial();
        REQUIRE(answer(*scram, first));
        CHECK_FALSE(scram->respond(last));
        CHECK_FALSE(scram->complete());
    }
    for (auto challenge :
         {"r=another%nonce,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",        // not ours
          "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", // nothing of its own
          "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
          "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967295",
          "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096x",
          "r=rOprNGfwEbeRWgbNEkqOx,s=*,i=4096", "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
          "m=extension,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "x"}) {
        auto scram = rfc_7677();
        (void)scram->initial();
        CHECK_FALSE(answer(*scram, challenge));
        CHECK_FALSE(scram->working());
    }
}

TEST_CASE("SCRAM binds itself to the TLS channel, and says so when it could", "[mail]") {
    auto me = who("u,=", "p");
    me.binding_name = "tls-exporter", me.binding = "BYTES";
    CHECK(scram_sha_256(me, true, true, "N")->initial() == "p=tls-exporter,,n=u=2C=3D,r=N"s);
    CHECK(scram_sha_256(me, false, false, "N")->initial() == "y,,n=u=2C=3D,r=N"s);
    CHECK(choose_mechanism("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", me)->name() ==
          "SCRAM-SHA-256-PLUS");
    me.binding.clear();
    CHECK(choose_mechanism("PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", me)->name() ==
          "SCRAM-SHA-256");
}

TEST_CASE("CRAM-MD5 answers as in RFC 2195", "[mail]") {
    auto cram = cram_md5(who("tim", "tanstaaftanstaaf"));
    CHECK_FALSE(cram->initial());
    CHECK(cram->respond("<1896.697170952@postoffice.reston.mci.net>") ==
          "tim b913a602c7eda7a495b4e6e7334d3890"s);
    CHECK_FALSE(cram->respond("again"));
}

TEST_CASE("tokens travel as in RFC 7628 and as Google wants them", "[mail]") {
    auto me = who("user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    me.is_token = true, me.host = "server.example.com", me.port = 143;
    auto const standard = choose_mechanism("PLAIN XOAUTH2 OAUTHBEARER", me);
    CHECK(standard->initial() == "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
                                 "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"s);
    CHECK(standard->respond("{\"status\":\"invalid_token\"}") == "\x01"s);
    CHECK_FALSE(standard->complete());
    auto const google = choose_mechanism("PLAIN XOAUTH2", me);
    CHECK(google->initial() == "user=user@example.com\x01"
                               "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"s);
    CHECK(google->respond("{}") == ""s);
    CHECK_FALSE(choose_mechanism("PLAIN LOGIN", me)); // a token is no password
}

TEST_CASE("the strongest mechanism that is offered is taken, or the one that was asked for",
          "[mail]") {
    auto me = who("u", "p");
    CHECK(choose_mechanism("CRAM-MD5 LOGIN PLAIN", me)->name() == "PLAIN");
    CHECK(choose_mechanism("CRAM-MD5 LOGIN", me)->name() == "LOGIN");
    CHECK(choose_mechanism("GSSAPI CRAM-MD5", me)->name() == "CRAM-MD5");
    CHECK_FALSE(choose_mechanism("GSSAPI", me));
    CHECK_FALSE(choose_mechanism("", me));
    me.mechanism = "CRAM-MD5";
    CHECK(choose_mechanism("CRAM-MD5 LOGIN PLAIN", me)->name() == "CRAM-MD5");
    CHECK_FALSE(choose_mechanism("LOGIN PLAIN", me));
}

TEST_CASE("base64 is read when it is canonical", "[mail]") {
    CHECK(from_base64("") == ""s);
    CHECK(from_base64("YQ==") == "a"s);
    CHECK(from_base64("YWI=") == "ab"s);
    CHECK(from_base64("YWJj") == "abc"s);
    for (auto bad : {"Y", "YQ", "YQ=", "Y===", "====", "Y=Q=", "YQ= ", "Y Q=", "YQ==YQ=="})
        CHECK_FALSE(from_base64(bad));
}
