"""The monitor of bench.v under Icarus Verilog, around a network that does what it is told."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hw_sim.benches import rules

BENCH = Path(rules.__file__).with_name("bench.v")
SHOWN = ("early", "in_flight", "reset_valid", "dropped", "beats_in", "beats_out")
DEFINES = {"DUT": "told", "IN_BITS": 8, "OUT_BITS": 8, "IN_BEATS": 1, "OUT_BEATS": 1, "DEPTH": 1, "SAMPLE_LAST": 1}
DRIVER = """
`timescale 1ns/1ps
module told(input aclk, input aresetn, input [7:0] s_axis_tdata, input s_axis_tvalid, output s_axis_tready,
            input s_axis_tlast, output [7:0] m_axis_tdata, output m_axis_tvalid, input m_axis_tready,
            output m_axis_tlast);
    assign s_axis_tready = 1;
    assign m_axis_tdata = 0;
    assign m_axis_tvalid = driver.offer;
    assign m_axis_tlast = 1;
endmodule

module driver;
    reg aclk = 0, aresetn = 1, valid = 0, ready = 0, offer = 0;
    bench b(.aclk(aclk), .aresetn(aresetn), .s_axis_tdata(8'd0), .s_axis_tvalid(valid), .s_axis_tlast(1'b1),
            .m_axis_tready(ready));
    task edges(input integer n);
        repeat (n) begin #5 aclk = 1; #5 aclk = 0; end
    endtask
    initial begin
        @STEPS@
        edges(1);
        $display("@SHOWN@", @VALUES@);
        $finish;
    end
endmodule
"""


def counted(place: Path, steps: str) -> dict[str, int]:
    """The monitor's counters after the driver's steps."""
    text = DRIVER.replace("@STEPS@", steps).replace("@SHOWN@", " ".join(["%0d"] * len(SHOWN)))
    (place / "driver.v").write_text(text.replace("@VALUES@", ", ".join(f"b.{name}" for name in SHOWN)))
    subprocess.run(["iverilog", "-g2005", "-s", "driver", "-o", "driver.vvp",
                    *(f"-D{name}={value}" for name, value in DEFINES.items()), str(BENCH), "driver.v"],
                   cwd=place, check=True, timeout=60, capture_output=True)
    told = subprocess.run(["vvp", "-n", "driver.vvp"], cwd=place, check=True, timeout=60, capture_output=True)
    return dict(zip(SHOWN, map(int, told.stdout.split()), strict=True))


RESET = "aresetn = 0; offer = 0; valid = 0; edges(4); aresetn = 1; edges(2); "


@pytest.mark.needs("iverilog")
def test_what_the_ports_hold_before_the_first_reset_is_not_counted(tmp_path: Path):
    found = counted(tmp_path, "ready = 1; offer = 1; edges(1); offer = 0; valid = 1; edges(2); " + RESET)
    assert found == dict.fromkeys(SHOWN, 0)


@pytest.mark.needs("iverilog")
@pytest.mark.parametrize("steps, expected", [
    ("ready = 1; offer = 1; edges(1);", {"early": 1, "beats_out": 1}),
    ("ready = 1; offer = 1; valid = 1; edges(1);", {"beats_in": 1, "beats_out": 1}),
    ("valid = 1; edges(1); valid = 0; offer = 1; edges(2); offer = 0;", {"dropped": 1, "beats_in": 1}),
    ("valid = 1; edges(1); aresetn = 0; valid = 0; edges(2);", {"in_flight": 1}),
    ("aresetn = 0; offer = 1; edges(3); offer = 0;", {"reset_valid": 2})])
def test_after_it_every_fault_and_every_beat_is(tmp_path: Path, steps: str, expected: dict[str, int]):
    found = counted(tmp_path, RESET + steps + " ready = 0; offer = 0; valid = 0;")
    assert found == {**dict.fromkeys(SHOWN, 0), **expected}
