"""Token-bucket rate limiter per caller."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_CALLERS = 50_000
"""Those that were silent for longest are forgotten; a forgotten bucket is a full one."""


class Limiter:
    """At most `burst` at once and `per_s` a second in the long run, for each key."""

    def __init__(self, per_s: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_s = per_s
        self.burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def has_left(self, key: str) -> bool:
        """Whether the key may do it once more; nothing is counted."""
        with self._lock:
            return self._level(key) >= 1

    def spend(self, key: str) -> bool:
        """Count one; False, and nothing counted, when there is none left."""
        with self._lock:
            level = self._level(key)
            if level < 1:
                return False
            self._levels[key] = (self._clock(), level - 1)
            self._levels.move_to_end(key)
            while len(self._levels) > MAX_CALLERS:
                self._levels.popitem(last=False)
            return True

    def forget(self) -> None:
        """Everybody begins anew."""
        with self._lock:
            self._levels.clear()

    def _level(self, key: str) -> float:
        at, level = self._levels.get(key, (0.0, self.burst))
        return min(self.burst, level + (self._clock() - at) * self.per_s)


class Recent:
    """The last keys that were named, the oldest forgotten first."""

    def __init__(self, most: int = MAX_CALLERS) -> None:
        self._most = most
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, key: str) -> None:
        with self._lock:
            self._keys[key] = None
            self._keys.move_to_end(key)
            if len(self._keys) > self._most:
                self._keys.popitem(last=False)

    def discard(self, key: str) -> None:
        with self._lock:
            self._keys.pop(key, None)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._keys

    def clear(self) -> None:
        with self._lock:
            self._keys.clear()
