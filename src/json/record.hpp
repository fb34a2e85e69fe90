#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace trawl::json {

/// `bytes` as a JSON string, or as {"b64": "..."} when they are not UTF-8.
boost::json::value text(std::string_view bytes);
/// A duration in seconds; null when there is none.
boost::json::value seconds(std::optional<std::chrono::nanoseconds> length);
/// RFC 3339 in UTC with milliseconds.
boost::json::value time(std::chrono::system_clock::time_point when);

/// One line of --json output: {"v":1,"type":TYPE,"verb":VERB, ...fields in the order they were
/// added}.
class record {
public:
    record(std::string_view type, std::string_view verb);

    record& field(std::string_view name, boost::json::value value);
    record& field(std::string_view name, std::string_view bytes) {
        return field(name, text(bytes));
    }
    record& field(std::string_view name, char const* bytes) { return field(name, text(bytes)); }
    record& field(std::string_view name, std::string const& bytes) {
        return field(name, text(bytes));
    }
    record& field(std::string_view name, std::nullptr_t) {
        return field(name, boost::json::value(nullptr));
    }
    template <class Number>
    requires std::is_arithmetic_v<Number> // a literal 0 is no null pointer here
        record& field(std::string_view name, Number number) {
        return field(name, boost::json::value(number));
    }
    record& field(std::string_view name, std::chrono::nanoseconds length) {
        return field(name, seconds(length));
    }
    record& field(std::string_view name, std::optional<std::chrono::nanoseconds> length) {
        return field(name, seconds(length));
    }

    /// The line without its newline.
    std::string line() const;

private:
    boost::json::object object_;
};

} // namespace trawl::json
