// What an update does with every weight: the sum of squares that clipping asks for, and AdamW, which reads and writes
// each number once.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <vector>

namespace {

constexpr int64_t BLOCK = 1024;     // numbers of which four arrays fit into the first cache
constexpr int64_t PART = 64;        // blocks that a thread takes at once
constexpr int LANES_OF_SUM = 16;    // as many whatever the processor, so that all sum alike
constexpr float ZEROS[BLOCK] = {};

struct Adam {
    float factor, beta1, beta2, rate, decay, corrected_rate, epsilon;
};

// A row of the embedding whose token has not occurred yet.
bool is_untouched(const float* gradient, const float* moment1, const float* moment2, int64_t count) {
    const size_t bytes = count * sizeof(float);
    return !std::memcmp(gradient, ZEROS, bytes) && !std::memcmp(moment1, ZEROS, bytes) &&
           !std::memcmp(moment2, ZEROS, bytes);
}

void update(const Adam& a, const float* __restrict gradient, int64_t count, float* __restrict weight,
            float* __restrict moment1, float* __restrict moment2) {
    for (int64_t i = 0; i < count; i++) {
        const float g = gradient[i] * a.factor;
        const float m = a.beta1 * moment1[i] + (1 - a.beta1) * g;
        const float v = a.beta2 * moment2[i] + (1 - a.beta2) * (g * g);
        const float decayed = weight[i] - a.decay * weight[i];
        weight[i] = decayed - a.corrected_rate * (m / (std::sqrt(v) + a.epsilon));
        moment1[i] = m;
        moment2[i] = v;
    }
}

}  // namespace

extern "C" void sum_of_squares(const float* x, int64_t count, int threads, double* sum) {
    std::vector<double> sums((count + BLOCK - 1) / BLOCK);
#pragma omp parallel for num_threads(sums.size() > PART ? threads : 1)
    for (int64_t block = 0; block < int64_t(sums.size()); block++) {
        const int64_t end = std::min((block + 1) * BLOCK, count);
        float squares[LANES_OF_SUM] = {};
        int64_t i = block * BLOCK;
        for (; i + LANES_OF_SUM <= end; i += LANES_OF_SUM)
            for (int lane = 0; lane < LANES_OF_SUM; lane++) squares[lane] += x[i + lane] * x[i + lane];
        for (; i < end; i++) squares[0] += x[i] * x[i];
        sums[block] = std::accumulate(squares, squares + LANES_OF_SUM, 0.0);
    }
    *sum = std::accumulate(sums.begin(), sums.end(), 0.0);
}

// Gradients are multiplied by `factor` first. `power1` and `power2` are beta1 and beta2 to the number of the update.
extern "C" void adamw(const float* gradient, int64_t count, float factor, float beta1, float beta2, float epsilon,
                      float rate, float decay, int threads, float* weight, float* moment1, float* moment2,
                      float* power1, float* power2) {
    const float left1 = 1 - *power1, root2 = std::sqrt(1 - *power2);
    const Adam a{factor, beta1, beta2, rate, rate * decay, rate * (root2 / left1), epsilon * root2};
    const int64_t blocks = (count + BLOCK - 1) / BLOCK;
#pragma omp parallel for num_threads(blocks > PART ? threads : 1) schedule(monotonic : dynamic, PART)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t at = block * BLOCK, some = std::min(BLOCK, count - at);
        if (a.epsilon > 0 && is_untouched(gradient + at, moment1 + at, moment2 + at, some)) {
            if (a.decay != 0)
                for (int64_t i = at; i < at + some; i++) weight[i] -= a.decay * weight[i];
        } else {
            update(a, gradient + at, some, weight + at, moment1 + at, moment2 + at);
        }
    }
    *power1 *= beta1;
    *power2 *= beta2;
}
