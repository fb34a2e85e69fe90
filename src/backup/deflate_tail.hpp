#pragma once

#include <string>

namespace trawl::backup::detail {

/// Opens the end of a whole deflate stream, so that another one can follow in the same gzip member:
/// clears the BFINAL bit of its last block and appends an empty stored block, which ends on a byte.
/// That is what zlib's Z_FULL_FLUSH leaves behind (RFC 1951 §3.2); libdeflate, which is twice as
/// fast, has no flush.
///
/// The last block's header is found by walking the codes; no byte is decoded. Throws
/// std::runtime_error when the stream is not whole.
void open_end(std::string& deflated);

} // namespace trawl::backup::detail
