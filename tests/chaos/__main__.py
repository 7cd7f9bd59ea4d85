"""`python -m tests.chaos [PATTERN…]`: runs scenarios, all of them by default; exit 1 if one fails."""

import argparse
import signal
import sys

from tests.chaos.campaign import OUTPUT, run_all
from tests.chaos.catalogue import select


def main() -> int:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="names of scenarios, * matches anything")
    parser.add_argument("--list", action="store_true", help="print the scenarios and run nothing")
    arguments = parser.parse_args()
    try:
        scenarios = select(arguments.patterns)
    except ValueError as error:
        parser.error(str(error))
    if arguments.list:
        for scenario in scenarios:
            print(f"{scenario.name:<42} {scenario.title}")
        return 0
    # So that clusters and workers are ended in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    verdicts = run_all(scenarios, lambda line: print(line, flush=True))
    failed = [name for name, verdict in verdicts.items() if verdict is not None and not verdict.holds]
    skipped = [name for name, verdict in verdicts.items() if verdict is None]
    print(f"{len(verdicts) - len(failed) - len(skipped)} hold, {len(failed)} fail, {len(skipped)} skipped")
    print(f"report: {OUTPUT / 'report.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
