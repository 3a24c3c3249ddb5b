// bfloat16 is the upper half of a float32. Rounded to the nearest, of two equally near to the even one; a NaN stays one.
#include <cstdint>
#include <cstring>

namespace {

inline uint32_t rounded(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return x != x ? bits | 0x400000 : bits + 0x7FFF + (bits >> 16 & 1);
}

inline float widened(uint32_t upper) {
    const uint32_t bits = upper << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace

extern "C" void to_bfloat16(const float* x, int64_t size, int threads, uint16_t* y) {
#pragma omp parallel for simd num_threads(threads)
    for (int64_t i = 0; i < size; i++) y[i] = rounded(x[i]) >> 16;
}

extern "C" void to_float32(const uint16_t* x, int64_t size, int threads, float* y) {
#pragma omp parallel for simd num_threads(threads)
    for (int64_t i = 0; i < size; i++) y[i] = widened(x[i]);
}

// Both in one pass: float32 numbers that bfloat16 has.
extern "C" void round_to_bfloat16(const float* x, int64_t size, int threads, float* y) {
#pragma omp parallel for simd num_threads(threads)
    for (int64_t i = 0; i < size; i++) y[i] = widened(rounded(x[i]) >> 16);
}
