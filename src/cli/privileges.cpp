#include "cli/privileges.hpp"

#include <cap-ng.h>

#include <cerrno>
#include <system_error>

namespace trawl::cli {

void drop_capabilities(bool keep_files) {
    if (::capng_get_caps_process() != 0)
        throw std::system_error(errno, std::system_category(), "reading the capabilities");
    if (::capng_have_capabilities(CAPNG_SELECT_CAPS) == CAPNG_NONE) return;
    bool const had = ::capng_have_capability(CAPNG_PERMITTED, CAP_DAC_OVERRIDE) == 1;
    ::capng_clear(CAPNG_SELECT_CAPS);
    if (keep_files && had)
        ::capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                       CAP_DAC_OVERRIDE);
    if (::capng_apply(CAPNG_SELECT_CAPS) != 0)
        throw std::system_error(errno, std::system_category(), "dropping the capabilities");
}

} // namespace trawl::cli
