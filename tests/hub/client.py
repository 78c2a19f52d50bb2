"""A process that talks to the Hub on this machine: the client reads its settings at import, so that it has its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.hub.server import Hub

_LOOP = """
import json, sys
from actrec_zoo.errors import ActrecZooError
from actrec_zoo.hub import patience
patience._FIRST_WAIT = 0.01
{code}
for line in sys.stdin:
    try:
        found = answer(json.loads(line))
    except ActrecZooError as error:
        found = {{"error": str(error)}}
    print(json.dumps(found), flush=True)
"""


class Client:
    """Answers one question after the other.

    Args:
        hub: that it talks to.
        home: folder of its own, for huggingface_hub and for actrec-zoo.
        code: defines `answer`, from a mapping to one.
        token: of a user.
    """

    def __init__(self, hub: Hub, home: Path, code: str, token: str = "") -> None:
        environ = os.environ | hub.environment(home, token) | {"ACTREC_ZOO_CACHE": str(home / "ours")}
        command = [sys.executable, "-c", _LOOP.format(code=code)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ, text=True
        )

    def ask(self, **question: Any) -> None:
        """Put a question, and do not wait."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer; a process that has died says why."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(self._process.communicate()[1])
        found: dict[str, Any] = json.loads(line)
        return found

    def __call__(self, **question: Any) -> dict[str, Any]:
        self.ask(**question)
        return self.answer()

    def end(self) -> str:
        """End it; return what it has said on stderr."""
        if self._process.poll() is None:
            return self._process.communicate(timeout=30)[1]
        return ""
