#include <trawl/backup.hpp>

namespace trawl::backup {

namespace {
class backup_category final : public std::error_category {
public:
    char const* name() const noexcept override { return "trawl.backup"; }
    std::string message(int value) const override {
        switch (static_cast<errc>(value)) {
        case errc::no_such_archive: return "no such backup or archive";
        case errc::locked: return "another backup of this name is running";
        case errc::corrupt: return "not what was written";
        case errc::incomplete: return "the backup is incomplete";
        case errc::bad_name: return "a name that cannot be used";
        case errc::bad_source: return "a source that cannot be backed up";
        case errc::exists: return "an archive of this name is there already";
        case errc::bad_option: return "options that contradict each other";
        case errc::no_key: return "encrypted, and there is no key";
        case errc::wrong_key: return "encrypted with another key";
        }
        return "unknown backup error";
    }
};
} // namespace

std::error_category const& category() noexcept {
    static backup_category const instance;
    return instance;
}

std::error_code make_error_code(errc code) noexcept { return {static_cast<int>(code), category()}; }

} // namespace trawl::backup
