/* The plain int8 network that a person writes: dense layers as two loops, a multiplication a weight. The peer of
 * benchmarks/c.py; weights are drawn, because what they are costs nothing. SIZES: elements of each tensor, as 64,256,10.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 1024, WEIGHTS = 1 << 20 };

static const int sizes[] = { SIZES };
static int8_t weights[WEIGHTS];
static int32_t biases[MOST];

static void dense(const int8_t *x, const int8_t *w, const int32_t *bias, int inputs, int outputs, int8_t *y)
{
    for (int o = 0; o < outputs; o++) {
        int32_t sum = bias[o];

        for (int i = 0; i < inputs; i++) {
            sum += w[i] * x[i];
        }
        w += inputs;
        sum >>= 9;
        y[o] = (int8_t)(sum < 0 ? 0 : sum > 127 ? 127 : sum);
    }
}

int main(void)
{
    enum { LAYERS = sizeof sizes / sizeof sizes[0] - 1 };
    static int8_t values[2][MOST];

    for (int i = 0; i < WEIGHTS; i++) {
        weights[i] = (int8_t)rand();
    }
    while (fread(values[0], (size_t)sizes[0], 1, stdin) == 1) {
        const int8_t *w = weights;

        for (int i = 0; i < LAYERS; i++) {
            dense(values[i % 2], w, biases, sizes[i], sizes[i + 1], values[(i + 1) % 2]);
            w += sizes[i] * sizes[i + 1];
        }
        fwrite(values[LAYERS % 2], (size_t)sizes[LAYERS], 1, stdout);
    }
    return 0;
}
