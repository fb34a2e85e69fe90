#pragma once

#include <utility>

// What a ticket of a limiter and a guard of a mutex have in common. Not for use outside trawl.
namespace trawl::detail {

template <class Owner>
class hold_list;

/// What somebody holds of an Owner, which takes it back by Owner::take_back(). It holds nothing
/// any more once its owner is gone: an io_context that is destroyed in the midst of its work
/// destroys the frames of its coroutines in any order. Move-only, confined to the owner's executor.
template <class Owner>
class hold {
public:
    hold() noexcept = default;
    hold(Owner& owner, hold_list<Owner>& list) noexcept : owner_(&owner), list_(&list) { link(); }
    hold(hold&& other) noexcept { take(other); }
    hold& operator=(hold&& other) noexcept {
        if (this != &other) give_back(), take(other);
        return *this;
    }
    ~hold() { give_back(); }

    void give_back() noexcept {
        if (!owner_) return;
        unlink();
        std::exchange(owner_, nullptr)->take_back();
    }
    explicit operator bool() const noexcept { return owner_ != nullptr; }

private:
    friend class hold_list<Owner>;

    void take(hold& other) noexcept {
        if (!other.owner_) return;
        other.unlink();
        owner_ = std::exchange(other.owner_, nullptr);
        list_ = other.list_;
        link();
    }
    void link() noexcept {
        before_ = nullptr;
        after_ = list_->first_;
        if (after_) after_->before_ = this;
        list_->first_ = this;
    }
    void unlink() noexcept {
        (before_ ? before_->after_ : list_->first_) = after_;
        if (after_) after_->before_ = before_;
    }

    Owner* owner_ = nullptr;
    hold_list<Owner>* list_ = nullptr;
    hold *before_ = nullptr, *after_ = nullptr; // in list_, while owner_ is set
};

/// All that is held of one Owner, which has it as a member.
template <class Owner>
class hold_list {
public:
    hold_list() noexcept = default;
    hold_list(hold_list const&) = delete;
    hold_list& operator=(hold_list const&) = delete;
    ~hold_list() {
        for (; first_; first_ = first_->after_) first_->owner_ = nullptr;
    }

private:
    friend class hold<Owner>;
    hold<Owner>* first_ = nullptr;
};

} // namespace trawl::detail
