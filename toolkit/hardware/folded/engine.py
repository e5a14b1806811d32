"""The schedule of a layer that reads taps: a `mac`, a `pool`, an `accumulate`, a `gather`, a `window`."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any

import numpy as np

from toolkit.hardware.folded.node import Node
from toolkit.hardware.folded.registers import Inlet, Registers


class _Sums:
    """Finished sums on their way out: through the registers behind a tap, then, of a `mac`, one of the lanes after the
    other, then through the output's registers."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        self.sink = sink
        self.stages, self.output = Registers(node.stages), Registers(node.output_stages)
        self.counts = node.sequence[0].tolist() if node.kind == "mac" else None
        self.before = [0, *np.cumsum(node.sequence[0]).tolist()] if node.kind == "mac" else [0]
        self.given = -1  # the last cycle in which an output went on

    def finish(self, tap: int) -> None:
        """The last tap of the next sum is read in the cycle `tap`."""
        stages, output = self.stages, self.output
        shown = stages.shows(tap)
        if self.counts is None:
            done = output.free(shown)
            stages.add(tap, shown, done)
            output.give(done, self.sink)
            return
        done = max(shown, self.given)
        count = self.counts[len(stages.left) % len(self.counts)]
        stages.add(tap, shown, done)
        for _ in range(count):
            done += 1
            if done < output.over:
                done = output.free(done)
            output.give(done, self.sink)
        self.given = done

    @property
    def last(self) -> int:
        return max(self.stages.last, self.output.last)

    def state(self, cycle: int) -> Any:
        left = fold = 0
        if self.counts is not None:
            rounds, fold = divmod(bisect_left(self.stages.left, cycle), len(self.counts))
            left = rounds * self.before[-1] + self.before[fold] - bisect_left(self.output.entered, cycle)
        return self.stages.state(cycle), left, fold, self.output.state(cycle)


