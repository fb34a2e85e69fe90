#pragma once

#include <trawl/observer.hpp>

#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>
#include <utility>

namespace service {

/// Hands log records to an spdlog logger. A logger with a slow sink should be an asynchronous one
/// (spdlog::create_async): records come on the loop.
class spdlog_observer : public trawl::observer {
public:
    explicit spdlog_observer(std::shared_ptr<spdlog::logger> to) : to_(std::move(to)) {}

    void log(trawl::severity how, std::string_view where, std::string_view text) override {
        auto const at = level(how);
        if (to_->should_log(at)) to_->log(at, "{}: {}", where, text);
    }

    static spdlog::level::level_enum level(trawl::severity how) noexcept {
        switch (how) {
        case trawl::severity::trace: return spdlog::level::trace;
        case trawl::severity::debug: return spdlog::level::debug;
        case trawl::severity::info: return spdlog::level::info;
        case trawl::severity::warning: return spdlog::level::warn;
        case trawl::severity::error: break;
        }
        return spdlog::level::err;
    }

private:
    std::shared_ptr<spdlog::logger> to_;
};

} // namespace service
