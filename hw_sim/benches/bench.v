// The bench around a generated network. Defines: DUT (its top module); IN_BITS, OUT_BITS of a beat; IN_BEATS, OUT_BEATS
// of a sample; DEPTH samples in memory; SAMPLE_LAST: 1 where tlast marks the last beat of each sample, 0 where it goes
// through the network with its beat.
//
// Two ways to run it:
//  - as it is: aclk, aresetn and both streams are ports, for cocotb to drive;
//  - with +play: a clock of its own feeds inputs.hex into the network, beat by beat, writes outputs.hex and the
//    counters below, and raises `done` once. Python wakes only then. +stall_in=N and +stall_out=N make the source and
//    the sink pause in N of 256 cycles. The last +tail=N of the samples come after the others have gone out: first
//    +resets=N times a reset in the midst of them, then once more from the first of them, in four parts of +quarter=N
//    samples, the last part with all that are left:
//      0  tready comes only after tvalid;
//      1  the same, with a gap in the input after every beat;
//      2  both sides pause at random;
//      3  the sink waits until nothing has moved for +full=N cycles, then takes a beat every cycle.
// Both ways, a monitor counts every AXI4-Stream rule that the network breaks. While s_axis_tvalid is low, s_axis_tdata
// and s_axis_tlast carry the inverse of what they would, so that who reads them too early reads what is wrong.
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
    localparam STALL_IN = 8'd90, STALL_OUT = 8'd140;  // of 256 cycles, in part 2 and before a reset
    localparam RESET = 4;  // cycles
    localparam PLAY = 2'd0, CUT = 2'd1, TRY = 2'd2;

    // What the monitor counts: rules that are broken.
    reg [31:0] dropped = 0;        // tvalid fell before tready came
    reg [31:0] data_changed = 0;   // tdata changed while tvalid waited for tready
    reg [31:0] last_changed = 0;   // tlast did
    reg [31:0] reset_valid = 0;    // cycles of a reset, after its first, with tvalid
    reg [31:0] early = 0;          // samples that came out before their first beat went in
    // And what the bench did, so that one that never stalls is found out.
    reg [31:0] waits = 0;          // outputs that stood before tready came
    reg [31:0] longest = 0;        // cycles that one of them waited at the most
    reg [31:0] gaps = 0;           // times the input paused between two beats
    reg [31:0] in_flight = 0;      // resets with samples under way
    reg [31:0] beats_in = 0;       // since the last reset
    reg [31:0] beats_out = 0;
    reg [31:0] due_from = 0;       // beats of the samples that have come out, as inputs

    // What the player counts. `got` counts beats.
    reg played = 0;             // all but the tail have gone out
    reg done = 0;
    reg hung = 0;
    reg obliged = 0;            // no output came before tready rose, and then one did: tvalid waits for tready
    reg ahead = 0;              // outputs stood before there was an input
    reg [31:0] got = 0;
    reg [31:0] first_in = 0;
    reg [31:0] first_out = 0;   // when the first sample had gone out
    reg [31:0] last_out = 0;
    reg [31:0] first_valid = 0; // cycles from the first input beat to the first tvalid
    reg [31:0] tried_valid = 0; // the same with tready low
    reg [31:0] wrong_last = 0;  // beats with a wrong tlast
    reg [31:0] surplus = 0;     // beats after the last that was due
    reg [31:0] after_valid = 0; // beats of parts 0 and 1 that stood before tready rose
    reg [31:0] gapped = 0;      // gaps in the input in part 1
    reg [31:0] stalled_in = 0;  // gaps in part 2
    reg [31:0] stalled_out = 0; // outputs that had to wait in part 2

    reg play = 0;
    reg tick = 0;
    reg [`IN_BITS-1:0] inputs [0:`DEPTH*`IN_BEATS-1];
    reg [`OUT_BITS-1:0] outputs [0:`DEPTH*`OUT_BEATS-1];
    reg [31:0] samples = 0;
    reg [31:0] tail = 0;
    reg [31:0] quarter = 0;
    reg [31:0] resets = 0;
    reg [31:0] full = 0;
    reg [31:0] due_in = 0;
    reg [31:0] due_out = 0;
    reg [31:0] tail_in = 0;     // the first beat of the tail
    reg [31:0] tail_out = 0;
    reg [31:0] patience = 0;    // cycles without a transfer after which the network counts as hung
    reg [31:0] drain = 0;       // cycles to wait for surplus beats
    reg [31:0] warm_up = 0;      // cycles after a reset before the first sample: what can run ahead has done so
    reg [31:0] stall_in = 0;
    reg [31:0] stall_out = 0;
    reg [31:0] random = 32'h2545f491;

    initial begin
        if ($test$plusargs("play") != 0) begin
            if ($value$plusargs("samples=%d", samples) == 0) samples = 0;
            if ($value$plusargs("tail=%d", tail) == 0) tail = 0;
            if ($value$plusargs("quarter=%d", quarter) == 0) quarter = 0;
            if ($value$plusargs("resets=%d", resets) == 0) resets = 0;
            if ($value$plusargs("full=%d", full) == 0) full = 0;
            if ($value$plusargs("patience=%d", patience) == 0) patience = 10000;
            if ($value$plusargs("drain=%d", drain) == 0) drain = 64;
            if ($value$plusargs("warm_up=%d", warm_up) == 0) warm_up = 0;
            if ($value$plusargs("stall_in=%d", stall_in) == 0) stall_in = 0;
            if ($value$plusargs("stall_out=%d", stall_out) == 0) stall_out = 0;
            if ($value$plusargs("stall_seed=%d", random) == 0) random = 32'h2545f491;
            due_in = samples * `IN_BEATS;
            due_out = samples * `OUT_BEATS;
            tail_in = (samples - tail) * `IN_BEATS;
            tail_out = (samples - tail) * `OUT_BEATS;
            $readmemh("inputs.hex", inputs, 0, due_in - 1);
            play = 1;
            while (!done) #1 tick = ~tick;
        end
    end

    // The player's frames where tlast passes through the network, and where nobody reads it: of irregular length.
    function irregular(input [31:0] i);
        irregular = (i % 5 == 4) || (i % 7 == 3);
    endfunction

    function [31:0] next_random(input [31:0] x);
        reg [31:0] y;
        begin
            y = x ^ (x << 13);
            y = y ^ (y >> 17);
            next_random = y ^ (y << 5);
        end
    endfunction

    reg [1:0] state = PLAY;
    reg [31:0] asleep = RESET;  // cycles of the reset that are left
    reg [31:0] awake = 0;       // cycles since the reset
    reg [31:0] cycles = 0;
    reg [31:0] idle = 0;
    reg [31:0] sent = 0;
    reg [31:0] in_beat = 0;
    reg [31:0] out_beat = 0;
    reg [31:0] cut = 0;         // cycles until a reset
    reg [31:0] try_in = 0;
    reg [2:0] pause = 0;        // cycles that tready still waits in parts 0 and 1
    reg [1:0] part = 0;
    reg started = 0;
    reg seen = 0;
    reg tried = 0;
    reg tried_seen = 0;
    reg filling = 0;
    reg forced = 0;
    reg valid = 0;
    reg ready = 0;

    wire clk = play ? tick : aclk;
    wire resetn = play ? asleep == 0 : aresetn;
    wire in_valid = play ? valid : s_axis_tvalid;
    wire in_last = play ? (`SAMPLE_LAST && state == PLAY ? in_beat == `IN_BEATS - 1 : irregular(sent)) : s_axis_tlast;
    wire [`IN_BITS-1:0] in_data = play ? inputs[sent] : s_axis_tdata;
    wire out_ready = play ? ready : m_axis_tready;
    wire taken = in_valid && s_axis_tready;
    wire given = m_axis_tvalid && out_ready;
    wire out_last = `SAMPLE_LAST ? out_beat == `OUT_BEATS - 1 : irregular(got);

    `DUT dut (
        .aclk(clk),
        .aresetn(resetn),
        .s_axis_tdata(in_valid ? in_data : ~in_data),
        .s_axis_tvalid(in_valid),
        .s_axis_tready(s_axis_tready),
        .s_axis_tlast(in_valid ? in_last : !in_last),
        .m_axis_tdata(m_axis_tdata),
        .m_axis_tvalid(m_axis_tvalid),
        .m_axis_tready(out_ready),
        .m_axis_tlast(m_axis_tlast)
    );

    // The monitor. Before the first reset nothing is promised, and the ports may hold anything.
    reg reset_once = 0;
    reg was_reset = 0;
    reg held = 0;
    reg held_last = 0;
    reg [`OUT_BITS-1:0] held_data = 0;
    reg paused = 0;
    reg [31:0] wait_cycles = 0;
    reg [31:0] place = 0;

    always @(posedge clk) begin
        was_reset <= !resetn;
        if (was_reset && m_axis_tvalid) reset_valid <= reset_valid + 1;
        if (!resetn || !reset_once) begin
            if (!resetn) reset_once <= 1;
            if (!was_reset && beats_in > due_from) in_flight <= in_flight + 1;
            held <= 0;
            paused <= 0;
            beats_in <= 0;
            beats_out <= 0;
            due_from <= 0;
            place <= 0;
        end else begin
            if (held) begin
                if (!m_axis_tvalid) dropped <= dropped + 1;
                else if (m_axis_tdata != held_data) data_changed <= data_changed + 1;
                if (m_axis_tvalid && m_axis_tlast != held_last) last_changed <= last_changed + 1;
            end
            held <= m_axis_tvalid && !out_ready;
            if (m_axis_tvalid && !out_ready) begin
                held_data <= m_axis_tdata;
                held_last <= m_axis_tlast;
                wait_cycles <= held ? wait_cycles + 1 : 1;
                if (held && wait_cycles >= longest) longest <= wait_cycles + 1;
                if (!held) waits <= waits + 1;
            end
            paused <= !in_valid && beats_in != 0;
            if (paused && in_valid) gaps <= gaps + 1;
            if (taken) beats_in <= beats_in + 1;
            if (given) begin
                beats_out <= beats_out + 1;
                if (place == `OUT_BEATS - 1) begin
                    place <= 0;
                    due_from <= due_from + `IN_BEATS;
                    if (beats_in + {31'b0, taken} <= due_from) early <= early + 1;
                end else begin
                    place <= place + 1;
                end
            end
        end
    end

    // The player.
    wire [31:0] next = sent + {31'b0, taken};
    wire [31:0] had = got + {31'b0, given};
    wire [31:0] bound_in = state == PLAY ? tail_in : due_in;
    wire [31:0] bound_out = state == PLAY ? tail_out : due_out;
    // At the next edge too, whatever goes out at this one.
    wire under_way = beats_in + {31'b0, taken} > due_from + (given ? `IN_BEATS : 0);
    wire warm = awake >= warm_up;
    wire [1:0] sending = part_of(sent - tail_in, quarter * `IN_BEATS);
    wire [1:0] sends_next = state == CUT ? 2'd2 : part_of(next - tail_in, quarter * `IN_BEATS);
    wire [1:0] reads_next = part_of(had - tail_out, quarter * `OUT_BEATS);

    function [1:0] part_of(input [31:0] beat, input [31:0] beats);
        part_of = beat < beats ? 2'd0 : beat < 2 * beats ? 2'd1 : beat < 3 * beats ? 2'd2 : 2'd3;
    endfunction

    task start_reset;
        begin
            asleep <= RESET;
            awake <= 0;
            valid <= 0;
            ready <= 0;
            idle <= 0;
            sent <= tail_in;
            got <= tail_out;
            in_beat <= 0;
            out_beat <= 0;
        end
    endtask

    task finish;
        begin
            played <= 1;
            $writememh("outputs.hex", outputs, 0, due_out - 1);
            hung <= got != due_out;
            done <= 1;
        end
    endtask

    always @(posedge tick) begin
        cycles <= cycles + 1;
        if (asleep != 0) begin
            asleep <= asleep - 1;
        end else begin
            awake <= awake + 1;
            random <= next_random(random);
            idle <= (taken || given || !warm) ? 0 : idle + 1;

            // The source.
            sent <= next;
            if (`IN_BEATS > 1 && taken) in_beat <= in_beat == `IN_BEATS - 1 ? 0 : in_beat + 1;
            if (!valid || taken) begin
                valid <= warm && next < bound_in;
                if (state == PLAY) begin
                    if (random[7:0] < stall_in[7:0]) valid <= 0;
                end else if (sends_next == 1) begin
                    if (taken || random[7:0] < STALL_IN) valid <= 0;
                end else if (sends_next == 2) begin
                    if (random[7:0] < STALL_IN) valid <= 0;
                end
            end

            // The sink.
            ready <= random[15:8] >= stall_out[7:0];
            if (state == CUT) ready <= random[15:8] >= STALL_OUT;
            if (state == TRY) begin
                part <= reads_next;
                case (reads_next)
                    2'd2: ready <= random[15:8] >= STALL_OUT;
                    2'd3: ready <= !filling;
                    default: begin
                        if (given || !m_axis_tvalid) begin
                            ready <= ready && !given;
                            pause <= {1'b0, random[17:16]};
                        end else begin
                            ready <= pause == 0;
                            if (pause != 0) pause <= pause - 1;
                        end
                    end
                endcase
                if (part == 3 && idle > full) filling <= 0;
                if (forced) ready <= 1;
                if (given && forced) obliged <= 1;
                if (given && !part[1] && held) after_valid <= after_valid + 1;
                if (part == 2 && m_axis_tvalid && !ready && !held) stalled_out <= stalled_out + 1;
                if (paused && valid) begin
                    if (sending == 1) gapped <= gapped + 1;
                    if (sending == 2) stalled_in <= stalled_in + 1;
                end
            end
            if (given && got < bound_out) begin
                outputs[got] <= m_axis_tdata;
                got <= got + 1;
                if (`OUT_BEATS > 1) out_beat <= out_beat == `OUT_BEATS - 1 ? 0 : out_beat + 1;
                if (m_axis_tlast != out_last) wrong_last <= wrong_last + 1;
            end else if (given) begin
                surplus <= surplus + 1;
            end

            // When it happened.
            if (state == PLAY) begin
                if (taken && !started) begin
                    started <= 1;
                    first_in <= cycles;
                    ahead <= m_axis_tvalid || beats_out != 0;
                end
                if (started && !seen && m_axis_tvalid) begin
                    seen <= 1;
                    first_valid <= cycles - first_in;
                end
                if (given && got < bound_out) begin
                    last_out <= cycles;
                    if (got == `OUT_BEATS - 1) first_out <= cycles;
                end
            end else if (state == TRY) begin
                if (taken && !tried) begin
                    tried <= 1;
                    try_in <= cycles;
                end
                if (tried && !tried_seen && m_axis_tvalid) begin
                    tried_seen <= 1;
                    tried_valid <= cycles - try_in;
                end
            end

            // What comes next.
            if (state == CUT) begin
                if (warm && cut != 0) cut <= cut - 1;
                if ((cut == 0 && under_way) || idle > patience) begin
                    start_reset;
                    resets <= resets - 1;
                    cut <= random % full;
                    state <= resets == 1 ? TRY : CUT;
                end
            end else if (got == bound_out ? idle > drain || surplus > drain : idle > patience) begin
                if (state == TRY && got != due_out && !forced) begin
                    forced <= 1;
                    idle <= 0;
                end else if (state == TRY || got != tail_out || tail == 0) begin
                    finish;
                end else begin
                    played <= 1;
                    state <= CUT;
                    filling <= 1;
                    cut <= random % full;
                end
            end
        end
    end
endmodule

`default_nettype wire
