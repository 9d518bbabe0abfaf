#include "daemon/session/output_tail.h"

#include <cstring>
#include <string>

namespace postern::session {

bool OutputTail::look() {
    for (Stream& stream : streams_) look(stream);
    return streams_[0].found && streams_[1].found;
}

void OutputTail::look(Stream& stream) {
    if (stream.found) return;
    const std::string block = stream.file.before(stream.offset, block_bytes);
    if (block.empty()) {
        stream.offset = 0;
        stream.found = true;
        return;
    }
    const std::uint64_t from = stream.offset - block.size();
    // The newline at the very end ends the last line, and begins none.
    std::size_t rest = block.size() - (stream.offset == stream.end ? 1 : 0);
    while (const void* newline = ::memrchr(block.data(), '\n', rest)) {
        rest = static_cast<std::size_t>(static_cast<const char*>(newline) - block.data());
        if (--stream.left > 0) continue;
        stream.offset = from + rest + 1;
        stream.found = true;
        return;
    }
    stream.offset = from;
}

}  // namespace postern::session
