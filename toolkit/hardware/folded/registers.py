"""A chain of registers that move together, as times: when an element enters, shows at the end, and is taken."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Protocol


class Inlet(Protocol):
    """What takes the elements of a stream, one after the other."""

    def ready(self, cycle: int) -> int:
        """The first cycle from `cycle` on in which it takes its next element, were one offered from then on."""

    def take(self, cycle: int) -> None:
        """Take the next element in this cycle, which `ready` gave, and work out all that follows from it."""


class Registers:
    """`count` registers, all of which move in each cycle but those in which the last one holds something that is not
    taken. Element i enters in cycle `entered[i]`, shows at the end from cycle `shown[i]` on, is taken in `left[i]`."""

    __slots__ = ("count", "entered", "left", "over", "shown", "stalls", "still")

    def __init__(self, count: int) -> None:
        self.count = count
        self.entered, self.shown, self.left = array("q"), array("q"), array("q")
        self.stalls: list[tuple[int, int]] = []  # the cycles [from, to) in which they stood still
        self.still = self.over = -1              # the last of them

    def free(self, cycle: int) -> int:
        """The first cycle from `cycle` on in which they move."""
        if cycle >= self.over:
            return cycle
        for begin, end in reversed(self.stalls):
            if end <= cycle:
                break
            if begin <= cycle:
                return end
        return cycle

    def shows(self, entered: int) -> int:
        """The cycle from which on an element shows that enters in a cycle in which they move."""
        found = entered + self.count
        if self.still > entered:
            for begin, end in reversed(self.stalls):
                if begin <= entered:
                    break
                found += end - begin
        return found

    def add(self, entered: int, shown: int, left: int) -> None:
        """Note the next element."""
        self.entered.append(entered)
        self.shown.append(shown)
        self.left.append(left)
        if left > shown:
            self.stalls.append((shown, left))
            self.still, self.over = shown, left

    def give(self, entered: int, sink: Inlet) -> None:
        """Pass an element on to `sink` that enters in a cycle in which they move."""
        shown = entered + self.count if self.still <= entered else self.shows(entered)
        left = sink.ready(shown)
        self.add(entered, shown, left)
        sink.take(left)

    def stalls_after(self, cycle: int) -> list[tuple[int, int]]:
        """The stalls that are not over by `cycle`, in their order."""
        if self.over <= cycle:
            return []
        first = len(self.stalls)
        while first and self.stalls[first - 1][1] > cycle:
            first -= 1
        return self.stalls[first:]

    def state(self, cycle: int) -> tuple[int, ...]:
        """Which of the registers hold something when `cycle` begins, counted from the last one."""
        found = []
        waiting = 0  # cycles from now on in which those ahead keep an element waiting
        for i in range(bisect_left(self.left, cycle), len(self.left)):
            if self.entered[i] >= cycle:
                break
            found.append(max(self.shown[i] - cycle, 0) - waiting if self.shown[i] > cycle else 0)
            waiting += self.left[i] - max(self.shown[i], cycle)
        return tuple(found)

    @property
    def last(self) -> int:
        """The last cycle that changed them; -1 where none has."""
        return self.left[-1] if self.left else -1
