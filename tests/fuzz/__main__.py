"""`python -m tests.fuzz --seconds 300`: damaged inputs without end, until the time is up."""

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.target import Target

_AT_ONCE = 200


def main() -> int:
    """Print each fault, with how to see it again; exit code 1 when there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="by default another one each time")
    parser.add_argument("--input", type=int, help="read this one alone, in this process, and keep its file")
    asked = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="fuzz-"))
    target = Target(scratch, asked.seed)
    if asked.input is not None:
        print(target.make(asked.input)[1])
        target.run(asked.input)
        return 0
    until, faults, number = time.monotonic() + asked.seconds, 0, 0
    for number in itertools.count(0, _AT_ONCE):
        if time.monotonic() > until:
            break
        for fault in target.faults(number, _AT_ONCE):
            faults += 1
            print(f"--seed {asked.seed} --input {fault.number} ({fault.subject})\n{fault.error}", flush=True)
    print(f"{number} inputs of seed {asked.seed}, {faults} faults")
    shutil.rmtree(scratch)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
