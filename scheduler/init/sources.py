"""The Python files of a repository together: which uses which, and what they need of others.

In: a `Snapshot`. Out: `Sources`. Pure.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from scheduler.init.snapshot import Snapshot
from scheduler.init.source import Module, read_module


@dataclass(frozen=True)
class Sources:
    """What is known of a repository."""

    snapshot: Snapshot
    modules: dict[str, Module]  # by file name

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Folders that modules are found in: the top, and `src/` where packages lie there."""
        has_src = any(name.startswith("src/") for name in self.modules)
        return ("", "src/") if has_src else ("",)

    def reached(self, script: str) -> tuple[str, ...]:
        """The script, then the files of the repository that it imports, nearest first."""
        found, waiting = [script], [script]
        while waiting:
            for name in self._imported(waiting.pop(0)):
                if name not in found:
                    found.append(name)
                    waiting.append(name)
        return tuple(found)

    def foreign(self, script: str) -> tuple[str, ...]:
        """Names of other people's packages that a script and its modules can't do without."""
        own = {name.split("/")[-1].removesuffix(".py") for name in self.modules}
        own |= {part for name in self.modules for part in name.split("/")[:-1]}
        names = {
            dotted.split(".")[0]
            for file in self.reached(script)
            if file in self.modules
            for dotted in self.modules[file].needed
        }
        return tuple(sorted(names - own - set(sys.stdlib_module_names) - {""}))

    def returns(self, function: str) -> Iterator[tuple[Module, ast.expr]]:
        """What functions of this name return, in any file."""
        for module in self.modules.values():
            for value in module.returned.get(function, ()):
                yield module, value

    def _imported(self, file: str) -> Iterator[str]:
        module = self.modules.get(file)
        if module is None:
            return
        here = PurePosixPath(file).parent
        for dotted, level in module.imports:
            path = dotted.replace(".", "/")
            if level:
                base = here
                for _ in range(level - 1):
                    base = base.parent
                starts = ["" if str(base) == "." else f"{base}/"]
            else:
                starts = ["" if str(here) == "." else f"{here}/", *self.roots]
            for start in starts:
                for name in (f"{start}{path}.py", f"{start}{path}/__init__.py"):
                    if path and name in self.modules:
                        yield name


def read_sources(snapshot: Snapshot) -> Sources:
    """Parse what can be parsed."""
    modules = {}
    for name, text in snapshot.texts.items():
        if name.endswith(".py") and (module := read_module(name, text)) is not None:
            modules[name] = module
    return Sources(snapshot, modules)
