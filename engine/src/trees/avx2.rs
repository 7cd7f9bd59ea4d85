//! Adds leaves with the vector instructions of AVX2: eight rows each, twice.
//!
//! The instructions compare, select and add each number as the processor does it for one, so the bits are the same.

use std::arch::x86_64::{
    __m256, _CMP_LT_OQ, _mm_extract_ps, _mm256_add_ps, _mm256_blendv_ps, _mm256_castps256_ps128, _mm256_cmp_ps,
    _mm256_extractf128_ps, _mm256_set1_ps, _mm256_setr_ps,
};

use super::{Forest, LANES, Lanes, Split, Tree, walk};

/// Sixteen rows.
type Vectors = [__m256; 2];

/// Adds the leaves of all trees to the margins.
#[target_feature(enable = "avx2")]
pub fn add_leaves(forest: &Forest, blocks: &[Lanes], margins: &mut [Lanes]) {
    for pass in &forest.passes {
        for (block, margins) in blocks.chunks_exact(forest.width()).zip(margins.iter_mut()) {
            let mut sum = load(margins);
            for tree in &forest.trees[pass.clone()] {
                let leaves = match tree {
                    Tree::Whole { depth, splits, leaves } => evaluate(*depth, Whole { splits, leaves, block }),
                    Tree::Walked { depth, nodes } => load(&walk(*depth, nodes, block)),
                };
                sum = [_mm256_add_ps(sum[0], leaves[0]), _mm256_add_ps(sum[1], leaves[1])];
            }
            *margins = store(sum);
        }
    }
}

/// Defines the evaluation of a subtree from that of its two halves. Nothing but the numbers on the way is kept.
macro_rules! evaluation {
    ($name:ident, $half:ident) => {
        #[target_feature(enable = "avx2")]
        #[inline]
        fn $name(tree: Whole, position: usize) -> Vectors {
            let left = $half(tree, 2 * position + 1);
            let right = $half(tree, 2 * position + 2);
            select(tree.splits[position], tree.block, left, right)
        }
    };
}

evaluation!(evaluate_1, evaluate_0);
evaluation!(evaluate_2, evaluate_1);
evaluation!(evaluate_3, evaluate_2);
evaluation!(evaluate_4, evaluate_3);
evaluation!(evaluate_5, evaluate_4);
evaluation!(evaluate_6, evaluate_5);

/// A whole tree and the columns of sixteen rows. The leaves' positions follow those of the splits.
#[derive(Clone, Copy)]
struct Whole<'a> {
    splits: &'a [Split],
    leaves: &'a [f32],
    block: &'a [Lanes],
}

#[target_feature(enable = "avx2")]
#[inline]
fn evaluate_0(tree: Whole, position: usize) -> Vectors {
    [_mm256_set1_ps(tree.leaves[position - tree.splits.len()]); 2]
}

/// Evaluates a tree of this depth, at most `WHOLE_DEPTH_MAX`.
#[target_feature(enable = "avx2")]
#[inline]
fn evaluate(depth: usize, tree: Whole) -> Vectors {
    match depth {
        0 => evaluate_0(tree, 0),
        1 => evaluate_1(tree, 0),
        2 => evaluate_2(tree, 0),
        3 => evaluate_3(tree, 0),
        4 => evaluate_4(tree, 0),
        5 => evaluate_5(tree, 0),
        _ => evaluate_6(tree, 0),
    }
}

/// The left numbers where the column is less than the threshold, and the right ones elsewhere.
#[target_feature(enable = "avx2")]
#[inline]
fn select(split: Split, block: &[Lanes], left: Vectors, right: Vectors) -> Vectors {
    let column = load(&block[split.column as usize]);
    let threshold = _mm256_set1_ps(split.threshold);
    [
        _mm256_blendv_ps(right[0], left[0], _mm256_cmp_ps::<_CMP_LT_OQ>(column[0], threshold)),
        _mm256_blendv_ps(right[1], left[1], _mm256_cmp_ps::<_CMP_LT_OQ>(column[1], threshold)),
    ]
}

#[target_feature(enable = "avx2")]
#[inline]
fn load(lanes: &Lanes) -> Vectors {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *lanes;
    [_mm256_setr_ps(a, b, c, d, e, f, g, h), _mm256_setr_ps(i, j, k, l, m, n, o, p)]
}

#[target_feature(enable = "avx2")]
#[inline]
fn store(vectors: Vectors) -> Lanes {
    let mut lanes = [0.0; LANES];
    for (numbers, vector) in lanes.chunks_exact_mut(8).zip(vectors) {
        let (low, high) = (_mm256_castps256_ps128(vector), _mm256_extractf128_ps::<1>(vector));
        for (numbers, vector) in numbers.chunks_exact_mut(4).zip([low, high]) {
            let bits = [
                _mm_extract_ps::<0>(vector),
                _mm_extract_ps::<1>(vector),
                _mm_extract_ps::<2>(vector),
                _mm_extract_ps::<3>(vector),
            ];
            numbers.copy_from_slice(&bits.map(|number| f32::from_bits(number.cast_unsigned())));
        }
    }
    lanes
}
