"""The radio demo: what quantisation to powers of two costs two neural receivers in dB, measured on their RTL."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results import Figure
from toolkit.commands.demo import demo
from toolkit.commands.radio import BENCHES
from toolkit.compress.measure.intervals import Z99
from toolkit.radio.curves import Curve, Loss
from toolkit.report.waterfall import Waterfall, intervals

SYMBOLS = 1_000_000
LEAST_ERRORS = 100


def measure(out: Path) -> list[Figure]:
    """One run of the demo: one seed of training, signals of its own for every figure."""
    report = demo("radio", out / "radio")
    demapper, equaliser = report.waterfalls
    (real, ours, whole), (_, against_float, against_viterbi, linear) = demapper.losses, equaliser.losses
    return [
        Figure("simulated 16-QAM, exact max-log", *_theory(demapper)),
        _loss("demapper, float", real, 0.1),
        _loss("demapper, log2:4 RTL", whole, 0.2),
        _loss("demapper, log2:4 RTL", ours),
        _loss("equaliser, log2:4 RTL", against_float, 0.3),
        _loss("equaliser, log2:4 RTL", against_viterbi),
        Figure("linear MMSE", *_gain(linear)),
        *(_counted(name, one) for name, one in zip(BENCHES, report.waterfalls, strict=True)),
        *(_speed(name, one) for name, one in zip(BENCHES, report.waterfalls, strict=True)),
        Figure("the whole demo", f"{report.seconds:.0f} s", "", "at most 360 s", report.seconds <= 360),
    ]


def _loss(name: str, loss: Loss, most: float | None = None) -> Figure:
    """Reached where all of the interval is within the goal."""
    goal = "" if most is None else f"at most {most:g} dB"
    if loss.db is None or loss.high is None:
        return Figure(name, "not measured", f"against {loss.against}", goal, None if most is None else False)
    told = f"{loss.db:+.3f} dB at BER {loss.ber:g} (95 % interval {loss.low:+.3f} .. {loss.high:+.3f})"
    return Figure(name, told, f"against {loss.against}", goal, None if most is None else bool(loss.high <= most))


def _gain(loss: Loss) -> tuple[str, str, str, bool]:
    """How many dB the linear equaliser needs more than the RTL."""
    if loss.db is None or loss.low is None:
        return "not measured", f"against {loss.against}", "at least 1 dB worse", False
    return (f"{loss.db:+.2f} dB at BER {loss.ber:g} (95 % interval {loss.low:+.2f} .. {loss.high:+.2f})",
            f"against the equaliser's {loss.against}", "at least 1 dB worse", bool(loss.low >= 1))


def _theory(found: Waterfall) -> tuple[str, str, str, bool]:
    """In how many points the closed form lies within the 99 % interval of the count."""
    from toolkit.radio import theory

    curve = found.curves[0]
    due = theory.qam16(curve.ebn0)
    right = sum(low <= rate <= high for (low, high), rate in zip(intervals(curve, Z99), due, strict=True))
    return (f"{right} of {len(due)} points within the 99 % interval", "the closed form", "every point",
            bool(right == len(due)))


def _counted(name: str, found: Waterfall) -> Figure:
    curve: Curve = found.rtl
    least = int(curve.errors.sum(axis=1).min())
    return Figure(f"{name}, RTL and reference", f"{found.different} of {curve.bits.sum():,} decided bits differ; "
                  f"at least {least} bit errors a point", "", f"0; {LEAST_ERRORS} a point",
                  bool(not found.different and least >= LEAST_ERRORS))


def _speed(name: str, found: Waterfall) -> Figure:
    """Seconds for a million symbols, from those that were played; processes started and files written included."""
    symbols = found.samples if name == "demapper" else int(found.rtl.bits.sum())
    seconds = found.seconds * SYMBOLS / symbols
    return Figure(f"{name}, {SYMBOLS:,} symbols through the RTL", f"{seconds:.1f} s ({symbols:,} in "
                  f"{found.seconds:.1f} s)", "", "at most 60 s", seconds <= 60)
