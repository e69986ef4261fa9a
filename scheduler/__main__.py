"""`python -m scheduler`: the command `autoresearch` where the package is not installed."""

from scheduler.cli.app import main

if __name__ == "__main__":
    main()
