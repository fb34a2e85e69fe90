// One TAP line for each test case, so that `meson test` and ./check count cases and not assertions.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "test.hpp"

#include <algorithm>
#include <iostream>

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using base = Catch::StreamingReporterBase;
#else
using base = Catch::StreamingReporterBase<class case_reporter>;
#endif

class case_reporter final : public base {
public:
    using base::base;
    static std::string getDescription() { return "one TAP line for each test case"; }

#if !__has_include(<catch2/catch_all.hpp>)
    void assertionStarting(Catch::AssertionInfo const&) override {}
    bool assertionEnded(Catch::AssertionStats const& stats) override { return note(stats), true; }
#else
    void assertionEnded(Catch::AssertionStats const& stats) override { note(stats); }
#endif

    void testCaseStarting(Catch::TestCaseInfo const& info) override {
        base::testCaseStarting(info);
        why_skipped_.clear();
        failures_.clear();
    }

    void testCaseEnded(Catch::TestCaseStats const& stats) override {
        std::string name = currentTestCaseInfo->name;
        std::replace(name.begin(), name.end(), '#', ' '); // '#' begins a directive in TAP
        bool const failed = stats.totals.assertions.failed > 0;
        ++number_;
        if (!why_skipped_.empty())
            std::cout << "ok " << number_ << " " << name << " # SKIP " << why_skipped_;
        else
            std::cout << (failed ? "not ok " : "ok ") << number_ << " " << name;
        std::cout << "\n";
        if (why_skipped_.empty()) std::cout << failures_;
        std::cout << std::flush;
        base::testCaseEnded(stats);
    }

    void testRunEnded(Catch::TestRunStats const& stats) override {
        std::cout << "1.." << number_ << "\n" << std::flush;
        base::testRunEnded(stats);
    }

private:
    void note(Catch::AssertionStats const& stats) {
        auto const& result = stats.assertionResult;
        if (result.isOk()) return;
        std::string const message(result.getMessage());
        if (auto at = message.find("SKIP: "); at != std::string::npos) {
            why_skipped_ = message.substr(at + 6);
            return;
        }
        auto const where = result.getSourceInfo();
        std::string text = std::string(where.file) + ":" + std::to_string(where.line) + ": " +
                           std::string(result.getExpression()) + " -> " +
                           std::string(result.getExpandedExpression());
        if (!message.empty()) text += ": " + message;
        for (auto const& info : stats.infoMessages) text += " [" + std::string(info.message) + "]";
        std::replace(text.begin(), text.end(), '\n', ' ');
        failures_ += "# " + text + "\n";
    }

    std::size_t number_ = 0;
    std::string why_skipped_, failures_;
};

} // namespace

CATCH_REGISTER_REPORTER("cases", case_reporter)
