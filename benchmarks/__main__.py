"""Runs every benchmark of this folder, one after the other, and prints what they print."""

import importlib
import pkgutil
import sys

import benchmarks


def main() -> None:
    """Run the benchmarks that are named, or all of them."""
    names = sys.argv[1:] or [
        module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name[0] != "_"
    ]
    for name in names:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
