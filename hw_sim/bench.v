// The bench around a generated network. Defines: DUT (its top module); IN_BITS, OUT_BITS of a beat; IN_BEATS, OUT_BEATS
// of a sample; DEPTH samples in memory; SAMPLE_LAST: 1 where tlast marks the last beat of each sample, 0 where it goes
// through the network with its beat.
//
// Two ways to run it:
//  - as it is: aclk, aresetn and both streams are ports, for cocotb to drive;
//  - with +play: a clock of its own feeds inputs.hex into the network, beat by beat, writes outputs.hex and the
//    counters below, and raises `done` once. Python wakes only then. +stall_in=N and +stall_out=N make the source and
//    the sink pause in N of 256 clocks.
`timescale 1ns/1ps
`default_nettype none

module bench (
    input  wire aclk,
    input  wire aresetn,
    input  wire [`IN_BITS-1:0] s_axis_tdata,
    input  wire s_axis_tvalid,
    output wire s_axis_tready,
    input  wire s_axis_tlast,
    output wire [`OUT_BITS-1:0] m_axis_tdata,
    output wire m_axis_tvalid,
    input  wire m_axis_tready,
    output wire m_axis_tlast
);
    // What the player counts. All 32 bits: a run is at most DEPTH samples. `got` counts beats.
    reg done = 0;
    reg hung = 0;
    reg [31:0] got = 0;
    reg [31:0] first_in = 0;
    reg [31:0] first_out = 0;  // when the first sample had gone out
    reg [31:0] last_out = 0;
    reg [31:0] wrong_last = 0;  // beats with a wrong tlast
    reg [31:0] unstable = 0;    // clocks in which an output that waited for tready changed
    reg [31:0] surplus = 0;     // beats after the last that was due

    reg play = 0;
    reg tick = 0;
    reg [`IN_BITS-1:0] inputs [0:`DEPTH*`IN_BEATS-1];
    reg [`OUT_BITS-1:0] outputs [0:`DEPTH*`OUT_BEATS-1];
    reg [31:0] samples = 0;
    reg [31:0] due_in = 0;
    reg [31:0] due_out = 0;
    reg [31:0] patience = 0;    // clocks without a transfer after which the network counts as hung
    reg [31:0] drain = 0;       // clocks to wait for surplus beats
    reg [31:0] settle = 0;      // clocks after the reset before the first sample: what can run ahead has done so
    reg [31:0] stall_in = 0;
    reg [31:0] stall_out = 0;
    reg [31:0] random = 32'h2545f491;

    initial begin
        if ($test$plusargs("play") != 0) begin
            if ($value$plusargs("samples=%d", samples) == 0) samples = 0;
            if ($value$plusargs("patience=%d", patience) == 0) patience = 10000;
            if ($value$plusargs("drain=%d", drain) == 0) drain = 64;
            if ($value$plusargs("settle=%d", settle) == 0) settle = 0;
            if ($value$plusargs("stall_in=%d", stall_in) == 0) stall_in = 0;
            if ($value$plusargs("stall_out=%d", stall_out) == 0) stall_out = 0;
            if ($value$plusargs("stall_seed=%d", random) == 0) random = 32'h2545f491;
            due_in = samples * `IN_BEATS;
            due_out = samples * `OUT_BEATS;
            $readmemh("inputs.hex", inputs, 0, due_in - 1);
            play = 1;
            while (!done) #1 tick = ~tick;
        end
    end

    // tlast of the player's beat i, which is beat `n` of a sample of `beats`: where it passes through the network, frames
    // of irregular length.
    function last_of(input [31:0] i, input [31:0] n, input [31:0] beats);
        last_of = `SAMPLE_LAST ? n == beats - 1 : (i % 5 == 4) || (i % 7 == 3);
    endfunction

    function [31:0] next_random(input [31:0] x);
        reg [31:0] y;
        begin
            y = x ^ (x << 13);
            y = y ^ (y >> 17);
            next_random = y ^ (y << 5);
        end
    endfunction

    reg [31:0] clocks = 0;
    reg [31:0] idle = 0;
    reg [31:0] sent = 0;
    reg [31:0] in_beat = 0;
    reg [31:0] out_beat = 0;
    reg started = 0;
    reg valid = 0;
    reg ready = 0;
    reg held = 0;
    reg held_last = 0;
    reg [`OUT_BITS-1:0] held_data = 0;
    wire resetn = clocks > 4;

    wire clk = play ? tick : aclk;
    wire taken = valid && s_axis_tready;
    wire given = m_axis_tvalid && ready;
    wire [31:0] next = sent + {31'b0, taken};

    `DUT dut (
        .aclk(clk),
        .aresetn(play ? resetn : aresetn),
        .s_axis_tdata(play ? inputs[sent] : s_axis_tdata),
        .s_axis_tvalid(play ? valid : s_axis_tvalid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(play ? last_of(sent, in_beat, `IN_BEATS) : s_axis_tlast),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(play ? ready : m_axis_tready),
        .m_axis_tlast(m_axis_tlast)
    );

    always @(posedge tick) begin
        clocks <= clocks + 1;
        if (resetn) begin
            random <= next_random(random);
            sent <= next;
            if (`IN_BEATS > 1 && taken) in_beat <= in_beat == `IN_BEATS - 1 ? 0 : in_beat + 1;
            if (!valid || taken) valid <= clocks > settle && next < due_in && random[7:0] >= stall_in[7:0];
            ready <= random[15:8] >= stall_out[7:0];
            idle <= (taken || given || clocks <= settle) ? 0 : idle + 1;
            if (taken && !started) begin
                started <= 1;
                first_in <= clocks;
            end
            held <= m_axis_tvalid && !ready;
            if (m_axis_tvalid && !ready) begin
                held_data <= m_axis_tdata;
                held_last <= m_axis_tlast;
            end
            if (held && (!m_axis_tvalid || m_axis_tdata != held_data || m_axis_tlast != held_last))
                unstable <= unstable + 1;
            if (given && got < due_out) begin
                outputs[got] <= m_axis_tdata;
                got <= got + 1;
                last_out <= clocks;
                if (`OUT_BEATS > 1) out_beat <= out_beat == `OUT_BEATS - 1 ? 0 : out_beat + 1;
                if (got == `OUT_BEATS - 1) first_out <= clocks;
                if (m_axis_tlast != last_of(got, out_beat, `OUT_BEATS)) wrong_last <= wrong_last + 1;
            end else if (given) begin
                surplus <= surplus + 1;
            end
            if (got == due_out ? idle > drain || surplus > drain : idle > patience) begin
                $writememh("outputs.hex", outputs, 0, due_out - 1);
                hung <= got != due_out;
                done <= 1;
            end
        end
    end
endmodule

`default_nettype wire
