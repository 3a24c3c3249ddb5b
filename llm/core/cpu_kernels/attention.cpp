// Attention of packed rows: token i attends to column j where j <= i < end_row[j].
//
// A tile is TILE consecutive tokens of one row with all query heads that share a key head. For each tile the columns
// that any of its tokens sees are listed first (for a forest: the path to the tile and the tile itself), and only these
// are computed: time follows the pairs that may attend, memory the list of columns. The scores of a block of columns
// stay in the cache, S x S of them never exist; the backward pass computes them again from the logarithm of their sum.
//
// Scores lie column by column (scores[n][m] for column n and query m), so that the softmax, which runs over columns,
// is plain vector arithmetic, and keys and values are read where they are, without being copied or transposed.
//
// A column or a query with a NaN or an infinity in it reaches only those that it sees or is seen by: 0 * NaN would
// carry it to others of the tile, so its row is read as zeros and its scores are NaN wherever they are allowed.
#include <algorithm>
#include <vector>

#include "simd.h"

namespace {

constexpr int TILE = 32, BLOCK = 96;  // tokens of a tile; columns computed at once
constexpr float NOTHING = -1e30f, LOG2_E = 1.4426950408889634f, NAN_ = std::numeric_limits<float>::quiet_NaN();

int padded(int head_dim) { return (head_dim + WIDTH - 1) / WIDTH * WIDTH; }

struct Shape {
    int rows, length, heads, groups, head_dim;
    int shared() const { return heads / groups; }       // query heads per key head
    int queries() const { return TILE * shared(); }     // of a tile
    int dim() const { return padded(head_dim); }        // of a head, with zeros behind it
    int tiles() const { return (length + TILE - 1) / TILE; }
};

// Which columns a tile sees: the first `whole` of them by all of its tokens, the others by some.
struct Seen {
    std::vector<int> columns;
    int whole = 0;
};

std::vector<Seen> columns_seen(const Shape& s, const int32_t* end_row, int threads) {
    std::vector<Seen> seen(size_t(s.rows) * s.tiles());
    std::vector<int> last_end(seen.size());  // of the columns of a tile: whether any of them is seen later on
    for (int number = 0; number < s.rows * s.tiles(); number++) {
        const int32_t* end = end_row + int64_t(number / s.tiles()) * s.length;
        const int first = number % s.tiles() * TILE, last = std::min(first + TILE, s.length);
        last_end[number] = *std::max_element(end + first, end + last);
    }
#pragma omp parallel for schedule(monotonic : dynamic) num_threads(threads)
    for (int number = 0; number < s.rows * s.tiles(); number++) {
        const int32_t* end = end_row + int64_t(number / s.tiles()) * s.length;
        const int tile = number % s.tiles(), first = tile * TILE, last = std::min(first + TILE, s.length);
        std::vector<int> some;
        for (int other = 0; other <= tile; other++) {
            if (last_end[number - tile + other] <= first) continue;
            for (int j = other * TILE; j < std::min((other + 1) * TILE, last); j++)
                if (j <= first && end[j] >= last)
                    seen[number].columns.push_back(j);
                else if (end[j] > first)
                    some.push_back(j);
        }
        seen[number].whole = seen[number].columns.size();
        seen[number].columns.insert(seen[number].columns.end(), some.begin(), some.end());
    }
    return seen;
}

// The keys (or values) of one key head of one row: where each token's features start. Copied only if they must be
// padded with zeros. Tokens with something else than finite numbers are noted, and read as zeros by `at`.
struct Side {
    const float* base = nullptr;
    int64_t stride = 0;
    std::vector<float> copy, zeros;
    std::vector<char> bad;
    bool any_bad = false;

    void read(const Shape& s, const float* x, int row, int group) {
        base = x + (int64_t(row) * s.length * s.groups + group) * s.head_dim;
        stride = int64_t(s.groups) * s.head_dim;
        bad.assign(s.length, 0);
        for (int t = 0; t < s.length; t++)
            if (!all_finite(base + t * stride, s.head_dim)) bad[t] = any_bad = true;
        if (s.dim() != s.head_dim) {
            copy.assign(size_t(s.length) * s.dim(), 0);
            for (int t = 0; t < s.length; t++)
                std::copy_n(base + t * stride, s.head_dim, copy.data() + size_t(t) * s.dim());
            base = copy.data();
            stride = s.dim();
        }
        zeros.assign(s.dim(), 0);
    }
    const float* row(int token) const { return base + token * stride; }
    int64_t at(int token) const { return bad[token] ? zeros.data() - base : token * stride; }
};

// What a tile reads and writes, its m-th query being token m % TILE of head m / TILE.
struct Queries {
    std::vector<float> by_query, by_feature;  // [queries][dim] and [dim][queries]

