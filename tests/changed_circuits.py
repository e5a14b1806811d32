"""Circuits that are wrong in one thing: a wrapper around a generated network whose fault a file names, so that one
build serves them all."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.networks import log2_weights
from toolkit.api import Options, generate
from toolkit.design import Dense, Design, FixedPoint, Log2Format, Requantise, Tensor

WRAPPER = """
module {top} (
    input  wire aclk, input wire aresetn,
    input  wire [{inbits}-1:0] s_axis_tdata,
    input  wire s_axis_tvalid, output wire s_axis_tready, input wire s_axis_tlast,
    output wire [{outbits}-1:0] m_axis_tdata,
    output wire m_axis_tvalid, input wire m_axis_tready, output wire m_axis_tlast
);
    reg [31:0] file [0:0];
    initial $readmemh("{file}", file);
    wire [31:0] fault = file[0];

    // Between the network and the ports.
    wire [{inbits}-1:0] in_data;
    wire in_valid, in_ready, in_last;
    wire [{outbits}-1:0] data;
    wire valid, ready, last;

    // What the faults remember.
    reg [31:0] cycles = 0, taken = 0, given = 0, waited = 0, refused = 0, idle = 0;
    reg was_ready = 0, stuck = 0, absent = 0, awake = 0, was_valid = 0, was_taken = 0, was_last = 0;
    reg extra = 0, spent = 0;
    reg [{inbits}-1:0] was_data = 0;
    always @(posedge aclk) begin
        cycles <= cycles + 1;
        was_ready <= m_axis_tready;
        was_valid <= s_axis_tvalid;
        was_data <= s_axis_tdata;
        was_last <= s_axis_tlast;
        stuck <= aresetn && m_axis_tvalid && !m_axis_tready;
        was_taken <= aresetn && s_axis_tvalid && s_axis_tready;
        waited <= valid && !(m_axis_tready && m_axis_tvalid) ? waited + 1 : 0;
        absent <= fault == 3 ? m_axis_tvalid && !m_axis_tready : fault == 6 && waited == 40;
        refused <= s_axis_tvalid && !in_ready ? refused + 1 : 0;
        idle <= !aresetn || valid || given == 0 ? 0 : idle + 1;
        if (aresetn) awake <= 1;
        if (!aresetn) begin
            taken <= 0;
            given <= 0;
            extra <= 0;
            spent <= 0;
        end else begin
            if (s_axis_tvalid && s_axis_tready) taken <= taken + 1;
            if (m_axis_tvalid && m_axis_tready) given <= given + 1;
            if ((fault == 11 && idle == {latency} + 6 || fault == 20 && taken == 0) && !spent) begin
                extra <= 1;
                spent <= 1;
            end else if (m_axis_tready && (fault == 11 || given == {outbeats} - 1)) begin
                extra <= 0;
            end
        end
    end

    // A register too many.
    reg slice_valid = 0, slice_last = 0;
    reg [{outbits}-1:0] slice_data = 0;
    wire slice = !slice_valid || m_axis_tready;
    always @(posedge aclk) begin
        if (!aresetn) slice_valid <= 0;
        else if (slice) slice_valid <= valid;
        if (slice) {{slice_last, slice_data}} <= {{last, data}};
    end

    wire throttled = fault == 14 && cycles[2:0] == 7 && taken > 8;
    wire swallowed = fault == 24 && refused == 50;
    assign s_axis_tready = fault == 10 ? aresetn : swallowed || in_ready && !throttled;
    assign in_valid = fault == 17 ? s_axis_tvalid || was_taken : s_axis_tvalid && !throttled && !swallowed;
    assign in_data = fault == 18 && !was_valid ? was_data
        : s_axis_tdata ^ {{{inbits}{{fault == 22 && s_axis_tlast && taken % {inbeats} != {inbeats} - 1}}}};
    assign in_last = fault == 19 && !was_valid ? was_last : s_axis_tlast;

    wire allowed = fault == 3 || fault == 6 ? !absent
        : fault == 4 ? m_axis_tready
        : fault == 5 ? was_ready || stuck
        : fault == 7 ? was_ready || stuck || waited >= 30
        : fault == 21 ? given < 100 : 1'b1;
    assign ready = fault == 13 ? slice : m_axis_tready && allowed && !extra;
    assign m_axis_tvalid = fault == 13 ? slice_valid : fault == 8 && !aresetn || extra || valid && allowed;
    assign m_axis_tlast = fault == 13 ? slice_last
        : last ^ (fault == 2 && !m_axis_tready) ^ (fault == 12 && given == 60);
    assign m_axis_tdata = fault == 13 ? slice_data
        : data ^ {{{outbits}{{fault == 1 && !m_axis_tready}}}}
        ^ (fault == 15 ? {outbits}'b1 << (given % ({width} * {elements})) : {outbits}'b0)
        ^ (fault == 16 ? {outbits}'b1 << ({outbits} - 1) : {outbits}'b0);

    {top}_right right (
        .aclk(aclk), .aresetn(aresetn || fault == 9 && awake),
        .s_axis_tdata(in_data), .s_axis_tvalid(in_valid), .s_axis_tready(in_ready), .s_axis_tlast(in_last),
        .m_axis_tdata(data), .m_axis_tvalid(valid), .m_axis_tready(ready), .m_axis_tlast(last)
    );
