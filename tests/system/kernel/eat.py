"""eat.py MIB: uses so much memory, and ends."""

import sys

eaten = bytearray(int(sys.argv[1]) << 20)
for page in range(0, len(eaten), 4096):
    eaten[page] = 1
