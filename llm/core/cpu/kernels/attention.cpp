// Attention of packed rows: token i attends to column j where j <= i < end_row[j].
//
// For each tile the columns that any of its tokens sees are listed first (for a forest: the path to the tile and the
// tile itself), and only these are computed: time follows the pairs that may attend, memory the length of a row. The
// scores of a block of columns stay in the cache, S x S of them never exist; the backward pass computes them again from
// the logarithm of their sum.
#include <algorithm>
#include <atomic>
#include <vector>

#include "tiles.h"

namespace {

constexpr int MOST_PARTS = 16;  // into which the backward pass of few heads is divided
constexpr float NOTHING = -1e30f;

// Sum the parts of a key head's gradient into its place, and free them.
void add_parts(const Shape& s, std::vector<float>* parts, int count, int row, int group, float factor,
               float* gradient) {
    for (int part = 1; part < count; part++) {
        for (size_t i = 0; i < parts[0].size(); i++) parts[0][i] += parts[part][i];
        std::vector<float>().swap(parts[part]);
    }
    for (int t = 0; t < s.length; t++) {
        float* to = gradient + ((int64_t(row) * s.length + t) * s.groups + group) * s.head_dim;
        for (int d = 0; d < s.head_dim; d++) to[d] = parts[0][size_t(t) * s.dim() + d] * factor;
    }
    std::vector<float>().swap(parts[0]);
}

}  // namespace

// q, out [rows, length, heads, head_dim]; k, v [rows, length, groups, head_dim]; log_sum [rows, heads, length] base 2.
extern "C" void attention_forward(const float* q, const float* k, const float* v, const int32_t* end_row, int rows,
                                  int length, int heads, int groups, int head_dim, int threads, float* out,
                                  float* log_sum) {
    const Shape s{rows, length, heads, groups, head_dim};
    const float factor = LOG2_E / std::sqrt(float(head_dim));
    const std::vector<Seen> seen = columns_seen(s, end_row, threads);
    const int m_count = s.queries(), dim = s.dim();
    const std::vector<int64_t> features = steps(dim, m_count);
    std::vector<Side> keys(rows * groups), values(rows * groups);
#pragma omp parallel num_threads(threads)
    {
        Queries queries;
        std::vector<float> scores(size_t(BLOCK) * m_count), sums(size_t(m_count) * dim), top(m_count), total(m_count);
        std::vector<float*> score_rows = rows_of(scores, m_count), sum_rows = rows_of(sums, dim);
#pragma omp for schedule(monotonic : dynamic)
        for (int unit = 0; unit < rows * groups; unit++) {
            keys[unit].read(s, k, unit / groups, unit % groups);
            values[unit].read(s, v, unit / groups, unit % groups);
        }
#pragma omp for schedule(monotonic : dynamic)
        for (int number = 0; number < rows * groups * s.tiles(); number++) {
            const int unit = number / s.tiles(), tile = number % s.tiles(), first = tile * TILE;
            const int row = unit / groups, group = unit % groups;
            const int32_t* end = end_row + int64_t(row) * length;
            queries.load_tile(s, q, row, group, first, factor, [](int) {});
            std::fill(sums.begin(), sums.end(), 0.0f);
            std::fill(top.begin(), top.end(), NOTHING);
            std::fill(total.begin(), total.end(), 0.0f);
            for_blocks(seen[row * s.tiles() + tile], [&](const Block& block) {
                score(s, block, keys[unit], values[unit], keys[unit], queries, features, score_rows);
                mask(s, block, end, first, scores.data(), -std::numeric_limits<float>::infinity());
                for (int m = 0; m < m_count; m += LANES) {
                    const vec before = load(&top[m]);
                    vec highest = before, added{};
                    for (int n = 0; n < block.count; n++) {
                        const vec x = load(score_rows[n] + m);
                        highest = x > highest ? x : highest;
                    }
                    for (int n = 0; n < block.count; n++) {
                        const vec p = exp2_of(load(score_rows[n] + m) - highest);
                        store(score_rows[n] + m, p);
                        added += p;
                    }
                    const vec shrink = exp2_of(before - highest);
                    store(&top[m], highest);
                    store(&total[m], load(&total[m]) * shrink + added);
                    for (int i = 0; i < LANES; i++)
                        if (shrink[i] != 1.0f)
                            for (int d = 0; d < dim; d++) sum_rows[m + i][d] *= shrink[i];
                }
                weighted_rows(s, block, values[unit], scores.data(), sum_rows);
            });
            for (int m = 0; m < m_count; m++) {
                const int token = first + m % TILE, head = group * s.shared() + m / TILE;
                if (token >= length) continue;
                float* to = out + ((int64_t(row) * length + token) * heads + head) * head_dim;
                for (int d = 0; d < head_dim; d++) to[d] = sum_rows[m][d] / total[m];
                log_sum[(int64_t(row) * heads + head) * length + token] = top[m] + std::log2(total[m]);
            }
        }
    }
}

