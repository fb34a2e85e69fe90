#include "job_spec.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <system_error>
#include <utility>

namespace json = boost::json;

namespace service {
namespace {

/// A name that somebody has made up, as JSON writes it: on one line whatever is in it.
std::string quoted(json::string_view name) { return json::serialize(json::value(name)); }

/// The members of one object: each is taken once, and what nobody took is an error.
class members {
public:
    members(std::string where, json::value const& of) : where_(std::move(where)) {
        if (!of.is_object()) throw bad_job("\"" + where_ + "\" must be an object");
        left_ = of.as_object();
    }

    std::string text(std::string_view name) {
        auto const value = take(name);
        if (!value.is_string() || value.as_string().empty()) refuse(name, "must be a text");
        return std::string(value.as_string());
    }

    double number(std::string_view name, double least, double most, double otherwise) {
        if (!left_.contains(name)) return otherwise;
        auto const value = take(name);
        if (!value.is_number()) refuse(name, "must be a number");
        auto const found = value.to_number<double>();
        if (!(found >= least && found <= most)) {
            auto const whole = [](double d) { return std::to_string(static_cast<long long>(d)); };
            refuse(name, "must be from " + whole(least) + " to " + whole(most));
        }
        return found;
    }

    template <class Number>
    Number count(std::string_view name, double most, Number otherwise) {
        auto const found = number(name, 0, most, static_cast<double>(otherwise));
        if (found != static_cast<double>(static_cast<Number>(found)))
            refuse(name, "must be a whole number");
        return static_cast<Number>(found);
    }

    std::chrono::milliseconds seconds(std::string_view name, std::chrono::milliseconds otherwise) {
        std::chrono::duration<double> const before = otherwise;
        std::chrono::duration<double> const found(number(name, 0, 3600, before.count()));
        auto const whole = std::chrono::duration_cast<std::chrono::milliseconds>(found);
        if (whole.count() == 0) refuse(name, "must be at least 0.001");
        return whole;
    }

    trawl::targets::list targets(std::uint64_t most) {
        auto const written = text("targets");
        trawl::targets::list found;
        try {
            found.add(written);
        } catch (std::system_error const& e) {
            refuse("targets", e.what());
        }
        if (found.empty()) refuse("targets", "names nobody");
        if (found.size() > most)
            refuse("targets", "has more than " + std::to_string(most) + " targets");
        return found;
    }

    void end() const {
        if (!left_.empty())
            throw bad_job("\"" + where_ + "\" has no member " + quoted(left_.begin()->key()));
    }

    [[noreturn]] void refuse(std::string_view name, std::string const& why) const {
        throw bad_job(where_ + "." + std::string(name) + " " + why);
    }

private:
    json::value take(std::string_view name) {
        auto const found = left_.find(name);
        if (found == left_.end()) refuse(name, "is missing");
        auto value = std::move(found->value());
        left_.erase(found);
        return value;
    }

    std::string where_;
    json::object left_;
};

sweep_spec sweep_of(json::value const& value, job_limits const& limits) {
    members from("sweep", value);
    sweep_spec found;
    found.targets = from.targets(limits.targets);
    if (found.targets.has_names()) from.refuse("targets", "has a name; a sweep takes addresses");
    found.rate = from.number("rate", 1, limits.rate, found.rate);
    found.timeout = from.seconds("timeout", found.timeout);
    found.retries = from.count("retries", 10, found.retries);
    from.end();
    return found;
}

ssh_spec ssh_of(json::value const& value, job_limits const& limits) {
    members from("ssh", value);
    ssh_spec found;
    found.targets = from.targets(limits.targets);
    found.command = from.text("command");
    found.user = from.text("user");
    found.key = from.text("key");
    if (found.key[0] == '.' || found.key.find('/') != found.key.npos)
        from.refuse("key", "must be the name of a key, without a folder");
    found.port = from.count("port", 65535, found.port);
    found.jobs = from.count("jobs", static_cast<double>(limits.sessions), found.jobs);
    if (found.port == 0) from.refuse("port", "must not be 0");
    if (found.jobs == 0) from.refuse("jobs", "must not be 0");
    found.timeout = from.seconds("timeout", found.timeout);
    from.end();
    return found;
}

} // namespace

job_spec parse_job(std::string_view text, job_limits const& limits) {
    json::error_code failed;
    auto const value = json::parse(json::string_view(text.data(), text.size()), failed);
    if (failed) throw bad_job("the body is no JSON: " + failed.message());
    if (!value.is_object() || value.as_object().size() != 1)
        throw bad_job("a job is {\"sweep\": {...}} or {\"ssh\": {...}}");
    auto const& [kind, body] = *value.as_object().begin();
    if (kind == "sweep") return sweep_of(body, limits);
    if (kind == "ssh" && !limits.ssh) throw bad_job("the service has no keys: no SSH jobs");
    if (kind == "ssh") return ssh_of(body, limits);
    throw bad_job("no job is called " + quoted(kind));
}

std::string_view kind_of(job_spec const& what) noexcept {
    return std::holds_alternative<sweep_spec>(what) ? "sweep" : "ssh";
}

trawl::targets::list const& targets_of(job_spec const& what) noexcept {
    return std::visit(
        [](auto const& s) -> auto const& { return s.targets; }, what);
}

} // namespace service
