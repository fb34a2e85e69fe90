#pragma once

#include "dns/message.hpp"

#include <trawl/async.hpp>

#include <cstdint>
#include <memory>

namespace trawl::dns::detail {

class lane;
struct question;

/// Who asks. Called from inside c-ares: it must not ask from there.
class asker {
public:
    /// `status` is ARES_...; `packet` is the answer when that is ARES_SUCCESS.
    virtual void answered(question& asked, int status, bytes packet) noexcept = 0;

protected:
    ~asker() = default;
};

/// One question to one server.
struct question {
    asker* from = nullptr; ///< null when nobody is interested any more
    std::size_t server = 0;
    time_point sent{}, repeat{}; ///< first; when it is due to be sent again
    duration interval{};         ///< to the next repetition
    unsigned sendings = 0;
    bool edns = true;
    bool ended = false;

    // The lane's.
    lane* over = nullptr; ///< while it is out
    std::uint16_t id = 0;
    bool on_its_way = false;        ///< it counts against what the lane may carry
    std::shared_ptr<question> self; ///< what c-ares holds
};

} // namespace trawl::dns::detail
