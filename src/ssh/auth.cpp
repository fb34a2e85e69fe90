#include "ssh/auth.hpp"

#include "ssh/private_key.hpp"

namespace trawl::ssh::detail {
namespace {

/// Questions a server may ask in a row before it is taken to be asking for ever.
constexpr int most_rounds = 8;

std::string method_names(int methods) {
    constexpr std::pair<int, char const*> names[] = {
        {SSH_AUTH_METHOD_PUBLICKEY, "publickey"},
        {SSH_AUTH_METHOD_PASSWORD, "password"},
        {SSH_AUTH_METHOD_INTERACTIVE, "keyboard-interactive"},
        {SSH_AUTH_METHOD_HOSTBASED, "hostbased"},
        {SSH_AUTH_METHOD_GSSAPI_MIC, "gssapi-with-mic"},
    };
    std::string out;
    for (auto const& [bit, name] : names)
        if (methods & bit) out += (out.empty() ? "" : ", ") + std::string(name);
    if (out.empty()) return "server names no method";
    return "server allows " + out + (out.find(',') == std::string::npos ? " only" : "");
}

/// One login: which methods have been tried, and what the server said last.
class login {
public:
    login(std::shared_ptr<transport> link, options const& how, step when)
        : link_(std::move(link)), how_(how), when_(when) {}

    awaitable<> run() {
        if (how_.identity && co_await attempt("publickey", key_call())) co_return;
        if (!how_.password || how_.password->empty()) {
            if (!how_.identity && co_await attempt("none", none_call())) co_return;
            deny();
        }
        // Unasked, a server has not told its methods yet: "password" first saves a round trip.
        int const offered = ssh_userauth_list(link_->handle(), nullptr);
        bool const only_asks =
            (offered & SSH_AUTH_METHOD_INTERACTIVE) && !(offered & SSH_AUTH_METHOD_PASSWORD);
        if (!only_asks) {
            if (co_await attempt("password", password_call())) co_return;
            int const now = ssh_userauth_list(link_->handle(), nullptr);
            if (!(now & SSH_AUTH_METHOD_INTERACTIVE) || (now & SSH_AUTH_METHOD_PASSWORD)) deny();
        }
        if (co_await answer_questions()) co_return;
        deny();
    }

private:
    using call = int (*)(ssh_session, options const&);

    static call key_call() {
        return [](ssh_session s, options const& o) {
            return ssh_userauth_publickey(s, nullptr, key_access::handle(o.identity));
        };
    }
    static call none_call() {
        return [](ssh_session s, options const&) { return ssh_userauth_none(s, nullptr); };
    }
    static call password_call() {
        return [](ssh_session s, options const& o) {
            return ssh_userauth_password(s, nullptr, o.password->c_str());
        };
    }
    static call interactive_call() {
        return
            [](ssh_session s, options const&) { return ssh_userauth_kbdint(s, nullptr, nullptr); };
    }

    awaitable<int> ask(call method) {
        auto once = [this, method] { return method(link_->handle(), how_); };
        co_return co_await link_->drive(once, SSH_AUTH_AGAIN, when_);
    }

    /// True when logged in; false when refused, or when the server wants another method too.
    awaitable<bool> attempt(char const* name, call method) {
        tried_ += (tried_.empty() ? "" : ", ") + std::string(name);
        int const result = co_await ask(method);
        co_return judge(result);
    }

    bool judge(int result) {
        if (result == SSH_AUTH_SUCCESS) return true;
        if (result == SSH_AUTH_PARTIAL) partial_ = true;
        if (result == SSH_AUTH_ERROR) {
            if (!link_->alive()) link_->throw_lost(when_.at);
            throw failure(errc::auth_denied, when_.at, link_->peer(), link_->words());
        }
        return false;
    }

    awaitable<bool> answer_questions() {
        tried_ += (tried_.empty() ? "" : ", ") + std::string("keyboard-interactive");
        for (int round = 0; round < most_rounds; ++round) {
            int const result = co_await ask(interactive_call());
            if (result != SSH_AUTH_INFO) co_return judge(result);
            auto* const session = link_->handle();
            int const questions = ssh_userauth_kbdint_getnprompts(session);
            for (int i = 0; i < questions; ++i) {
                char echoes = 0;
                ssh_userauth_kbdint_getprompt(session, static_cast<unsigned>(i), &echoes);
                // A question whose answer may be seen is not one for the password.
                auto const* text = echoes ? "" : how_.password->c_str();
                ssh_userauth_kbdint_setanswer(session, static_cast<unsigned>(i), text);
            }
        }
        co_return false;
    }

    [[noreturn]] void deny() const {
        auto said = method_names(ssh_userauth_list(link_->handle(), nullptr));
        if (tried_ != "none") said += "; tried " + tried_;
        if (partial_) said += ", accepted in part";
        if (!how_.user.empty()) said += " as " + how_.user;
        throw failure(errc::auth_denied, when_.at, link_->peer(), said);
    }

    std::shared_ptr<transport> link_;
    options const& how_;
    step when_;
    std::string tried_;
    bool partial_ = false;
};

} // namespace

awaitable<> authenticate(std::shared_ptr<transport> link, options const& how, step when) {
    login attempt(std::move(link), how, when);
    co_await attempt.run();
}

} // namespace trawl::ssh::detail
