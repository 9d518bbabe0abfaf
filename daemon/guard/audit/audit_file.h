// The audit as a file that is the guard's alone (0600, made where it is missing). It is whatever
// lies at its path: a file that was renamed, as when logs are rotated, removed or replaced is no
// longer it, and the next record opens or makes the one that is. Where that can't be done nothing
// is written: what stands in a file without a name nobody reads.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "daemon/guard/audit/audit_sink.h"

namespace postern {

// Told in words what becomes of the file, each once: that it was opened again, that it can't be
// written and what to do (`trouble`), that it can again.
using AuditNotice = std::function<void(const std::string& message, bool trouble)>;

// Error: it can't be opened or made, is no regular file, another user's, or has other names; and
// what to do.
Result<std::unique_ptr<AuditSink>> open_audit_file(const std::string& path, AuditNotice notice);

}  // namespace postern
