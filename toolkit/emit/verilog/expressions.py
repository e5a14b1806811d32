"""Verilog-2001 expressions of datapath operations, every operand exactly as wide as its result."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.design.formats import Overflow
from toolkit.hardware.datapath import (
    Barrel,
    Constant,
    Entry,
    Greater,
    Offset,
    Place,
    Plus,
    Product,
    Quantise,
    Read,
    RoundEven,
    Select,
    Signal,
    Sum,
    Turned,
    Widen,
)


@dataclass(frozen=True)
class Operand:
    """A name in the text and its width in bits."""

    name: str
    width: int


def literal(value: int, width: int) -> str:
    """A sized constant: two's complement, hexadecimal, or binary where that is short."""
    bits = value & ((1 << width) - 1)
    return f"{width}'b{bits:0{width}b}" if width <= 4 else f"{width}'h{bits:0{-(-width // 4)}x}"


def part(operand: Operand, high: int, low: int = 0) -> str:
    """Bits high..low of an operand."""
    if (high, low) == (operand.width - 1, 0):
        return operand.name
    return f"{operand.name}[{high}]" if high == low else f"{operand.name}[{high}:{low}]"


def sign_of(operand: Operand) -> str:
    """The top bit of an operand."""
    return part(operand, operand.width - 1, operand.width - 1)


def join(*parts: str) -> str:
    """A concatenation of the parts that are not empty."""
    kept = [p for p in parts if p]
    return kept[0] if len(kept) == 1 else "{" + ", ".join(kept) + "}"


def zeros(count: int) -> str:
    return f"{count}'b0" if count > 0 else ""


def word(operand: Operand, shift: int, width: int, fill: str = "0") -> str:
    """An unsigned word moved left by `shift`, cut to `width` or padded above with bits `fill`."""
    kept = min(operand.width, width - shift)
    if kept <= 0:
        return literal(0, width)
    above = width - kept - shift
    return join(f"{above}'b{fill * (above if fill == '1' else 1)}" if above else "", part(operand, kept - 1),
                zeros(shift))


def extend(operand: Operand, width: int, signed: bool) -> str:
    """A code in more bits; its low bits where `width` is fewer."""
    missing = width - operand.width
    if missing <= 0:
        return part(operand, width - 1)
    if not signed:
        return join(zeros(missing), operand.name)
    return join(f"{{{missing}{{{sign_of(operand)}}}}}", operand.name)


def expression(signal: Signal, operands: list[Operand]) -> str:
    """The right-hand side of a signal's assignment."""
    op = signal.op
    if isinstance(op, Constant):
        return literal(op.value, signal.width)
    if isinstance(op, Sum):
        a = word(operands[0], op.shifts[0], signal.width)
        b = word(operands[1], op.shifts[1], signal.width, "1" if op.subtract else "0")
        return f"{a} {'-' if op.subtract else '+'} {b}"
    if isinstance(op, Offset):
        moved, constant = word(operands[0], op.shift, signal.width), literal(op.constant, signal.width)
        return f"{constant} - {moved}" if op.negative else f"{moved} + {constant}"
    if isinstance(op, Greater):
        a, b = (f"$signed({o.name})" if op.signed else o.name for o in operands)
        return f"{b} > {a}"
    if isinstance(op, Select):
        return f"{operands[0].name} ? {operands[2].name} : {operands[1].name}"
    if isinstance(op, Widen):
        return join(extend(operands[0], signal.width - op.shift, op.signed), zeros(op.shift))
    if isinstance(op, Entry):
        return f"entry{len(op.table)}x{signal.width}({operands[0].name})"
    if isinstance(op, RoundEven):
        return tie_to_even(op, operands[0], signal.width)
    if isinstance(op, Quantise):
        return quantise(op, operands[0], signal.width)
    if isinstance(op, Turned):
        return turned(operands[0], op.signed, sign_of(operands[1]), signal.width)
    if isinstance(op, Place):
        return place(operands[0], op.top, signal.width)
    if isinstance(op, Barrel):
        return barrel(operands[0], operands[1], signal.width)
    if isinstance(op, Product):
        return product(operands, op.signed, signal.width)
    if isinstance(op, Plus):
        return f"{extend(operands[0], signal.width, True)} + {literal(op.constant, signal.width)}"
    raise TypeError(f"no Verilog for {op}")


def turned(code: Operand, signed: bool, sign: str, width: int) -> str:
    """A code in two's complement of `width` bits, negated where the bit `sign` is set."""
    value = extend(code, width, signed)
    return f"{sign} ? {literal(0, width)} - {value} : {value}"


