// What attention is made of: tiles of queries, the columns that they see, and the products between them.
//
// A tile is TILE consecutive tokens of one row with all query heads that share a key head. Its m-th query is token
// m % TILE of head m / TILE. Scores lie column by column (scores[n][m] for column n and query m), so that the softmax,
// which runs over columns, is plain vector arithmetic, and keys and values are read where they are, without being
// copied or transposed.
//
// A column or a query with a NaN or an infinity in it reaches only those that it sees or is seen by: 0 * NaN would
// carry it to others of the tile, so its row is read as zeros and its scores are NaN wherever they are allowed.
#pragma once
#include <algorithm>
#include <vector>

#include "simd.h"

constexpr int TILE = 32, BLOCK = 96;  // tokens of a tile; columns computed at once
constexpr float NAN_ = std::numeric_limits<float>::quiet_NaN();

struct Shape {
    int rows, length, heads, groups, head_dim;
    int shared() const { return heads / groups; }    // query heads per key head
    int queries() const { return TILE * shared(); }  // of a tile
    int dim() const { return (head_dim + WIDTH - 1) / WIDTH * WIDTH; }  // of a head, with zeros behind it
    int tiles() const { return (length + TILE - 1) / TILE; }
};

struct Run {
    int begin, end;  // columns begin <= j < end
};

// Which columns a tile sees: those that all of its tokens see, and those that some do. As runs they take little room:
// in a tree one for each branch above the tile.
struct Seen {
    std::vector<Run> by_all, by_some;
};

inline void add_column(std::vector<Run>& runs, int column) {
    if (!runs.empty() && runs.back().end == column)
        runs.back().end++;
    else
        runs.push_back({column, column + 1});
}

inline std::vector<Seen> columns_seen(const Shape& s, const int32_t* end_row, int threads) {
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
        for (int other = 0; other <= tile; other++) {
            if (last_end[number - tile + other] <= first) continue;
            for (int j = other * TILE; j < std::min((other + 1) * TILE, last); j++)
                if (j <= first && end[j] >= last)
                    add_column(seen[number].by_all, j);
                else if (end[j] > first)
                    add_column(seen[number].by_some, j);
        }
    }
    return seen;
}

// The keys (or values) of one key head of one row: where each token's features start. Copied if they must be padded
// with zeros, or lie between those of other heads: tokens whose distance is a power of two share few places of the
// cache. Tokens with something else than finite numbers are noted, and read as zeros by `at`.
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
        if (s.dim() != s.head_dim || s.groups > 1) {
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

// What a tile reads of its queries.
struct Queries {
    std::vector<float> by_query, by_feature;  // [queries][dim] and [dim][queries]

    // Bad queries become zeros where they are read by query, and `bad` gets them.
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

inline std::vector<int64_t> steps(int count, int64_t stride) {
    std::vector<int64_t> at(count);
    for (int k = 0; k < count; k++) at[k] = k * stride;
    return at;
}

inline std::vector<float*> rows_of(std::vector<float>& matrix, int64_t stride) {
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
    int columns[BLOCK], count = 0, whole = 0;
    for (const std::vector<Run>* runs : {&seen.by_all, &seen.by_some})
        for (const Run& run : *runs)
            for (int j = run.begin; j < run.end; j++) {
                columns[count++] = j;
                whole += runs == &seen.by_all;
                if (count < BLOCK) continue;
                work(Block{columns, count, whole});
                count = whole = 0;
            }
    if (count) work(Block{columns, count, whole});
}

// scores[n][m] = `otherwise` where token m does not see column n.
inline void mask(const Shape& s, const Block& block, const int32_t* end, int first, float* scores, float otherwise) {
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
inline void score(const Shape& s, const Block& block, const Side& keys, const Side& values, const Side& of,
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
inline void weighted_rows(const Shape& s, const Block& block, const Side& side, const float* weights,
                   std::vector<float*>& sums) {
    const int m_count = s.queries();
    int64_t at[BLOCK];
    for (int n = 0; n < block.count; n++) at[n] = side.at(block.columns[n]);
    std::vector<const float*> a(m_count);
    for (int m = 0; m < m_count; m++) a[m] = weights + m;
    product(m_count, a.data(), m_count, side.base, at, block.count, sums.data(), s.dim(), true);
}
