"""Shells at a terminal of their own, with the completion of posternctl, for what is typed there.

    with Shell("zsh", folder) as shell:
        assert shell.type("posternctl run web.r\t") == ["run", "web.restart"]

The completion asks the program under test. What is executed at the end of the line is another program: it
writes down the words that it gets.
"""

import os
import pathlib
import pty
import select
import signal
import time

from harness import PATIENCE, REPOSITORY, program

COMPLETION = REPOSITORY / "packaging/completion"
BASH_COMPLETION = pathlib.Path("/usr/share/bash-completion/bash_completion")
# The prompt counts the command lines, so that one which is only drawn again is told from the next.
START = {
    "bash": "PS1='<\\#>'; source '{file}'\n",
    # Finds the file by itself, by the name of the command.
    "bash-completion": "PS1='<\\#>'; source '{library}'\n",
    "zsh": "precmd() {{ PROMPT=\"<$((++lines))>\"; }}; fpath=('{folder}/zsh' $fpath); "
           "autoload -U compinit; compinit -D -u\n",
    "fish": "function count_lines --on-event fish_prompt; set -g lines (math 0$lines + 1); end; "
            "function fish_prompt; echo \"<$lines>\"; end; function fish_greeting; end; source '{file}'\n",
}
FILE = {"bash": "posternctl.bash", "bash-completion": "completions/posternctl", "zsh": "zsh/_posternctl",
        "fish": "posternctl.fish"}
TEMPLATE = {"bash": "posternctl.bash.in", "bash-completion": "posternctl.bash.in", "zsh": "_posternctl.in",
            "fish": "posternctl.fish.in"}
BEGIN = {"bash": ["bash", "--noprofile", "--rcfile"], "bash-completion": ["bash", "--noprofile", "--rcfile"],
         "zsh": ["zsh", "-i"], "fish": ["fish", "--no-config", "--interactive", "--init-command"]}
WRITE_DOWN = "#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done >'{0}.part'\nmv '{0}.part' '{0}'\n"


def write_completion(shell, folder):
    """The completion as it is installed, but for the path of posternctl: the one under test."""
    file = folder / FILE[shell]
    file.parent.mkdir(exist_ok=True)
    text = (COMPLETION / TEMPLATE[shell]).read_text(encoding="utf-8")
    file.write_text(text.replace("@POSTERNCTL@", program("posternctl")), encoding="utf-8")
    return file


class Shell:
    """`folder` is where it runs, in a directory of its own that is empty."""

    def __init__(self, name, folder):
        self.name = name
        self._tools = folder / f"{name}-tools"
        self.directory = folder / f"{name}-here"
        self.expected = set()  # what a test puts into it
        self._said = ""
        self._lines = 0

    def __enter__(self):
        self._tools.mkdir()
        self.directory.mkdir()
        file = write_completion(self.name, self._tools)
        self._words = self._tools / "words"
        self.executed = self._tools / "bin/posternctl"
        self.executed.parent.mkdir()
        self.executed.write_text(WRITE_DOWN.format(self._words), encoding="utf-8")
        self.executed.chmod(0o755)
        start = START[self.name].format(file=file, folder=self._tools, library=BASH_COMPLETION)
        (self._tools / ".zshrc").write_text(start, encoding="utf-8")
        command = list(BEGIN[self.name])
        if self.name.startswith("bash"):
            command.append(str(self._tools / ".zshrc"))
        elif self.name == "fish":
            command.append(start.strip())
        environment = {"PATH": f"{self.executed.parent}:/usr/bin:/bin", "HOME": str(self._tools),
                       "ZDOTDIR": str(self._tools), "TERM": "xterm", "LC_ALL": "C.UTF-8",
                       "BASH_COMPLETION_USER_DIR": str(self._tools), "COLUMNS": "200", "LINES": "60"}
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.chdir(self.directory)
            os.execvpe(command[0], command, environment)
        self._next_prompt()
        return self

    def __exit__(self, *_):
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)

    def _next_prompt(self):
        self._lines += 1
        self._until(lambda: f"<{self._lines}>" in self._said)

    def _until(self, condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            left = end - time.monotonic()
            assert left > 0 and select.select([self._terminal], [], [], left)[0], self._said
            self._said += os.read(self._terminal, 65536).decode(errors="replace")

    def execute(self, line):
        """Types it, and waits until it was executed."""
        self._said = ""
        os.write(self._terminal, (line + "\n").encode())
        self._next_prompt()

    def type(self, line):
        """The same with a line that begins with posternctl: the words that the program got."""
        self._words.unlink(missing_ok=True)
        self.execute(line)
        assert self._words.exists(), self._said
        return self._words.read_text(encoding="utf-8").split("\0")[:-1]

    @property
    def said(self):
        """What the terminal got since the last line began."""
        return self._said