def place(magnitude: Operand, top: int, width: int) -> str:
    """The exponent of the power of two nearest to an unsigned word, below a bit that is set; 0 of 0. 2**e is nearest
    from 1.5 * 2**(e - 1) on: from the top, where bit e is set, or both bits below it are."""
    text = ""
    for e in range(top, -1, -1):
        tests = [part(magnitude, e, e)] if e < magnitude.width else []
        if e > 1 and e - 1 < magnitude.width:
            tests.append(f"({part(magnitude, e - 1, e - 1)} & {part(magnitude, e - 2, e - 2)})")
        text += f"({' | '.join(tests)}) ? {literal((1 << (width - 1)) | e, width)} : "
    return text + literal(0, width)


def barrel(value: Operand, power: Operand, width: int) -> str:
    """A two's complement value times the power of two that `place` has said."""
    moved = f"{extend(value, width, True)} << {part(power, power.width - 2)}"
    return f"{sign_of(power)} ? {moved} : {literal(0, width)}"


def product(operands: list[Operand], signed: tuple[bool, ...], width: int) -> str:
    """The exact product of two codes, in two's complement."""
    a, b = (f"$signed({extend(o, width, s)})" for o, s in zip(operands, signed, strict=True))
    return f"$unsigned({a} * {b})"


def read(op: Read, port: Operand, element_width: int, width: int) -> str:
    """One element of a packed port as a word: its top bit inverted where the code is signed."""
    base = op.element * element_width
    if not op.invert:
        return part(port, base + width - 1, base)
    top = f"~{part(port, base + width - 1, base + width - 1)}"
    return join(top, part(port, base + width - 2, base)) if width > 1 else top


def quantise(op: Quantise, acc: Operand, width: int) -> str:
    """`clamp(acc >> shift)`, each bound tested only where the accumulator can pass it."""
    op = replace(op, shift=min(op.shift, acc.width - 1))  # beyond its width only the sign is left, as at its end
    top = acc.width - op.shift
    value = part(acc, acc.width - 1, op.shift) if top <= width else part(acc, op.shift + width - 1, op.shift)
    if top < width:
        value = join(f"{{{width - top}{{{sign_of(acc)}}}}}", value)
    low, high = op.requantise.low, op.requantise.high
    if op.requantise.overflow is Overflow.SATURATE:
        over = op.high >> op.shift > high
        under = op.low >> op.shift < low
        if op.high >> op.shift <= low or op.low >> op.shift >= high:  # a bound may need more bits than there are
            return literal(low if op.high >> op.shift <= low else high, width)
        if over and under and low == ~high and (high + 1).bit_count() == 1:
            return _saturated(op, acc, value, width)
        if over:
            value = f"({_over(op, acc, high)}) ? {literal(high, width)} : {value}"
        if under:
            value = f"({_under(op, acc, low)}) ? {literal(low, width)} : {value}"
    return value


def _saturated(op: Quantise, acc: Operand, value: str, width: int) -> str:
    """Both bounds at the ends of two's complement: the value fits where all bits above it equal the sign."""
    keep = op.requantise.high.bit_length()
    sign = sign_of(acc)
    above = part(acc, acc.width - 1, op.shift + keep)
    bound = join(f"{{{width - keep}{{{sign}}}}}", f"{{{keep}{{~{sign}}}}}" if keep else "")
    return f"(&{above} | ~|{above}) ? {value} : {bound}"


def _over(op: Quantise, acc: Operand, high: int) -> str:
    """Is the shifted accumulator above `high`? Read only where it is not below the lower bound."""
    sign = sign_of(acc)
    if high >= 0 and (high + 1).bit_count() == 1:
        some = "|" + part(acc, acc.width - 2, op.shift + high.bit_length())
        known = op.low >= 0 or (op.requantise.low >= 0 and op.low >> op.shift < op.requantise.low)
        return some if known else f"~{sign} & ({some})"
    top = acc.width - op.shift
    return f"$signed({part(acc, acc.width - 1, op.shift)}) > $signed({literal(high, top)})"


def _under(op: Quantise, acc: Operand, low: int) -> str:
    """Is the shifted accumulator below `low`?"""
    sign = sign_of(acc)
    if low == 0:
        return sign
    if low < 0 and (-low).bit_count() == 1:
        return f"{sign} & ~&{part(acc, acc.width - 2, op.shift + (-low).bit_length() - 1)}"
    top = acc.width - op.shift
    return f"$signed({part(acc, acc.width - 1, op.shift)}) < $signed({literal(low, top)})"


def tie_to_even(op: RoundEven, acc: Operand, width: int) -> str:
    """The accumulator plus what makes a floor of it round half to even."""
    parity = min(op.shift, acc.width - 1)  # beyond its width every bit is the sign
    odd = part(acc, parity, parity)
    half = (1 << (op.shift - 1)) - 1
    return f"{extend(acc, width, True)} + {literal(half, width)} + {join(zeros(width - 1), odd)}"
