"""Runs every benchmark of this folder, one after the other, and prints what they print.

    python -m benchmarks [--full] [NAME ...]

Without --full each takes a minute or two at most, all of them under ten; with it come the large
cases, of which most tables in README.md are made.
"""

import argparse
import importlib
import pkgutil
import time

import benchmarks


def main() -> None:
    """Run the benchmarks that are named, or all of them."""
    every = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name[0] != "_"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(every)}")
    parser.add_argument("--full", action="store_true", help="the large cases too")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(every):
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    for name in arguments.names or every:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        importlib.import_module(f"benchmarks.{name}").main(full=arguments.full)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
