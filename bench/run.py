"""`make bench`: what injection costs, beside strace's and the least that C can do.

Everything is measured in one run, the variants of a table by turns. Exits with 0
whatever the numbers are, with 1 if something did not run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import measures
import sweeps
from measures import Table

from tools import FULL, QUICK, Failed, Sizes, Tools

MEASURES: dict[str, Callable[[Tools, Sizes], Table]] = {
    "named": measures.named,
    "unnamed": measures.unnamed,
    "redis": measures.redis_set,
    "memory": measures.memory,
    "startup": measures.start_up,
    "traced": measures.traced,
    "watched": measures.watched,
    "sweep": sweeps.against_strace,
    "growth": sweeps.growth,
}


def header() -> dict[str, object]:
    """Return what a number is worth nothing without."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def show(table: Table) -> None:
    """Print a table: the words to the left, the numbers to the right."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    words = [not any(c.isdigit() for c in column[-1]) for column in zip(*lines, strict=True)]
    words[0] = True
    print(f"\n{table.title}")
    for line in lines:
        cells = [
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, words, strict=True)
        ]
        print("  " + "  ".join(cells).rstrip())
    for note in table.notes:
        print(f"  ({note})")


def main() -> int:
    """Measure, print, return the exit status."""
    parser = argparse.ArgumentParser(description="Measure our cost beside strace's and bare C's.")
    parser.add_argument("--quick", action="store_true", help="only see that all of it runs")
    parser.add_argument("--json", action="store_true", help="print every value as JSON")
    parser.add_argument("--verbose", action="store_true", help="also what start-up imports")
    parser.add_argument("--only", choices=MEASURES, action="append", help="not the others")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # start-up is measured as users have it
    about = header()
    began = time.monotonic()
    if not options.json:
        print("{date}, {kernel}, {cpus} CPUs, Python {python}, load {load}".format(**about))
        rounds = f"{sizes.rounds} round{'s' * (sizes.rounds != 1)}, variants by turns"
        print(f"{rounds}{'; quick: the numbers mean little' if options.quick else ''}")
    tables: dict[str, Table] = {}
    with tempfile.TemporaryDirectory(prefix="inject-bench-") as folder:
        try:
            tools = Tools(Path(folder))
            for name in options.only or MEASURES:
                tables[name] = MEASURES[name](tools, sizes)
                if not options.json:
                    show(tables[name])
            if options.verbose and not options.json:
                for table in measures.imports(tools):
                    show(table)
        except Failed as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    aims = [aim for table in tables.values() for aim in table.aims]
    if options.json:
        told = [{"aim": aim.text, "found": aim.found, "met": aim.met} for aim in aims]
        values = {name: table.raw for name, table in tables.items()}
        print(json.dumps({**about, "values": values, "aims": told}, indent=1))
        return 0
    print("\nAims")
    for aim in aims:
        print(f"  {'met   ' if aim.met else 'MISSED'}  {aim.text}: {aim.found}")
    print(f"\n{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
