"""What the bench in Verilog counts, and what each count means: AXI4-Stream rules that the network broke, and stalls and
resets that the bench did not do."""

from __future__ import annotations

from typing import Any

BROKEN = {
    "dropped": "tvalid must stay until tready comes; it fell {n} times before",
    "data_changed": "tdata must not change while tvalid waits for tready; it did {n} times",
    "last_changed": "tlast must not change while tvalid waits for tready; it did {n} times",
    "reset_valid": "tvalid must be low in a reset; it was high in {n} cycles",
}
"""Rules of the protocol, by the counter of the cycles in which they were broken."""
WAITS = "tvalid must not wait for tready; while tready was low no output came, and when it rose one did"
MONITOR = (*BROKEN, "early", "waits", "longest", "gaps", "in_flight", "beats_in", "beats_out", "due_from")
"""Counters that count whoever drives the ports."""
PLAYER = ("played", "done", "hung", "obliged", "ahead", "got", "first_in", "first_out", "last_out", "first_valid",
          "tried_valid", "wrong_last", "surplus", "after_valid", "gapped", "stalled_in", "stalled_out")
COUNTERS = (*MONITOR, *PLAYER)
"""What Python may read in the built simulation."""
ENOUGH = 32
"""Beats among which at least one waits where both sides stall at random."""


def broken(counts: dict[str, Any], obliged: bool) -> list[str]:
    """One sentence for each rule that was broken. `obliged`: an output came only when tready had risen."""
    found = [f"AXI4-Stream rule broken: {text.format(n=counts[key])}" for key, text in BROKEN.items() if counts[key]]
    if obliged:
        found.append(f"AXI4-Stream rule broken: {WAITS}")
    if counts["early"]:
        found.append(f"{counts['early']} outputs came before the input that they belong to")
    return found


def idle(what: str, done: int, least: int) -> list[str]:
    """A fault of the bench itself where it did `what` fewer than `least` times."""
    return [f"the bench did not test what it is to test: {what}, {done} of {least} times"] if done < least else []
