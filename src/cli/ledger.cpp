#include "cli/ledger.hpp"

#include <fmt/format.h>

#include <system_error>

namespace trawl::cli {
namespace {

/// A run that was killed after the output file was in its place and before the state was removed
/// left nothing to do but the summary: it is written again.
void take_back(std::filesystem::path const& file) {
    auto partial = file;
    partial += ".partial";
    std::error_code ignored; // output_file says what is wrong
    if (std::filesystem::is_regular_file(file, ignored) &&
        !std::filesystem::exists(partial, ignored))
        std::filesystem::rename(file, partial, ignored);
}

} // namespace

ledger::ledger(environment& env, targets::list const& list, targets::order how,
               std::filesystem::path const& output, std::filesystem::path const& resume)
    : env_(env), portion_(list, how), size_(how.part.size(list.size())), resume_(resume) {
    if (!resume.empty()) {
        progress_.emplace(resume, portion_, size_, !output.empty());
        resumed_ = progress_->done().size();
        resumed_by_status_ = progress_->by_status();
    }
    if (output.empty()) return;
    auto const keep = progress_ ? progress_->output_bytes() : 0;
    if (keep > 0 && progress_->complete()) take_back(output);
    output_.emplace(output, keep);
    env.out().redirect(output_->number(), output_->name());
}

targets::order ledger::order() const {
    return {.seed = portion_.seed,
            .part = portion_.part,
            .from = progress_ ? progress_->done().low_water() : 0};
}

/// The output first: the state must not promise bytes that a power cut takes away.
std::function<void()> ledger::saving() {
    auto const* output = output_ ? &*output_ : nullptr;
    return [output, save = progress_->saving(output ? output->size() : 0, clock::now())] {
        if (output) output->sync();
        save();
    };
}

awaitable<> ledger::save() {
    auto job = saving();
    co_await env_.blocking().run(std::move(job));
}

void ledger::close() {
    if (progress_ && progress_->done().size() > 0) saving()();
}

json::record& ledger::describe(json::record& summary) const {
    portion_.describe(summary);
    return summary;
}

void ledger::finish(bool complete) {
    if (complete) {
        if (output_) output_->commit();
        if (progress_) progress_->remove();
        return;
    }
    if (output_)
        env_.log().log(severity::warning, "ping",
                       fmt::format("not complete; what there is lies in {}", output_->name()));
    if (progress_ && progress_->done().size() > 0)
        env_.log().log(severity::warning, "ping",
                       fmt::format("the same command with --resume {} goes on behind {} of {} "
                                   "targets",
                                   resume_.string(), progress_->done().size(), size_));
}

} // namespace trawl::cli