extern "C" void attention_backward(const float* q, const float* k, const float* v, const float* out,
                                   const float* log_sum, const float* dout, const int32_t* end_row, int rows,
                                   int length, int heads, int groups, int head_dim, int threads, float* dq, float* dk,
                                   float* dv) {
    const Shape s{rows, length, heads, groups, head_dim};
    const float scale = 1.0f / std::sqrt(float(head_dim));
    const std::vector<Seen> seen = columns_seen(s, end_row, threads);
    const int m_count = s.queries(), dim = s.dim();
    const std::vector<int64_t> features = steps(dim, m_count), query_at = steps(m_count, dim);
    // The tiles of a key head add to the same dk and dv. Few heads are divided into parts with sums of their own, as
    // many whatever the threads, so that the result does not depend on them.
    const int parts = std::clamp(MOST_PARTS / (rows * groups), 1, s.tiles());
    std::vector<std::vector<float>> k_parts(rows * groups * parts), v_parts(k_parts.size());
    std::vector<std::atomic<int>> parts_left(rows * groups);
    for (std::atomic<int>& left : parts_left) left = parts;
#pragma omp parallel for schedule(monotonic : dynamic) num_threads(threads)
    for (int number = 0; number < rows * groups * parts; number++) {
        const int unit = number / parts, part = number % parts, row = unit / groups, group = unit % groups;
        Side keys, values;
        keys.read(s, k, row, group);
        values.read(s, v, row, group);
        const int32_t* end = end_row + int64_t(row) * length;
        Queries queries, upstream;
        std::vector<float> p(size_t(BLOCK) * m_count), ds(size_t(BLOCK) * m_count), sums(size_t(m_count) * dim),
            log_sums(m_count), delta(m_count);
        std::vector<float>&k_sums = k_parts[number], &v_sums = v_parts[number];
        k_sums.assign(size_t(length) * dim, 0);
        v_sums.assign(size_t(length) * dim, 0);
        std::vector<float*> p_rows = rows_of(p, m_count), ds_rows = rows_of(ds, m_count), sum_rows = rows_of(sums, dim);
        for (int tile = s.tiles() * part / parts; tile < s.tiles() * (part + 1) / parts; tile++) {
            const int first = tile * TILE;
            std::fill(log_sums.begin(), log_sums.end(), 0.0f);
            std::fill(delta.begin(), delta.end(), 0.0f);
            for (int m = 0; m < m_count; m++) {
                const int token = first + m % TILE, head = group * s.shared() + m / TILE;
                if (token >= length) continue;
                log_sums[m] = log_sum[(int64_t(row) * heads + head) * length + token];
                const int64_t at = ((int64_t(row) * length + token) * heads + head) * head_dim;
                for (int d = 0; d < head_dim; d++) delta[m] += out[at + d] * dout[at + d];
            }
            const auto spoil = [&](int m) { log_sums[m] = NAN_; };
            queries.load_tile(s, q, row, group, first, scale * LOG2_E, spoil);
            upstream.load_tile(s, dout, row, group, first, 1.0f, spoil);
            std::fill(sums.begin(), sums.end(), 0.0f);
            for_blocks(seen[row * s.tiles() + tile], [&](const Block& block) {
                score(s, block, keys, values, keys, queries, features, p_rows);
                score(s, block, keys, values, values, upstream, features, ds_rows);
                for (int n = 0; n < block.count; n++)
                    for (int m = 0; m < m_count; m += LANES) {
                        const vec weight = exp2_of(load(p_rows[n] + m) - load(&log_sums[m]));
                        store(p_rows[n] + m, weight);
                        store(ds_rows[n] + m, weight * (load(ds_rows[n] + m) - load(&delta[m])));
                    }
                mask(s, block, end, first, p.data(), 0.0f);
                mask(s, block, end, first, ds.data(), 0.0f);
                float *to_k[BLOCK], *to_v[BLOCK];
                for (int n = 0; n < block.count; n++) {
                    to_k[n] = &k_sums[size_t(block.columns[n]) * dim];
                    to_v[n] = &v_sums[size_t(block.columns[n]) * dim];
                }
                product(block.count, p_rows.data(), 1, upstream.by_query.data(), query_at.data(), m_count, to_v, dim,
                        true);
                product(block.count, ds_rows.data(), 1, queries.by_query.data(), query_at.data(), m_count, to_k, dim,
                        true);
                weighted_rows(s, block, keys, ds.data(), sum_rows);
            });
            for (int m = 0; m < m_count; m++) {
                const int token = first + m % TILE, head = group * s.shared() + m / TILE;
                if (token >= length) continue;
                float* to = dq + ((int64_t(row) * length + token) * heads + head) * head_dim;
                for (int d = 0; d < head_dim; d++) to[d] = sum_rows[m][d] * scale;
            }
        }
        if (--parts_left[unit] == 0) {
            add_parts(s, &k_parts[unit * parts], parts, row, group, scale, dk);
            add_parts(s, &v_parts[unit * parts], parts, row, group, 1.0f, dv);
        }
    }
}
