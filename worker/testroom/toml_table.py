"""Reads one TOML table key by key; whatever is wrong is an error that names the key."""

import re
from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from worker.errors import InvalidField

E = TypeVar("E", bound=Enum)


class TomlTable:
    """A table being read: every key is taken once, and `finish` complains about the rest.

    All methods raise `InvalidField` with the path of the key.
    """

    def __init__(self, path: str, values: Mapping[str, object]) -> None:
        self._path = path
        self._values = dict(values)

    def path(self, key: str) -> str:
        """The full name of *key* for an error."""
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        """Whether *key* is there and not taken yet."""
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """A string that is not empty."""
        value = self._values.pop(key, default)
        if not isinstance(value, str) or not value:
            raise InvalidField(self.path(key), "expected a text that is not empty")
        return value

    def matching(self, key: str, pattern: re.Pattern[str], meaning: str) -> str:
        """A string that *pattern* matches whole; *meaning* says so in words."""
        value = self._values.pop(key, None)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise InvalidField(self.path(key), f"expected {meaning}")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        """true or false."""
        value = self._values.pop(key, default)
        if not isinstance(value, bool):
            raise InvalidField(self.path(key), "expected true or false")
        return value

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number, low..high."""
        value = self._values.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidField(self.path(key), f"expected a whole number, {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number, low..high."""
        value = self._values.pop(key, default)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= float(str(value)) <= high:
            raise InvalidField(self.path(key), f"expected a number, {low:g} to {high:g}")
        return float(str(value))

    def choice(self, key: str, options: Mapping[str, E], default: E | None = None) -> E:
        """One of the spellings of *options*."""
        value = self._values.pop(key, None)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value not in options:
            raise InvalidField(self.path(key), f"expected one of {', '.join(options)}")
        return options[value]

    def table(self, key: str) -> "TomlTable":
        """A table; an empty one when the key is missing."""
        return TomlTable(self.path(key), self.raw_table(key))

    def raw_table(self, key: str) -> Mapping[str, object]:
        """A table as it stands, to be merged with another; empty when the key is missing."""
        value = self._values.pop(key, {})
        if not isinstance(value, dict):
            raise InvalidField(self.path(key), "expected a table")
        return value

    def is_switched_off(self, key: str) -> bool:
        """Whether the key says `false` where a table might stand; takes it then."""
        if self._values.get(key) is not False:
            return False
        del self._values[key]
        return True

    def tables(self, key: str) -> tuple["TomlTable", ...]:
        """An array of tables; empty when the key is missing."""
        value = self._values.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise InvalidField(self.path(key), "expected an array of tables")
        return tuple(
            TomlTable(f"{self.path(key)}[{position}]", entry)
            for position, entry in enumerate(value)
        )

    def finish(self) -> None:
        """Refuse keys nobody asked for: a misspelt one must not be ignored."""
        for key in self._values:
            raise InvalidField(self.path(key), "unknown key")
