#include "ssh/auth.hpp"

#include "ssh/agent_stub.hpp"
#include "ssh/private_key.hpp"

#include <trawl/ssh_agent.hpp>

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
        if (co_await try_identities()) co_return;
        if (how_.agent && co_await try_agent()) co_return;
        bool const has_password = how_.password && !how_.password->empty();
        if (!has_password && !how_.answer) {
            if (keys_ == 0 && co_await attempt("none", none_call())) co_return;
            deny();
        }
        if (has_password) {
            // Unasked, a server has not told its methods yet: "password" first saves a round trip.
            bool const only_asks =
                offers(SSH_AUTH_METHOD_INTERACTIVE) && !offers(SSH_AUTH_METHOD_PASSWORD);
            if (!only_asks) {
                if (co_await attempt("password", password_call())) co_return;
                // Refused as a password, it is not sent again as an answer.
                bool const asks_next =
                    offers(SSH_AUTH_METHOD_INTERACTIVE) && !offers(SSH_AUTH_METHOD_PASSWORD);
                if (!how_.answer && !asks_next) deny();
            }
        }
        if (co_await answer_questions()) co_return;
        deny();
    }

private:
    using call = int (*)(ssh_session, options const&);

    static call agent_call() {
        return [](ssh_session s, options const&) { return ssh_userauth_agent(s, nullptr); };
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

    bool offers(int method) const { return ssh_userauth_list(link_->handle(), nullptr) & method; }

    awaitable<bool> try_identities() {
        for (auto const& key : how_.identities) {
            if (!key) continue;
            ++keys_;
            auto once = [this, &key] {
                return ssh_userauth_publickey(link_->handle(), nullptr, key_access::handle(key));
            };
            int const result = co_await link_->drive(once, SSH_AUTH_AGAIN, when_);
            if (judge(result)) co_return true;
        }
        co_return false;
    }

    /// An agent that fails is no reason to give up: other methods follow.
    awaitable<bool> try_agent() {
        try {
            auto const keys = co_await how_.agent->keys();
            for (auto const& key : keys)
                if (co_await try_agent_key(key)) co_return true;
        } catch (failure const&) {
            throw;
        } catch (error const& trouble) {
            if (how_.log) how_.log->log(severity::warning, "ssh " + link_->peer(), trouble.what());
        }
        co_return false;
    }

    awaitable<bool> try_agent_key(agent_key key) {
        ++keys_;
        std::optional<sign_request> wanted;
        {
            agent_stub const asking(link_, key, make_failure());
            int const result = co_await ask(agent_call());
            wanted = asking.wanted();
            if (result != SSH_AUTH_ERROR || !wanted) co_return judge(result);
        }
        auto const signature =
            co_await how_.agent->sign(key, std::move(wanted->data), wanted->flags);
        agent_stub const answering(link_, key, make_signature_answer(signature));
        int const result = co_await ask(agent_call());
        co_return judge(result);
    }

    /// Whoever answers may be a human.
    awaitable<std::vector<net::secret>> in_time(awaitable<std::vector<net::secret>> answer) {
        if (when_.deadline == time_point::max()) co_return co_await std::move(answer);
        auto given = co_await within(when_.deadline - clock::now(), std::move(answer));
        if (!given)
            throw failure(trawl::errc::timed_out, when_.at, link_->peer(),
                          "nobody has answered the server's questions");
        co_return std::move(*given);
    }

    awaitable<std::vector<net::secret>> answers(ssh_session session, int count) {
        ssh::questions asked;
        auto const text = [](char const* from) { return std::string(from ? from : ""); };
        asked.name = text(ssh_userauth_kbdint_getname(session));
        asked.instruction = text(ssh_userauth_kbdint_getinstruction(session));
        for (int i = 0; i < count; ++i) {
            char echoes = 0;
            auto const* prompt =
                ssh_userauth_kbdint_getprompt(session, static_cast<unsigned>(i), &echoes);
            asked.all.push_back({text(prompt), echoes != 0});
        }
        std::vector<net::secret> given;
        if (how_.answer) {
            given = co_await in_time(how_.answer(std::move(asked)));
        } else {
            // A question whose answer may be seen is not one for the password.
            for (auto const& one : asked.all)
                given.emplace_back(std::string(one.echo ? "" : how_.password->view()));
        }
        given.resize(static_cast<std::size_t>(count));
        co_return given;
    }

    awaitable<bool> answer_questions() {
        tried_ += (tried_.empty() ? "" : ", ") + std::string("keyboard-interactive");
        for (int round = 0; round < most_rounds; ++round) {
            int const result = co_await ask(interactive_call());
            if (result != SSH_AUTH_INFO) co_return judge(result);
            auto* const session = link_->handle();
            int const count = ssh_userauth_kbdint_getnprompts(session);
            auto const given = co_await answers(session, count);
            if (!link_->alive()) link_->throw_lost(when_.at);
            for (unsigned i = 0; i < given.size(); ++i)
                ssh_userauth_kbdint_setanswer(session, i, given[i].c_str());
        }
        co_return false;
    }

    [[noreturn]] void deny() const {
        auto said = method_names(ssh_userauth_list(link_->handle(), nullptr));
        auto tried = keys_ > 1 ? "publickey with " + std::to_string(keys_) + " keys"
                     : keys_   ? std::string("publickey")
                               : std::string();
        if (!tried.empty() && !tried_.empty()) tried += ", ";
        tried += tried_;
        if (tried != "none") said += "; tried " + tried;
        if (partial_) said += ", accepted in part";
        if (!how_.user.empty()) said += " as " + how_.user;
        throw failure(errc::auth_denied, when_.at, link_->peer(), said);
    }

    std::shared_ptr<transport> link_;
    options const& how_;
    step when_;
    std::string tried_; // methods without a key
    int keys_ = 0;
    bool partial_ = false;
};

} // namespace

awaitable<> authenticate(std::shared_ptr<transport> link, options const& how, step when) {
    login attempt(std::move(link), how, when);
    co_await attempt.run();
}

} // namespace trawl::ssh::detail
