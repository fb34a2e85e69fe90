#pragma once

#include <exception>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

// What offload_pool::run makes of a closure. Not for use outside trawl.
namespace trawl::detail {

template <class Work>
struct job_invocation {
    using type = std::invoke_result_t<Work&>;
};
template <class Work>
requires std::is_invocable_v<Work&, std::stop_token>
struct job_invocation<Work> {
    using type = std::invoke_result_t<Work&, std::stop_token>;
};
template <class Work>
using job_result = typename job_invocation<Work>::type;

/// What a pool thread sees of a job. It lives in the frame of the coroutine that awaits it.
class job {
public:
    virtual void execute(std::stop_token stop) noexcept = 0;

protected:
    ~job() = default;
};

template <class Work>
class typed_job final : public job {
    using result = job_result<Work>;
    static constexpr bool nothing = std::is_void_v<result>;

public:
    explicit typed_job(Work work) : work_(std::move(work)) {}

    void execute(std::stop_token stop) noexcept override {
        try {
            if constexpr (nothing)
                call(std::move(stop)), value_.emplace();
            else
                value_.emplace(call(std::move(stop)));
        } catch (...) {
            failure_ = std::current_exception();
        }
    }

    result take() {
        if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
        if constexpr (!nothing) return std::move(*value_);
    }

private:
    result call(std::stop_token stop) {
        if constexpr (std::is_invocable_v<Work&, std::stop_token>)
            return work_(std::move(stop));
        else
            return work_();
    }

    Work work_;
    std::optional<std::conditional_t<nothing, std::monostate, result>> value_;
    std::exception_ptr failure_;
};

} // namespace trawl::detail
