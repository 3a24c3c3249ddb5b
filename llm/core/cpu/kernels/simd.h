// Vectors of floats, their exponential, and the one small matrix product that attention is made of.
// Written with the compiler's vector extensions, so that the same lines become AVX-512, AVX2, SSE or NEON.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX512F__)
constexpr int LANES = 16, TILE_ROWS = 12;  // 24 sums, 2 columns and 1 factor in 32 registers
#elif defined(__AVX__)
constexpr int LANES = 8, TILE_ROWS = 6;  // 12 sums, 2 columns and 1 factor in 16 registers
#else
constexpr int LANES = 4, TILE_ROWS = 6;
#endif
constexpr int WIDTH = 2 * LANES;  // columns that a tile computes at once
constexpr float LOG2_E = 1.4426950408889634f;

typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t ivec __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

inline vec load(const float* at) { return *reinterpret_cast<const vec*>(at); }
inline void store(float* at, vec x) { *reinterpret_cast<vec*>(at) = x; }
inline vec all(float x) { return x - vec{}; }
inline float sum(vec x) {
    float total = 0;
    for (int i = 0; i < LANES; i++) total += x[i];
    return total;
}

// 2 to the power of x: relative error below 2e-7, 0 below the smallest normal number, NaN for NaN.
inline vec exp2_of(vec x) {
    x = x > 127.0f ? all(127.0f) : x;
    const vec rounder = all(12582912.0f);  // 1.5 * 2^23: adding it leaves no room for a fraction
    const vec whole = (x + rounder) - rounder, f = x - whole;  // f in [-0.5, 0.5]
    vec p = all(1.525273380e-5f);  // ln(2)^k / k!
    p = p * f + 1.540353039e-4f;
    p = p * f + 1.333355815e-3f;
    p = p * f + 9.618129108e-3f;
    p = p * f + 5.550410866e-2f;
    p = p * f + 2.402265070e-1f;
    p = p * f + 6.931471806e-1f;
    p = p * f + 1.0f;
    const ivec exponent = (__builtin_convertvector(whole, ivec) + 127) << 23;
    vec scale;
    std::memcpy(&scale, &exponent, sizeof scale);
    return x < -126.0f ? vec{} : p * scale;
}

// C[r][0..columns) = (or +=) sum over k of A(r, k) * B(k)[0..columns), with columns a multiple of WIDTH.
// A(r, k) is a[r][k * a_step]; row k of B starts at b + b_at[k]; row r of C at c[r].
template <int R>
inline void product_tile(const float* const* a, int64_t a_step, const float* b, const int64_t* b_at, int depth,
                         float* const* c, int column, bool add) {
    vec sums[R][2];
    for (int r = 0; r < R; r++)
        for (int h = 0; h < 2; h++) sums[r][h] = add ? load(c[r] + column + h * LANES) : vec{};
    for (int k = 0; k < depth; k++) {
        const float* row = b + b_at[k] + column;
        const vec left = load(row), right = load(row + LANES);
        for (int r = 0; r < R; r++) {
            const float factor = a[r][k * a_step];
            sums[r][0] += factor * left;
            sums[r][1] += factor * right;
        }
    }
    for (int r = 0; r < R; r++)
        for (int h = 0; h < 2; h++) store(c[r] + column + h * LANES, sums[r][h]);
}

template <int R>
inline void product_rows(int rows, const float* const* a, int64_t a_step, const float* b, const int64_t* b_at,
                         int depth, float* const* c, int columns, bool add) {
    if (rows == R) {
        for (int column = 0; column < columns; column += WIDTH)
            product_tile<R>(a, a_step, b, b_at, depth, c, column, add);
    } else if constexpr (R > 1) {
        product_rows<R - 1>(rows, a, a_step, b, b_at, depth, c, columns, add);
    }
}

inline void product(int rows, const float* const* a, int64_t a_step, const float* b, const int64_t* b_at, int depth,
                    float* const* c, int columns, bool add) {
    for (int r = 0; r < rows; r += TILE_ROWS) {
        const int some = rows - r < TILE_ROWS ? rows - r : TILE_ROWS;
        product_rows<TILE_ROWS>(some, a + r, a_step, b, b_at, depth, c + r, columns, add);
    }
}

inline bool all_finite(const float* x, int count) {
    float zero = 0;
    for (int i = 0; i < count; i++) zero += x[i] * 0.0f;
    return zero == 0.0f;
}
