"""Tables to which every file adds its own line: exporters, published conditions, kinds of run, cell families.

A table knows the package whose files register themselves in it, and an entry-point group by which other
installed packages add theirs. Nothing is imported before the table is read. A new entry is therefore a new
file and changes none:

    # in attractor/export/fortran.py, or in a package of your own
    EXPORTERS.register("fortran", Exporter(...))

Another package names the module that registers in its `pyproject.toml`:

    [project.entry-points."attractor.exporters"]
    fortran = "my_package.fortran"
"""

import importlib
import pkgutil
import threading
import warnings
from collections.abc import Hashable, Iterator, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

from attractor.errors import ConfigError

Key = TypeVar("Key", bound=Hashable)
Entry = TypeVar("Entry")


class Registry(Mapping[Key, Entry], Generic[Key, Entry]):
    """Entries by key, in alphabetical order whoever came first; complete as soon as it is read.

    Args:
        what: one entry in words, for messages: "exporter".
        group: the entry points of other packages, "attractor.exporters".
        package: the dotted name of the package whose modules register themselves; None if the table is
            filled by whoever imports it.
    """

    def __init__(self, what: str, group: str, package: str | None = None) -> None:
        self.what, self.group, self.package = what, group, package
        self._entries: dict[Key, Entry] = {}
        self._sources: dict[Key, str] = {}
        self._complete = False
        self._lock = threading.RLock()

    def register(self, key: Key, entry: Entry, *, source: str = "") -> Entry:
        """Add an entry and return it.

        Args:
            key: by which it is found.
            entry: what is found.
            source: the module that adds it, which may do so again when it is imported anew.

        Raises:
            ConfigError: the key is taken.
        """
        if key in self._entries and (not source or self._sources[key] != source):
            new, old = source and f" of {source}", self._sources[key] and f" by {self._sources[key]}"
            raise ConfigError(
                f"{self.what} {key!r}{new} is registered already{old}; choose another name, or remove one of "
                "the two"
            )
        self._entries[key], self._sources[key] = entry, source
        return entry

    def find(self, key: object) -> Entry:
        """The entry of a key.

        Raises:
            ConfigError: nothing is registered under it; the nearest key is suggested.
        """
        if key in self:
            return self._entries[cast(Key, key)]
        known = [str(one) for one in self]
        near = get_close_matches(str(key), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ConfigError(f"unknown {self.what} {key!r}{hint} Known: {', '.join(known)}")

    def __getitem__(self, key: Key) -> Entry:
        if key not in self._entries:  # what is there needs nobody else's file
            self._load()
        return self._entries[key]

    def __contains__(self, key: object) -> bool:
        try:
            return key in self._entries or key in set(self)
        except TypeError:  # a list from a damaged file is no key of anything
            return False

    def __iter__(self) -> Iterator[Key]:
        self._load()
        return iter(sorted(self._entries, key=str))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def _load(self) -> None:
        """Import whatever registers here, once; other threads wait for it."""
        with self._lock:
            if self._complete:
                return
            self._complete = True  # first, because a module that is imported below may read the table
            try:
                self._import_package()
            except BaseException:
                self._complete = False  # the next reader gets the same error, not a table with holes
                raise
            for point in entry_points(group=self.group):
                _load_foreign(point, self.what)

    def _import_package(self) -> None:
        """The modules of the package itself; its sub-packages say themselves what they import."""
        if self.package is not None:
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                if module.name != "__main__":
                    importlib.import_module(f"{self.package}.{module.name}")


def _load_foreign(point: EntryPoint, what: str) -> None:
    """Import the module of another package; one that fails is reported and left out."""
    import jax

    try:
        with jax.ensure_compile_time_eval():  # a table may be read first while a step is traced
            point.load()
    except Exception as error:  # noqa: BLE001 (whatever a stranger's module raises must not stop this one)
        package = point.dist.name if point.dist else "another package"
        message = (
            f"the {what} {point.name!r} of {package} ({point.value}) could not be loaded: "
            f"{type(error).__name__}: {error}. It is left out"
        )
        warnings.warn(message, stacklevel=4)
