// A bench for Icarus Verilog, written for the tests alone; nothing of hw_sim/ is in it. It is a hostile neighbour that
// keeps to the rules of AXI4-Stream: tdata and tlast are X whenever tvalid is low, both sides pause at random, one sink
// raises tready only after it has seen tvalid, and resets come in the midst of traffic. Registers start as X.
//
// Defines: TOP, the module under test; IN_BITS, OUT_BITS of a beat; IN_COUNT, OUT_COUNT beats in inputs.hex and
// expected.hex; FRAME, beats of a result whose last one has tlast, or 0 where tlast goes through with its beat;
// PAUSE, how many of 256 cycles each side pauses; SINK, 1 where tready waits for tvalid; SEED; RESETS in
// traffic; PATIENCE, cycles without a transfer after which it counts as hung.
`timescale 1ns/1ns
`default_nettype none

module icarus_bench;
    reg clk, resetn;
    reg [`IN_BITS-1:0] in_data;
    reg in_valid, in_last;
    wire in_ready;
    wire [`OUT_BITS-1:0] out_data;
    wire out_valid, out_last;
    reg out_ready;

    `TOP dut (
        .aclk(clk), .aresetn(resetn),
        .s_axis_tdata(in_data), .s_axis_tvalid(in_valid), .s_axis_tready(in_ready), .s_axis_tlast(in_last),
        .m_axis_tdata(out_data), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready), .m_axis_tlast(out_last));

    reg [`IN_BITS-1:0] inputs [0:`IN_COUNT-1];
    reg [`OUT_BITS-1:0] expected [0:`OUT_COUNT-1];
    integer seed, in_count, out_count, idle, round, cycles, in_reset, age;
    reg waited, waited_last;
    reg [`OUT_BITS-1:0] waited_data;

    initial begin
        clk = 1'b0;
        forever #5 clk = ~clk;
    end

    initial begin
        $readmemh("inputs.hex", inputs);
        $readmemh("expected.hex", expected);
        seed = `SEED;
        cycles = 0;
        idle = 0;
        in_count = 0;
        out_count = 0;
        round = 0;
        in_reset = 0;
        age = 0;
        waited = 1'b0;
        resetn = 1'b0;
        in_valid = 1'b0;
        in_data = {`IN_BITS{1'bx}};
        in_last = 1'bx;
        out_ready = 1'b0;
    end

    function pauses(input dummy);
        pauses = ($random(seed) & 255) < `PAUSE;
    endfunction

    // tlast of the i-th beat that goes in, where the network only hands it on.
    function last_of(input integer i);
        last_of = i % 3 == 1 || i % 11 == 4;
    endfunction

    task fail(input [8*48-1:0] rule);
        begin
            $display("FAIL: %0s; cycle %0d, beat %0d in, %0d out, round %0d", rule, cycles, in_count, out_count, round);
            $finish(0);
            #1 $stop;
        end
    endtask

    always @(posedge clk) begin
        cycles <= cycles + 1;
        if (!resetn) begin
            // Eight cycles in reset: from the second on nothing may come out and nothing be taken.
            in_reset <= in_reset + 1;
            if (in_reset > 1 && out_valid !== 1'b0) fail("tvalid is not low in reset");
            if (in_reset > 1 && in_ready !== 1'b0) fail("tready is not low in reset");
            waited <= 1'b0;
            if (in_reset == 8) begin
                resetn <= 1'b1;
                in_count <= 0;
                out_count <= 0;
                idle <= 0;
            end
        end else begin
            if (in_ready !== 1'b0 && in_ready !== 1'b1) fail("tready is X");
            if (out_valid !== 1'b0 && out_valid !== 1'b1) fail("tvalid is X");
            if (out_valid && ^out_data === 1'bx) fail("tdata has an X under tvalid");
            if (out_valid && out_last !== 1'b0 && out_last !== 1'b1) fail("tlast is X under tvalid");
            if (waited && !out_valid) fail("tvalid fell before tready");
            if (waited && out_data !== waited_data) fail("tdata changed while it waited");
            if (waited && out_last !== waited_last) fail("tlast changed while it waited");
            waited <= out_valid && !out_ready;
            waited_data <= out_data;
            waited_last <= out_last;

            if (!in_valid || in_ready) begin
                if (in_valid) in_count <= in_count + 1;
                if (in_count + in_valid < `IN_COUNT && !pauses(0)) begin
                    in_valid <= 1'b1;
                    in_data <= inputs[in_count + in_valid];
                    in_last <= `FRAME ? 1'bx : last_of(in_count + in_valid);
                end else begin
                    in_valid <= 1'b0;
                    in_data <= {`IN_BITS{1'bx}};
                    in_last <= 1'bx;
                end
            end
            age <= out_valid && !out_ready ? age + 1 : 0;
            out_ready <= `SINK ? out_valid && !out_ready && age >= 1 && !pauses(0) : !pauses(0);

            if (out_valid && out_ready) begin
                if (out_count >= `OUT_COUNT) fail("a beat too many");
                else if (out_data !== expected[out_count]) fail("tdata is wrong");
                if (`FRAME ? out_last !== (out_count % `FRAME == `FRAME - 1) : out_last !== last_of(out_count))
                    fail("tlast is wrong");
                out_count <= out_count + 1;
            end
            idle <= (in_valid && in_ready) || (out_valid && out_ready) ? 0 : idle + 1;
            if (out_count == `OUT_COUNT && in_count == `IN_COUNT) begin
                if (idle > 200) begin
                    $display("PASS: %0d beats in, %0d out, %0d cycles", in_count, out_count, cycles);
                    $finish(0);
                end
            end else if (idle > `PATIENCE) fail("nothing moves");
            if (round < `RESETS && out_count > `OUT_COUNT * (round + 1) / (`RESETS + 2) && ($random(seed) & 7) == 0) begin
                round <= round + 1;
                resetn <= 1'b0;
                in_reset <= 0;
                in_valid <= 1'b0;
                in_data <= {`IN_BITS{1'bx}};
                in_last <= 1'bx;
            end
        end
    end
endmodule
`default_nettype wire
