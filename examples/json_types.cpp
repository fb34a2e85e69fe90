// Every JSON type to its C++ type and back, with Boost.JSON, which trawl itself uses.
#include <boost/json.hpp>

#include <iostream>

namespace json = boost::json;

char const* type_in_cpp(json::value const& value) {
    switch (value.kind()) {
    case json::kind::null: return "std::nullptr_t";
    case json::kind::bool_: return "bool";
    case json::kind::int64: return "std::int64_t";
    case json::kind::uint64: return "std::uint64_t";
    case json::kind::double_: return "double";
    case json::kind::string: return "json::string";
    case json::kind::array: return "json::array";
    case json::kind::object: return "json::object";
    }
    return "";
}

int main() {
    std::string const text = R"({"object":{"a":1},"array":[1,"two",3E0],"string":"Grüße \u0001",)"
                             R"("integer":-7,"large":18446744073709551615,"real":1.5E0,)"
                             R"("true":true,"false":false,"null":null})";
    json::value const document = json::parse(text);
    for (auto const& [name, value] : document.as_object())
        std::cout << std::string(name) << " -> " << type_in_cpp(value) << " -> "
                  << json::serialize(value) << "\n";
    bool const same =
        json::serialize(document) == text && json::parse(json::serialize(document)) == document;
    std::cout << (same ? "the round trip kept every byte\n" : "the round trip changed something\n");
    return same ? 0 : 1;
}
