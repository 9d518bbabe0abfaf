"""main.py PORT: runs every check in turn and writes to PORT what each saw, one JSON object a line.

{"check": NAME, "seconds": N, "saw": ...}, or "error" with the traceback instead of "saw". A check judges
nothing: what it ought to see is said by the test of that name outside.
"""

import json
import signal
import sys
import termios
import time
import traceback
import tty

import apparmor
import basics
import callers
import confined
import sandbox
import strangers

# From `confined` on the services run under their profiles. `strangers` may leave a machine on which nothing works.
CHECKS = {**basics.CHECKS, **callers.CHECKS, **sandbox.CHECKS, **apparmor.CHECKS, **confined.CHECKS, **strangers.CHECKS,
          **confined.LAST}
MOST_SECONDS = 600


def give_up(*_):
    raise TimeoutError(f"it took more than {MOST_SECONDS} s")


def look(name, check):
    began = time.monotonic()
    signal.alarm(MOST_SECONDS)
    try:
        report = {"saw": check()}
    except Exception:  # whatever it is, the others are still to be heard
        report = {"error": traceback.format_exc()}
    finally:
        signal.alarm(0)
    return {"check": name, "seconds": round(time.monotonic() - began, 1), **report}


def main():
    signal.signal(signal.SIGALRM, give_up)
    with open(sys.argv[1], "wb", buffering=0) as port:
        tty.setraw(port)
        for name, check in CHECKS.items():
            port.write(json.dumps(look(name, check)).encode("ascii") + b"\n")
            termios.tcdrain(port)


if __name__ == "__main__":
    main()
