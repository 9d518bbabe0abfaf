"""A guard with the action directories of a package and of the administrator, and what of them is in force."""

import json

import harness
from actions import EVERYONE, TRUE, script

UNAVAILABLE = "org.postern.Actions.Unavailable"
GOOD = {**TRUE, "allow": EVERYONE}


def says(text):
    return script(f"echo {text}")


def run_at_last(client, action):
    """The reply; asked again where a busy machine takes too long to read what has changed."""
    return harness.wait_until(
        lambda: (reply := client.call("Run", {"action": action})).get("error") != UNAVAILABLE and reply,
        what="the action files are read")


def output(client, action):
    """What the action writes; None where it is not granted."""
    reply = run_at_last(client, action)
    if reply.get("error") == "org.postern.Actions.NotGranted":
        return None
    return reply["parameters"]["stdout"].strip()


class TwoFolders(harness.Guard):
    """A guard with a directory of a package, too, whose files those of the administrator replace."""

    def __init__(self, actions=None, vendor=None, **more):
        super().__init__(actions, **more)
        self.vendor_folder = self.folder / "vendor"
        self.vendor_folder.mkdir(mode=0o755)
        for name, content in (vendor or {}).items():
            self.write_vendor(name, content)

    def write_vendor(self, name, content):
        path = self.vendor_folder / f"{name}.json"
        path.write_text(json.dumps(content))
        path.chmod(0o644)

    def command(self):
        argv = super().command()
        argv.insert(argv.index("--actions"), "--actions")
        argv.insert(argv.index("--actions") + 1, str(self.vendor_folder))
        return argv
