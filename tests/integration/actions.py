"""Actions that several files of tests have in their guards."""

EVERYONE = [{"everyone": True}]
# Nobody may run it yet.
TRUE = {"summary": "True", "exec": ["/bin/true"]}


def script(text, **more):
    """An action that is a shell script; its braces are its own."""
    return {"summary": "Script", "allow": EVERYONE,
            "exec": ["/bin/sh", "-c", text.replace("{", "{{").replace("}", "}}")], **more}


HELLO = script("echo hi")
