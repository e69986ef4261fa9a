"""Runs every benchmark of this folder, one after the other, and prints what they print.

    python -m benchmarks [--full] [NAME ...]

Without --full each takes a minute or two at most, all of them under ten; with it come the large
cases, of which most tables in README.md are made. What has a goal stands in one table at the end.
"""

import argparse
import importlib
import pkgutil
import time

import benchmarks
from benchmarks.goals import Figure, table

NO_BENCHMARKS = ("goals", "keep_rules")  # what others are made of


def main() -> None:
    """Run the benchmarks that are named, or all of them."""
    found = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] != "_"]
    every = [name for name in found if name not in NO_BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(every)}")
    parser.add_argument("--full", action="store_true", help="the large cases too")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(every):
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    figures: list[Figure] = []
    started = time.monotonic()
    for name in arguments.names or every:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        figures += importlib.import_module(f"benchmarks.{name}").main(full=arguments.full) or ()
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
    if figures:
        print(f"\n== goals ({time.monotonic() - started:.0f} s in all)\n{table(figures)}")


if __name__ == "__main__":
    main()
