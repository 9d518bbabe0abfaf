"""read.py FILE: a job that prints its AppArmor profile and what FILE says, or the error, as JSON."""

import errno
import json
import pathlib
import sys

try:
    said = pathlib.Path(sys.argv[1]).read_text(encoding="ascii")
except OSError as error:
    said = errno.errorcode[error.errno]
profile = pathlib.Path("/proc/self/attr/current").read_text(encoding="ascii").strip()
print(json.dumps({"profile": profile, "file": said}))
