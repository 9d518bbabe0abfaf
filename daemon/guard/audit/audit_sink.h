// Where the audit goes, without ever blocking.
#pragma once

#include <systemd/sd-event.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/loop/event_source.h"

namespace postern {

using AuditFields = std::vector<std::pair<std::string, std::string>>;

// Which part of its queue a record may take. Starts have room that denials don't: a start that
// can't be recorded is refused, and no flood of denials may bring that about. What became of a job
// has room of its own: its start was recorded, and no flood of other records may hide the rest.
enum class AuditRoom : std::uint8_t { common, starts, ends };

class AuditSink {
  public:
    virtual ~AuditSink() = default;
    // One record, as a line without its newline and as fields; the sink takes what it can use.
    // False: neither written nor queued.
    virtual bool write(const std::string& line, const AuditFields& fields, AuditRoom room) = 0;
    // Whether the record of a start would be taken, as far as is known. Error: why not, and what to
    // do. A file that no longer lies at its path is opened again.
    virtual Status ready() = 0;
    [[nodiscard]] virtual const char* name() const = 0;
};

// journald's native protocol over its datagram socket (systemd's documentation, "Native Journal
// Protocol"). sd_journal_send(3) is not used: it blocks while journald stands still.
Result<std::unique_ptr<AuditSink>> open_audit_journal(sd_event* event, const std::string& socket);

std::unique_ptr<AuditSink> audit_to_stderr(sd_event* event);

}  // namespace postern