    // Bad queries become zeros where they are read by query, and are told.
    template <typename Bad>
    void load_tile(const Shape& s, const float* x, int row, int group, int first, float factor, Bad bad) {
        const int m_count = s.queries(), dim = s.dim();
        by_query.assign(size_t(m_count) * dim, 0);
        by_feature.assign(size_t(m_count) * dim, 0);
        for (int m = 0; m < m_count; m++) {
            const int token = first + m % TILE, head = group * s.shared() + m / TILE;
            if (token >= s.length) continue;
            const float* from = x + ((int64_t(row) * s.length + token) * s.heads + head) * s.head_dim;
            for (int d = 0; d < s.head_dim; d++) by_feature[size_t(d) * m_count + m] = from[d] * factor;
            if (all_finite(from, s.head_dim))
                for (int d = 0; d < s.head_dim; d++) by_query[size_t(m) * dim + d] = from[d];
            else
                bad(m);
        }
    }
};

std::vector<int64_t> steps(int count, int64_t stride) {
    std::vector<int64_t> at(count);
    for (int k = 0; k < count; k++) at[k] = k * stride;
    return at;
}

std::vector<float*> rows_of(std::vector<float>& matrix, int64_t stride) {
    std::vector<float*> rows(matrix.size() / stride);
    for (size_t r = 0; r < rows.size(); r++) rows[r] = matrix.data() + r * stride;
    return rows;
}

// One block of a tile's columns.
struct Block {
    const int* columns;
    int count, whole;  // the first `whole` are seen by every token
};

template <typename Do>
void for_blocks(const Seen& seen, Do work) {
    for (int from = 0; from < int(seen.columns.size()); from += BLOCK) {
        const int count = std::min(BLOCK, int(seen.columns.size()) - from);
        work(Block{seen.columns.data() + from, count, std::clamp(seen.whole - from, 0, count)});
    }
}

// scores[n][m] = `otherwise` where token m does not see column n.
void mask(const Shape& s, const Block& block, const int32_t* end, int first, float* scores, float otherwise) {
    const int m_count = s.queries();
    ivec lane;
    for (int i = 0; i < LANES; i++) lane[i] = i;
    for (int n = block.whole; n < block.count; n++) {
        const int j = block.columns[n];
        for (int m = 0; m < m_count; m += LANES) {
            const ivec token = lane + (first + m % TILE);
            const ivec sees = (token >= j) & (token < end[j]);
            float* at = scores + int64_t(n) * m_count + m;
            store(at, sees ? load(at) : all(otherwise));
        }
    }
}

// scores[n][m] = key n . query m, NaN where the column is bad.
void score(const Shape& s, const Block& block, const Side& keys, const Side& values, const Side& of,
           const Queries& q, const std::vector<int64_t>& features, std::vector<float*>& scores) {
    const float* a[BLOCK];
    for (int n = 0; n < block.count; n++) a[n] = of.row(block.columns[n]);
    product(block.count, a, 1, q.by_feature.data(), features.data(), s.head_dim, scores.data(), s.queries(), false);
    if (keys.any_bad || values.any_bad)
        for (int n = 0; n < block.count; n++)
            if (keys.bad[block.columns[n]] || values.bad[block.columns[n]])
                std::fill_n(scores[n], s.queries(), NAN_);
}

// sums[m] += sum over n of weights[n][m] * row n of the side
void weighted_rows(const Shape& s, const Block& block, const Side& side, const float* weights,
                   std::vector<float*>& sums) {
    const int m_count = s.queries();
    int64_t at[BLOCK];
    for (int n = 0; n < block.count; n++) at[n] = side.at(block.columns[n]);
    std::vector<const float*> a(m_count);
    for (int m = 0; m < m_count; m++) a[m] = weights + m;
    product(m_count, a.data(), m_count, side.base, at, block.count, sums.data(), s.dim(), true);
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
#pragma omp parallel for schedule(monotonic : dynamic) num_threads(threads)
    for (int unit = 0; unit < rows * groups; unit++) {  // one thread for all tiles that add to the same dk and dv
        const int row = unit / groups, group = unit % groups;
        Side keys, values;
        keys.read(s, k, row, group);
        values.read(s, v, row, group);
        const int32_t* end = end_row + int64_t(row) * length;
        Queries queries, upstream;
        std::vector<float> p(size_t(BLOCK) * m_count), ds(size_t(BLOCK) * m_count), sums(size_t(m_count) * dim),
            log_sums(m_count), delta(m_count), k_sums(size_t(length) * dim), v_sums(size_t(length) * dim);
        std::vector<float*> p_rows = rows_of(p, m_count), ds_rows = rows_of(ds, m_count), sum_rows = rows_of(sums, dim);
        for (int tile = 0; tile < s.tiles(); tile++) {
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
        for (int t = 0; t < length; t++) {
            const int64_t at = ((int64_t(row) * length + t) * groups + group) * head_dim;
            for (int d = 0; d < head_dim; d++) {
                dk[at + d] = k_sums[size_t(t) * dim + d] * scale;
                dv[at + d] = v_sums[size_t(t) * dim + d];
            }
        }
    }
}
