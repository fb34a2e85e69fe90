#include "cli/sendmail_options.hpp"

#include "cli/environment.hpp"

#include "mail/characters.hpp"

#include <fmt/format.h>

#include <unistd.h>

namespace trawl::cli {
namespace {

// Letters and their arguments as Postfix's sendmail(1) has them.
constexpr char letters[] = ":A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx";

/// "failure,delay,success" or "never" (RFC 3461 §4.1).
smtp::notify notify_of(std::string_view words) {
    smtp::notify when;
    for (std::string_view rest = words; !rest.empty();) {
        auto const word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), word.size() + 1));
        auto const is = [&](std::string_view name) {
            return mime::detail::equal_nocase(word, name);
        };
        if (is("never"))
            when.never = true;
        else if (is("success"))
            when.success = true;
        else if (is("failure"))
            when.failure = true;
        else if (is("delay"))
            when.delay = true;
        else
            throw usage_error(fmt::format("-N {}: never, or some of success, failure and delay "
                                          "with commas between them is wanted",
                                          escaped(words)));
    }
    if (!when.any() || (when.never && (when.success || when.failure || when.delay)))
        throw usage_error(fmt::format("-N {}: never stands alone", escaped(words)));
    return when;
}

smtp::returned returned_of(std::string_view word) {
    if (mime::detail::equal_nocase(word, "full")) return smtp::returned::full;
    if (mime::detail::equal_nocase(word, "hdrs")) return smtp::returned::headers;
    throw usage_error(fmt::format("-R {}: full or hdrs is wanted", escaped(word)));
}

void take(sendmail_options& made, int letter, std::string const& value) {
    switch (letter) {
    case 'f':
    case 'r': made.sender = value == "<>" ? "" : value; break;
    case 'F': made.full_name = value; break;
    case 'C': made.configuration = value; break;
    case 'N': made.parameters.notify = notify_of(value); break;
    case 'R': made.parameters.returned = returned_of(value); break;
    case 'V': made.parameters.envelope_id = value; break;
    case 't': made.from_header = true; break;
    case 'i': made.dot_ends = false; break;
    case 'v': made.verbose = true; break;
    case 'o':
        if (value == "i") made.dot_ends = false;
        break;
    case 'b':
        if (value != "m")
            throw usage_error(fmt::format("-b{}: only a message is delivered here (-bm); there is "
                                          "no queue, no daemon and no address test",
                                          escaped(value)));
        break;
    case 'q':
    case 'I': throw usage_error("there is no queue and no alias file (-q, -I)");
    default: break;
    }
}

} // namespace

sendmail_options parse_sendmail(std::vector<std::string> arguments) {
    sendmail_options made;
    std::vector<char*> words;
    for (auto& one : arguments) words.push_back(one.data());
    int const count = static_cast<int>(words.size());
    words.push_back(nullptr);
    if (count == 2 && arguments[1] == "--help") {
        made.help = true;
        return made;
    }
    ::optind = 0; // glibc's way to begin anew
    for (;;) {
        // '+' would end the options at the first recipient; sendmail's users write some behind it.
        int const letter = ::getopt(count, words.data(), letters);
        if (letter == -1) break;
        auto const last = static_cast<char>(::optopt);
        if (letter == '?')
            throw usage_error(fmt::format("-{} is no option of sendmail", escaped({&last, 1})));
        if (letter == ':') throw usage_error(fmt::format("-{} needs a value", last));
        take(made, letter, ::optarg ? ::optarg : "");
    }
    made.recipients.assign(words.begin() + ::optind, words.end() - 1);
    return made;
}

} // namespace trawl::cli
