"""The rules of AXI4-Stream, proved: for every input, every stall and every reset, for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from formal import STREAM, prove, with_properties
from icarus import circuit

from benchmarks.networks import dense, integers, network, tiny
from toolkit.design import Add, Clamp, Design, FixedPoint, Requantise, Tensor
from toolkit.emit.templates import render
from toolkit.emit.verilog.expressions import literal
from toolkit.emit.verilog.folded.line_buffer import unsigned_bits
from toolkit.hardware import Options, plan

TOP_PORTS = {"clk": "aclk", "rstn": "aresetn", "x_valid": "s_axis_tvalid", "x_ready": "s_axis_tready",
             "y_valid": "m_axis_tvalid", "y_ready": "m_axis_tready", "x_tag": "s_axis_tlast", "y_tag": "m_axis_tlast",
             "y_all": "{m_axis_tdata, m_axis_tlast}", "tag_bits": 1}
MODULE_PORTS = {"clk": "clk", "rstn": "rstn", "x_valid": "x_valid", "x_ready": "x_ready", "y_valid": "y_valid",
                "y_ready": "y_ready", "x_tag": "x_data", "y_tag": "y_data", "y_all": "y_data"}
WATCH = ("f_run", "f_held", "f_ahead", "f_waits", "f_take", "f_give")


def pipeline(valid: str, enable: str, tags: list[str], clk: str, rstn: str) -> str:
    """What an induction must know of a row of registers that move together: where the marked beat is, and that its tag
    is there. `valid` names the bits, first stage lowest; `tags` are what each stage holds."""
    stages = len(tags)
    count = " + ".join(f"{{7'd0, {valid}[{i}]}}" for i in range(stages))
    older = "".join(f"""
            if (f_at[{i}]) begin
                assert ({valid}[{i}] && {tags[i]} == f_kept);
                assert (f_ahead == {" + ".join(["8'd0", *(f"{{7'd0, {valid}[{j}]}}" for j in range(i + 1, stages))])});
            end""" for i in range(stages))
    moved = "f_take && f_pick && !f_waits" if stages == 1 else f"{{f_at[{stages - 2}:0], f_take && f_pick && !f_waits}}"
    return f"""
    reg [{stages - 1}:0] f_at = {stages}'d0;
    always @(posedge {clk}) begin
        if (!{rstn}) f_at <= {stages}'d0;
        else if ({enable}) f_at <= {moved};
        if (f_run) begin
            assert (f_held == {count});
            assert (f_waits == |f_at);
            assert ((f_at & (f_at - {stages}'d1)) == {stages}'d0);{older}
        end
    end
"""


Made = tuple[dict[str, str], str]


def unrolled(hints: bool = True, depth: int = 1) -> Made:
    """A small unrolled network with the rules in its top module. `hints`: with what an induction must know."""
    design = tiny([[9, -8], [1, 5]], [4, -7])
    options = Options(depth, 2)
    made = circuit(design, options)
    assert made is not None
    latency, top = plan(design, options).latency, made.made.top
    assert latency >= 2
    hint = pipeline("valid", "en", [f"last[{i}]" for i in range(latency)], "aclk", "aresetn") if hints else ""
    text = with_properties(made.made.files[f"{top}.v"], STREAM.format(**TOP_PORTS, most=latency), hint)
    return {**made.made.files, f"{top}.v": text}, top


def unrolled_data() -> Made:
    """The same network, its data compared with what it must compute, written with multiplications."""
    files, top = unrolled(False, 2)
    wanted = """
    wire signed [3:0] f_a = s_axis_tdata[3:0], f_b = s_axis_tdata[7:4];
    wire signed [15:0] f_p = 9 * f_a - 8 * f_b + 4, f_q = f_a + 5 * f_b - 7;
    wire [15:0] f_y = {f_q[7:0], f_p > 127 ? 8'd127 : f_p < -128 ? 8'h80 : f_p[7:0]};
"""
    made = {name: text.split("\n    // The rules of a stream")[0] for name, text in files.items()}
    ports = TOP_PORTS | {"x_tag": "f_y", "y_tag": "m_axis_tdata", "tag_bits": 16}
    return made | {f"{top}.v": with_properties(made[f"{top}.v"] + "\nendmodule\n", wanted,
                                               STREAM.format(**ports, most=9))}, top


def fifo(depth: int, hints: bool = True, width: int = 3) -> Made:
    """A FIFO of the folded templates with the rules in it; the hint: the marked element is where its turn says."""
    place_bits, held_bits = unsigned_bits(depth - 1), unsigned_bits(depth) + 1
    text = render("verilog/folded/fifo.v.j2", module="fifo", depth=depth, width=width, place_bits=place_bits,
                  held_bits=held_bits, depth_word=literal(depth, held_bits), last_place=literal(depth - 1, place_bits))
    hint = f"""
    wire [7:0] f_end = from + held;
    wire [7:0] f_turn = from + f_ahead - {{7'd0, y_valid}};
    wire [7:0] f_place = f_turn >= {depth} ? f_turn - {depth} : f_turn;
    always @(posedge clk) begin
        if (f_run) begin
            assert (from < {depth} && into < {depth} && held <= {depth});
            assert (into == (f_end >= {depth} ? f_end - {depth} : f_end));
            assert (f_held == {{7'd0, y_valid}} + held);
            if (f_waits && !(y_valid && f_ahead == 8'd0)) assert (memory[f_place] == f_kept);
        end
    end
"""
    rules = STREAM.format(**MODULE_PORTS, most=depth + 1, tag_bits=width)
    return {"fifo.v": with_properties(text, rules, hint if hints else "")}, "fifo"


FORM = FixedPoint(True, 4, 2)


def way_out(hints: bool = True) -> Made:
    """The registers of the way out that every folded layer ends in, behind a clamp that changes no element."""
    design = Design("d", Tensor("x", (3,), FORM), (Clamp("same", ("x",), Requantise.to(FORM)),))
    made = circuit(design, Options(arch="folded"))
    assert made is not None
    module = made.made.modules["same"]
    vector = "\n    wire [2:0] f_given = {given3, given2, given1};\n"
    rules = STREAM.format(**MODULE_PORTS, most=3, tag_bits=4)
    hint = pipeline("f_given", "moving", ["x1", "total2", "code3"], "clk", "rstn") if hints else ""
    return {"same.v": with_properties(made.made.files[f"{module}.v"], vector, rules, hint)}, module


def one_to_one(lanes: int) -> Made:
    """A folded dense layer that gives each element as it came; `lanes` 0 unrolls it between streams."""
    weights, same = integers([[1]], 2), Requantise.to(FORM)
    layers = (dense(weights, requantise=same, name="one", bias_frac=2),
              dense(weights, requantise=same, name="two", source="one", bias_frac=2))
    made = circuit(network(FORM, 1, *layers),
                   Options(arch="folded", lanes=(("one", lanes), ("two", 1))))
    assert made is not None
    module = made.made.modules["one"]
    text = with_properties(made.made.files[f"{module}.v"], STREAM.format(**MODULE_PORTS, most=12, tag_bits=4))
    others = {name: text for name, text in made.made.files.items() if name.startswith(module)}
    return others | {f"{module}.v": text}, module


def fork() -> Made:
    """A tensor that two layers read: both take an element in the same cycle, or neither."""
    twice = Clamp("a", ("x",), Requantise.to(FORM)), Add("s", ("x", "a"), Requantise.to(FORM))
    made = circuit(Design("d", Tensor("x", (2,), FORM), twice), Options(arch="folded"))
    assert made is not None
    top = made.made.top
    rules = """
    always @(posedge aclk) if (aresetn) begin
        assert ((x_y_to0_valid && x_y_to0_ready) == (x_y_valid && x_y_ready));
        assert ((x_y_to1_valid && x_y_to1_ready) == (x_y_valid && x_y_ready));
        assert (x_y_to0_data == x_y_data && x_y_to1_data == x_y_data);
    end
"""
    return made.made.files | {f"{top}.v": with_properties(made.made.files[f"{top}.v"], rules)}, top


def broken(made: Made, before: str, after: str) -> Made:
    files, top = made
    assert any(before in text for text in files.values()), (before, files)
    return {name: text.replace(before, after) for name, text in files.items()}, top


PROOFS: dict[str, Callable[[], Made]] = {
    "unrolled": unrolled, "unrolled, two adders a stage": lambda: unrolled(depth=2), "FIFO of 1": lambda: fifo(1),
    "FIFO of 2": lambda: fifo(2), "FIFO of 3": lambda: fifo(3), "FIFO of 8": lambda: fifo(8),
    "way out": way_out, "fork": fork}
LONG: dict[str, Callable[[], Made]] = {
    **{f"FIFO of {n}": lambda n=n: fifo(n) for n in (4, 5, 6, 7, 11, 16, 19)},
    "wide FIFO": lambda: fifo(5, width=16)}


@pytest.mark.parametrize("name", [*PROOFS, *(pytest.param(name, marks=pytest.mark.soak) for name in LONG)])
def test_the_stream_rules_hold_for_ever(name: str, tmp_path: Path):
    verdict = prove(*(PROOFS | LONG)[name](), tmp_path, depth=2)
    assert verdict.proved, verdict


@pytest.mark.parametrize("name, make, cycles", [
    ("unrolled", unrolled_data, 9), ("a folded layer", lambda: one_to_one(1), 18),
    ("an unrolled layer among folded ones", lambda: one_to_one(0), 11)])
@pytest.mark.soak
def test_every_output_is_that_of_its_input_whatever_the_stalls(name: str, make, cycles: int, tmp_path: Path):
    verdict = prove(*make(), tmp_path, depth=cycles, watch=WATCH, base_only=True)
    assert verdict.proved, verdict


BROKEN: dict[str, tuple[Callable[[], Made], str, str]] = {
    "valid falls": (lambda: unrolled(False), "assign m_axis_tvalid = valid[",
                    "reg f_odd = 0; always @(posedge aclk) f_odd <= !f_odd; assign m_axis_tvalid = f_odd && valid["),
    "it does not wait": (lambda: unrolled(False), "wire en = !valid", "wire en = 1'b1 || !valid"),
    "no reset": (lambda: unrolled(False), "'b0;\n        end else if (en)", "'b0 | valid;\n        end else if (en)"),
    "tlast of another beat": (lambda: unrolled(False), "assign m_axis_tlast = last[", "assign m_axis_tlast = last[-1+"),
    "a wrong sum": (unrolled_data, "5 * f_b - 7", "5 * f_b - 6"),
    "the FIFO takes one too many": (lambda: fifo(3, False), "assign x_ready = held < ",
                                     "assign x_ready = held < 3'd1 + "),
    "an element comes twice": (lambda: fifo(3, False), "if (move) from <=", "if (move && from != 2'd1) from <="),
    "an element is lost": (lambda: fifo(3, False), "if (take) memory[into]", "if (take && into != 2'd2) memory[into]"),
    "the data changes": (lambda: fifo(3, False), "if (move) y_data", "if (held != 0) y_data"),
    "the way out overtakes": (lambda: way_out(False), "assign moving = !given3 || y_ready;", "assign moving = 1'b1;"),
    "a register is not reset": (lambda: way_out(False), "given2 <= 1'b0;", "given2 <= given2;"),
    "a layer hands its sum on too early": (lambda: one_to_one(1), "full <= last3;", "full <= last2;"),
}
QUICK = ("valid falls", "an element comes twice", "a register is not reset")


@pytest.mark.parametrize("what", [n if n in QUICK else pytest.param(n, marks=pytest.mark.soak) for n in BROKEN])
def test_a_broken_rule_has_a_counterexample_that_begins_at_the_reset(what: str, tmp_path: Path):
    make, before, after = BROKEN[what]
    verdict = prove(*broken(make(), before, after), tmp_path, depth=12, watch=WATCH, base_only=True)
    assert not verdict.proved and not verdict.induction
    assert verdict.trace[0]["f_run"] == 0 and len(verdict.trace) == 13
    assert any(clock["f_take"] for clock in verdict.trace)


def test_a_fork_that_hands_an_element_to_one_layer_only_is_found(tmp_path: Path):
    files, top = broken(fork(), "x_y_to0_valid = x_y_valid && x_y_to1_ready", "x_y_to0_valid = x_y_valid")
    assert not prove(files, top, tmp_path, depth=2).proved
