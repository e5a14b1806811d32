"""emlearn's C of a multilayer perceptron of the same sizes: float32, through its `eml_net.h`.

Its other two ways, inline code and fixed point, fail in emlearn 0.23.2 for any network: `c_generate_layer_data` hands
the name of an activation to a function that takes it for a number.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np

MAIN = """
#include <stdio.h>

int main(void)
{{
    static signed char codes[{inputs}];
    static float values[{inputs}];

    while (fread(codes, sizeof codes, 1, stdin) == 1) {{
        for (int i = 0; i < {inputs}; i++) {{
            values[i] = (float)codes[i];
        }}
        putchar((int)peer_predict(values, {inputs}));
    }}
    return 0;
}}
"""


def write(folder: Path, sizes: tuple[int, ...]) -> tuple[Path, Path]:
    """(the program's source in `folder`, emlearn's folder of headers). Weights are drawn: they cost nothing."""
    with np.errstate():  # importing it makes numpy raise where anything underflows, in whatever is computed later
        import emlearn
        from emlearn.net import c_generate_net_loadable

    rng = np.random.default_rng(0)
    weights = [rng.normal(0, a**-0.5, (a, b)) for a, b in pairwise(sizes)]
    biases = [rng.normal(0, 0.1, b) for b in sizes[1:]]
    activations = [*["relu"] * (len(weights) - 1), "softmax"]
    path = folder / "emlearn.c"
    path.write_text(c_generate_net_loadable(activations, weights, biases, "peer") + MAIN.format(inputs=sizes[0]))
    return path, Path(emlearn.__file__).parent
