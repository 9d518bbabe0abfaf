#!/usr/bin/python3
"""rooms.py [TREE]: counts the rooms of the house, its floors, and the arrows between rooms.

A room is a directory of the first or second level that holds sources; a loose file (one that lies in a
directory which has rooms below it) is a room of its own, its header and its .cc as one. An arrow leads
from a room to each other one that it includes from. A room stands one floor above the highest that it
includes from. Fails where arrows run in a circle.
"""

import pathlib
import sys

from sources import GENERATED, REPOSITORY, includes

ENDINGS = (".h", ".cc")
PARTS = ("base", "host", "model", "protocol", "daemon", "ctl")


def rooms_of(tree):
    """Source file -> its room."""
    files = [str(path.relative_to(tree)) for part in PARTS if (tree / part).is_dir()
             for path in sorted((tree / part).rglob("*")) if path.suffix in ENDINGS]
    with_rooms = {path.split("/")[0] for path in files if path.count("/") > 1}
    rooms = {}
    for path in files:
        parts = path.split("/")
        if len(parts) > 2:
            rooms[path] = "/".join(parts[:2])
        elif parts[0] in with_rooms:
            rooms[path] = path.rpartition(".")[0]
        else:
            rooms[path] = parts[0]
    return rooms


def arrows_of(tree, rooms):
    arrows = {room: set() for room in rooms.values()}
    for path, room in rooms.items():
        for kind, name in includes(tree, path):
            other = rooms.get(GENERATED.get(name, name))
            if kind == '"' and other and other != room:
                arrows[room].add(other)
    return arrows


def floors_of(arrows):
    """Room -> its floor, from 1. The error is the rooms of a circle."""
    floors, left = {}, dict(arrows)
    while left:
        free = [room for room, others in left.items() if not others & left.keys()]
        if not free:
            return None, sorted(left)
        for room in free:
            floors[room] = 1 + max((floors[other] for other in arrows[room]), default=0)
        for room in free:
            del left[room]
    return floors, []


def main():
    tree = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY
    rooms = rooms_of(tree)
    assert rooms, f"no sources in {tree}"
    arrows = arrows_of(tree, rooms)
    floors, circle = floors_of(arrows)
    if circle:
        print(f"rooms: {', '.join(circle)} include one another in a circle")
        return 1
    for floor in range(max(floors.values()), 0, -1):
        print(f"floor {floor}: {', '.join(sorted(room for room, f in floors.items() if f == floor))}")
    print(f"rooms: {len(arrows)} on {max(floors.values())} floors, "
          f"{sum(map(len, arrows.values()))} arrows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
