"""`make fuzz`: tries each target for its share of the time; what is found goes to build/fuzz."""

import argparse
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.durations import read_duration
from tests.fuzz.harness import hunt
from tests.fuzz.targets import TARGETS

_REPORT: Final = Path("build/fuzz")


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries the targets; returns 1 if there was a finding."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--for", dest="duration", default="20m", help="for how long, such as 90s or 20m")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="the first seed")
    parser.add_argument("only", nargs="*", help=f"of the targets: {', '.join(TARGETS)}; default: all")
    options = parser.parse_args(arguments)
    unknown = set(options.only) - TARGETS.keys()
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    targets = [TARGETS[name] for name in options.only or TARGETS]
    share_s = read_duration(options.duration) / len(targets)
    print(f"seed {options.seed}, {share_s:.0f} s per target")
    findings_count = 0
    for target in targets:
        tried, finding = hunt(target, share_s, options.seed)
        print(f"{target.name}: {tried:,} inputs, {'A FINDING' if finding else 'no finding'}", flush=True)
        if finding:
            findings_count += 1
            _REPORT.mkdir(parents=True, exist_ok=True)
            path = _REPORT / f"{target.name}.txt"
            path.write_text(f"{finding.value!r}\n\n{finding.traceback}", encoding="utf-8", errors="backslashreplace")
            print(f"  {finding.error.splitlines()[0][:200]}\n  {path}")
    return int(findings_count > 0)


if __name__ == "__main__":
    sys.exit(main())
