#include "log.hpp"

#if SERVICE_SPDLOG
#include "spdlog_observer.hpp"

#include <spdlog/sinks/stdout_sinks.h>

namespace service {

std::unique_ptr<trawl::observer> make_log() {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_st>(); // one thread: the loop's
    auto logger = std::make_shared<spdlog::logger>("trawl", std::move(sink));
    return std::make_unique<spdlog_observer>(std::move(logger));
}

} // namespace service

#else
#include "prometheus.hpp"

#include <iostream>

namespace service {
namespace {

struct plain_log : trawl::observer {
    void log(trawl::severity how, std::string_view where, std::string_view text) override {
        if (how >= trawl::severity::info)
            std::cerr << name(how) << " " << where << ": " << text << "\n";
    }
};

} // namespace

std::unique_ptr<trawl::observer> make_log() { return std::make_unique<plain_log>(); }

} // namespace service
#endif
