// The norm, the rotary embedding and the gated activation of Llama, Mistral and Qwen2, forward and backward, each in
// one pass over memory.
#include <algorithm>
#include <vector>

#include "simd.h"

namespace {

inline vec sigmoid(vec x) { return 1.0f / (1.0f + exp2_of(x * -LOG2_E)); }

float dot3(const float* a, const float* b, const float* c, int size) {
    vec sums{};
    int i = 0;
    for (; i + LANES <= size; i += LANES) sums += load(a + i) * load(b + i) * load(c + i);
    float total = sum(sums);
    for (; i < size; i++) total += a[i] * b[i] * c[i];
    return total;
}

}  // namespace

// y = x * inverse * weight, inverse = 1 / sqrt(mean(x^2) + epsilon) of each row. x, y [rows, size]; inverse [rows].
extern "C" void rms_norm_forward(const float* x, const float* weight, int64_t rows, int size, float epsilon,
                                 int threads, float* y, float* inverse) {
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < rows; row++) {
        const float* from = x + row * size;
        float* to = y + row * size;
        vec squares{};
        int i = 0;
        for (; i + LANES <= size; i += LANES) squares += load(from + i) * load(from + i);
        float total = sum(squares);
        for (; i < size; i++) total += from[i] * from[i];
        const float factor = inverse[row] = 1.0f / std::sqrt(total / size + epsilon);
        for (int d = 0; d < size; d++) to[d] = from[d] * factor * weight[d];
    }
}

extern "C" void rms_norm_backward(const float* x, const float* weight, const float* inverse, const float* dy,
                                  int64_t rows, int size, int threads, float* dx, float* dweight) {
    std::vector<std::vector<float>> of_thread(threads);
#pragma omp parallel for num_threads(threads)
    for (int thread = 0; thread < threads; thread++) {
        std::vector<float>& sums = of_thread[thread];
        sums.assign(size, 0);
        for (int64_t row = rows * thread / threads; row < rows * (thread + 1) / threads; row++) {
            const float *from = x + row * size, *up = dy + row * size;
            float* to = dx + row * size;
            const float factor = inverse[row];
            const float pull = dot3(up, weight, from, size) * factor * factor * factor / size;
            for (int d = 0; d < size; d++) {
                to[d] = up[d] * weight[d] * factor - from[d] * pull;
                sums[d] += up[d] * from[d] * factor;
            }
        }
    }
    std::fill_n(dweight, size, 0.0f);
    for (const std::vector<float>& sums : of_thread)
        for (int d = 0; d < size; d++) dweight[d] += sums[d];
}

// x, y [tokens, heads, size]; cosine, sine [positions, size]; each token turned by its position. `back` is the
// transposed turn, that of gradients.
extern "C" void rotate(const float* x, const float* cosine, const float* sine, const int64_t* positions,
                       int64_t tokens, int heads, int size, int back, int threads, float* y) {
    const int half = size / 2;
#pragma omp parallel for num_threads(threads)
    for (int64_t token = 0; token < tokens; token++) {
        const float *c = cosine + positions[token] * size, *s = sine + positions[token] * size;
        for (int head = 0; head < heads; head++) {
            const int64_t at = (token * heads + head) * size;
            const float *left = x + at, *right = x + at + half;
            float *to_left = y + at, *to_right = y + at + half;
            if (back)
                for (int d = 0; d < half; d++) {
                    const float l = left[d], r = right[d];
                    to_left[d] = l * c[d] + r * s[half + d];
                    to_right[d] = r * c[half + d] - l * s[d];
                }
            else
                for (int d = 0; d < half; d++) {
                    const float l = left[d], r = right[d];
                    to_left[d] = l * c[d] - r * s[d];
                    to_right[d] = r * c[half + d] + l * s[half + d];
                }
        }
    }
}

// y = gate * sigmoid(gate) * up
extern "C" void swiglu_forward(const float* gate, const float* up, int64_t size, int threads, float* y) {
#pragma omp parallel for num_threads(threads)
    for (int64_t block = 0; block < size / LANES; block++) {
        const vec g = load(gate + block * LANES);
        store(y + block * LANES, g * sigmoid(g) * load(up + block * LANES));
    }
    for (int64_t i = size / LANES * LANES; i < size; i++) y[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

extern "C" void swiglu_backward(const float* gate, const float* up, const float* dy, int64_t size, int threads,
                                float* dgate, float* dup) {
#pragma omp parallel for num_threads(threads)
    for (int64_t block = 0; block < size / LANES; block++) {
        const int64_t i = block * LANES;
        const vec g = load(gate + i), d = load(dy + i), s = sigmoid(g), silu = g * s;
        store(dup + i, d * silu);
        store(dgate + i, d * load(up + i) * (s + silu * (1.0f - s)));
    }
    for (int64_t i = size / LANES * LANES; i < size; i++) {
        const float s = 1 / (1 + std::exp(-gate[i])), silu = gate[i] * s;
        dup[i] = dy[i] * silu;
        dgate[i] = dy[i] * up[i] * (s + silu * (1 - s));
    }
}