class Direct:
    """A layer that takes its input as it comes, each element a tap."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        self.sums = _Sums(node, sink)
        self.size = node.reads[0].count
        if node.accumulators:
            last = node.accumulators.last
        else:
            each = self.size // len(node.sequence[0])
            last = np.arange(self.size) % each == each - 1
        self.ends = last.tolist()
        self.pauses = node.bubbles
        self.came, self.paused = array("q"), array("q")
        self.time = 0  # the next tap's, at the earliest

    def ready(self, cycle: int) -> int:
        return self.sums.stages.free(max(cycle, self.time))

    def take(self, cycle: int) -> None:
        self.came.append(cycle)
        self.time = cycle + 1
        if self.ends[(len(self.came) - 1) % self.size]:
            self.sums.finish(cycle)
            if self.pauses:
                self.paused.append(self.sums.stages.free(cycle + 1))
                self.time = self.paused[-1] + 1

    def start(self) -> None:
        pass

    @property
    def last(self) -> int:
        return max([self.sums.last, *self.came[-1:], *self.paused[-1:]])

    def state(self, cycle: int) -> Any:
        came, paused = bisect_left(self.came, cycle), bisect_left(self.paused, cycle)
        pausing = self.pauses and paused < bisect_left(self.sums.stages.entered, cycle)
        return came % self.size, pausing, self.sums.state(cycle)


class Reader:
    """A layer that reads its taps from a line buffer. A frame is a walk over places: taps, and behind the last tap of
    each sum of a `mac` that has such bubbles a place without one. It goes on, a place a cycle, until it lacks an
    element; sums that cannot leave hold it up."""

    def __init__(self, node: Node, sink: Inlet) -> None:
        reads = node.rows or node.line_buffer
        assert reads is not None
        self.sums = _Sums(node, sink)
        taps, limits = reads.waits, reads.limits
        self.frame = node.reads[0].count
        each = len(taps) // (len(node.sequence[0]) if node.kind == "mac" else node.gives.count)
        last = node.rows.last if node.rows else np.arange(len(taps)) % each == each - 1
        if node.bubbles:
            ends = np.flatnonzero(last) + 1
            # After the frame's last tap the frame is done: a place without a tap that follows belongs to the next.
            limits = np.insert(limits, ends, np.append(limits, limits[0] + self.frame)[ends])
            taps, last = np.insert(taps, ends, -1), np.insert(last, ends, False)
        self.at, self.length = taps, len(taps)
        self.done = self.length - 1 - node.bubbles
        # The place that lacks an element when so many of a frame's have come.
        self.reach = np.searchsorted(np.maximum.accumulate(taps), np.arange(self.frame + 1)).tolist()
        # Places behind which something happens: a sum is finished, or more elements may come.
        following = np.append(limits[1:], limits[0] + self.frame)
        changes = following != limits
        marks = np.flatnonzero(last | changes)
        self.marks = [*marks.tolist(), self.length]
        self.finishes = last[marks].tolist()
        self.limits = np.where(changes, following, -1)[marks].tolist()
        self.came = array("q")
        self.opened, self.room, self.now = array("q", [0]), array("q", [int(limits[0])]), 0
        # Where each stretch of places without a pause begins, counted from the first frame's first, and when.
        self.begun, self.begun_at = array("q"), array("q")
        self.base = self.rounds = self.place = self.mark = self.time = 0
        self.needs = 0  # so many elements must have come for it to go on

    def ready(self, cycle: int) -> int:
        opened, room, now = self.opened, self.room, self.now
        while now + 1 < len(opened) and opened[now + 1] <= cycle:
            now += 1
        self.now = now
        wanted = len(self.came)
        while room[now] <= wanted:
            now += 1
            cycle = opened[now]
        return cycle

    def take(self, cycle: int) -> None:
        self.came.append(cycle)
        if len(self.came) == self.needs:
            self.time = max(self.time, cycle + 1)
            self._go_on()

    def start(self) -> None:
        self._go_on()

    def _go_on(self) -> None:
        """Go on as far as the elements allow that have come."""
        while True:
            until = self.reach[min(max(len(self.came) - self.base, 0), self.frame)]
            if self.place < until:
                self._walk(until)
            if until < self.length:
                self.needs = self.base + int(self.at[until]) + 1
                return
            self.base += self.frame
            self.rounds += self.length
            self.place = self.mark = 0

    def _walk(self, until: int) -> None:
        """Go on from the present place to the one before `until`; none of them lacks an element."""
        marks, stages = self.marks, self.sums.stages
        place, time, mark = self.place, stages.free(self.time), self.mark
        self.begun.append(self.rounds + place)
        self.begun_at.append(time)
        while place < until:
            marked = marks[mark]
            stop = min(marked + 1, until)
            for begin, end in stages.stalls_after(time) if stages.over > time else ():
                if begin >= time + stop - place:
                    break
                place, time = place + max(begin - time, 0), end
                self.begun.append(self.rounds + place)
                self.begun_at.append(time)
            time += stop - place
            place = stop
            if stop > marked:
                if self.limits[mark] >= 0:
                    self.opened.append(time)
                    self.room.append(self.base + self.limits[mark])
                if self.finishes[mark]:
                    self.sums.finish(time - 1)
                mark += 1
        self.place, self.time, self.mark = place, time, mark

    @property
    def last(self) -> int:
        walked = self._walked_until() if self.begun else -1
        return max([self.sums.last, *self.came[-1:], walked])

    def _walked_until(self) -> int:
        """The cycle of the last place."""
        return self.begun_at[-1] + self.rounds + self.place - self.begun[-1] - 1

    def state(self, cycle: int) -> Any:
        stretch = bisect_left(self.begun_at, cycle) - 1
        place = 0
        if stretch >= 0:
            ends = self.begun[stretch + 1] if stretch + 1 < len(self.begun) else self.rounds + self.place
            place = min(self.begun[stretch] + cycle - self.begun_at[stretch], ends)
        rounds, place = divmod(place, self.length)
        had = bisect_left(self.came, cycle) - self.frame * (rounds + (place > self.done))
        return place, had, self.sums.state(cycle)


def engine(node: Node, sink: Inlet) -> Direct | Reader:
    """The schedule of a `mac`, a `pool`, an `accumulate`, a `gather` or a `window`."""
    return Reader(node, sink) if node.line_buffer or node.rows else Direct(node, sink)
