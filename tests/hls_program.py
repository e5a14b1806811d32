"""Many designs as HLS C++ in one program: compiled once, because the ap_int headers take their time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from toolkit.design import Design
from toolkit.emit.hls import emit
from toolkit.emit.target import Job
from toolkit.hardware import Options

sys.path.insert(0, str(Path(__file__).parents[1] / "hw_sim"))
from targets import hls as target_hls

PLAYER = r"""
#include <cstdio>
#include <cstdlib>
#include <vector>

// Word by word, as the README says: word i of a beat lies at bits i * width.
template <typename In, typename Out>
void play(void (*top)(hls::stream<In>&, hls::stream<Out>&), int inputs, int in_width, int in_words, int outputs,
          int out_width, int out_words, bool is_signed) {
    std::vector<long long> words(inputs);
    hls::stream<In> in("in");
    hls::stream<Out> out("out");
    while (fread(words.data(), 8, inputs, stdin) == size_t(inputs)) {
        for (int at = 0; at < inputs; at += in_words) {
            In beat;
            beat.data = 0;
            for (int i = 0; i < in_words && at + i < inputs; ++i)
                for (int bit = 0; bit < in_width; ++bit) beat.data[i * in_width + bit] = (words[at + i] >> bit) & 1;
            in.write(beat);
        }
        top(in, out);
        for (int at = 0; at < outputs; at += out_words) {
            if (out.empty()) exit(3);
            const Out beat = out.read();
            if (bool(beat.last) != (at + out_words >= outputs)) exit(4);
            for (int i = 0; i < out_words && at + i < outputs; ++i) {
                long long word = 0;
                for (int bit = 0; bit < out_width; ++bit)
                    word |= (long long)(bool(beat.data[i * out_width + bit])) << bit;
                if (is_signed && (word >> (out_width - 1)) & 1) word -= 1LL << out_width;
                fwrite(&word, 8, 1, stdout);
            }
        }
        if (!out.empty() || !in.empty()) exit(5);
    }
}
"""


class Program:
    """Designs with distinct names, each with its options, as one executable in `folder`."""

    def __init__(self, folder: Path, designs: list[tuple[Design, Options]], flags: tuple[str, ...] = ()) -> None:
        self.made = [emit(Job(design, options)) for design, options in designs]
        text = ""
        for made in self.made:
            for name, data in made.files.items():
                path = folder / str(made.entry["top"]) / Path(name).name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            text += f'#include "{made.entry["top"]}/{made.entry["top"]}.cpp"\n'
        text += PLAYER + "int main(int, char** argv) {\n    switch (atoi(argv[1])) {\n"
        for i, ((design, _), made) in enumerate(zip(designs, self.made, strict=True)):
            x, y = design.input, design.output
            text += (f"    case {i}: play({made.entry['top']}, {x.size}, {x.format.width}, "
                     f"{made.entry['s_axis']['elements']}, {y.size}, {y.format.width}, "
                     f"{made.entry['m_axis']['elements']}, {int(y.format.signed)}); break;\n")
        (folder / "all.cpp").write_text(text + "    }\n    return 0;\n}\n")
        self.path, self.flags = folder / "all", flags
        self.compile()

    def compile(self) -> None:
        """Compile what the folder holds now."""
        told = subprocess.run(["g++", "-std=c++14", "-O0", "-Wall", "-Wno-unknown-pragmas", *self.flags, "-isystem",
                               str(target_hls.headers()), f"{self.path}.cpp", "-o", str(self.path)],
                              capture_output=True, text=True)
        assert told.returncode == 0, told.stderr[:2000]
        self.warnings = told.stderr

    def run(self, index: int, codes: np.ndarray, design: Design) -> np.ndarray:
        """What the top function makes of codes (n, *shape): (n, *output shape)."""
        told = subprocess.run([str(self.path), str(index)], input=codes.astype("<i8").tobytes(), capture_output=True)
        assert told.returncode == 0, (told.returncode, told.stderr[:500])
        return np.frombuffer(told.stdout, "<i8").reshape(len(codes), *design.output.shape)
