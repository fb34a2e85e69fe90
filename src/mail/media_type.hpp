#pragma once

#include <trawl/mime_content.hpp>

#include <string>
#include <string_view>

namespace trawl::mime::detail {

/// The media type of a file: from its name's ending; else, with libmagic, from what its bytes begin
/// with; else application/octet-stream. Throws as reading does.
std::string type_of(std::string_view name, content const& bytes);

/// True for type "/" subtype without parameters (RFC 6838 §4.2).
bool is_media_type(std::string_view type);

} // namespace trawl::mime::detail