endmodule
"""


@dataclass(frozen=True)
class Fault:
    """`player` and `axi`: what the failures of each bench must say, as regular expressions; None where that bench
    cannot see it. `folded`, `unrolled`: architectures that can have it."""

    number: int
    player: str | None
    axi: str | None
    folded: bool = True
    unrolled: bool = True


DROPPED = "tvalid must stay until tready comes"
WAITING = "tvalid must not wait for tready"
FAULTS = {
    "tdata changes while tvalid waits": Fault(1, *["tdata must not change while tvalid waits for tready"] * 2),
    "tlast changes while tvalid waits": Fault(2, *["tlast must not change while tvalid waits for tready"] * 2),
    "tvalid is dropped before tready": Fault(3, DROPPED, DROPPED),
    "tvalid waits for tready": Fault(4, *["while tready was low no output came, and when it rose one did"] * 2),
    "tvalid waits for tready of the cycle before": Fault(5, WAITING, WAITING),
    "tvalid is dropped after a long wait": Fault(6, DROPPED, DROPPED),
    "tvalid waits for tready, but not for ever": Fault(7, WAITING, None),
    "tvalid is high in a reset": Fault(8, *["tvalid must be low in a reset"] * 2),
    "a reset changes nothing": Fault(9, *["came before the input|differ|more than were due|hung|wrong"] * 2),
    "a beat is taken and lost": Fault(10, "differ|hung", "differ|hung"),
    "a beat comes twice": Fault(11, *["more than were due came"] * 2),
    "tlast of one beat is wrong": Fault(12, r"\b2 beats carry a wrong tlast", "frames ended at a wrong beat"),
    "a register too many": Fault(13, "latency measured", "latency measured"),
    "the input pauses": Fault(14, "samples took", None),
    "the input pauses, unrolled": Fault(14, None, "initiation interval measured", folded=False),
    "the input pauses, folded": Fault(14, None, "samples took", unrolled=False),
    "one bit of each beat is wrong": Fault(15, "differ", "differ"),
    "padding is not zero": Fault(16, *["padding bits of tdata are not zero"] * 2),
    "a gap is taken for a beat": Fault(17, *["differ|came before|more than were due|hung"] * 2),
    "tdata is read before tvalid": Fault(18, "differ", "differ"),
    "tlast is read before tvalid": Fault(19, "wrong tlast", "frames ended at a wrong beat", folded=False),
    "an output comes before its input": Fault(20, *["came before the input"] * 2),
    "it stops": Fault(21, "it hung", "it hung"),
    "tlast is read where it must not be": Fault(22, "differ", None, unrolled=False),
    "a beat is lost when the network is full": Fault(24, "differ|hung", "differ|hung"),
}


def network() -> Design:
    """Small, and with padding in every beat."""
    rng = np.random.default_rng(5)
    weights = log2_weights(rng.normal(0, 0.5, (3, 4)), Log2Format.of(4))
    layer = Dense("fc", ("x",), weights, np.array([3, -2, 1]), 5, Requantise.to(FixedPoint(True, 5, 1)))
    return Design("wrapped", Tensor("x", (4,), FixedPoint(True, 7, 3)), (layer,))


def wrapped(folder: Path, architecture: str) -> Path:
    """The project of `network()` in `folder`, its top module wrapped. Choose a fault with `choose`."""
    generate(network(), folder, vectors=300, options=Options(arch=architecture))
    rtl = json.loads((folder / "manifest.json").read_text())["targets"]["verilog"]
    top = folder / "rtl" / f"{rtl['top']}.v"
    text, count = re.subn(rf"\bmodule {rtl['top']}\b", f"module {rtl['top']}_right", top.read_text())
    assert count == 1
    top.write_text(text + WRAPPER.format(
        top=rtl["top"], inbits=rtl["s_axis"]["tdata_bits"], outbits=rtl["m_axis"]["tdata_bits"],
        inbeats=rtl["s_axis"]["beats"], outbeats=rtl["m_axis"]["beats"], elements=rtl["m_axis"]["elements"],
        width=5, latency=rtl["latency"],
        file=folder.parent / "fault.hex"))
    choose(folder, 0)
    return folder


def choose(folder: Path, fault: int) -> None:
    """The fault that the wrapped project has from now on; 0 is none."""
    (folder.parent / "fault.hex").write_text(f"{fault:x}\n")
