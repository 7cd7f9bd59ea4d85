//! Predicts with gradient-boosted trees, with the bits of XGBoost.
//!
//! A leaf's value is added as a 32-bit float in the order of the trees, starting from the margin of the base score; the
//! probability is `1 / (exp(-margin) + 1)`. Rows are processed sixteen at a time, by column, so that one instruction
//! compares several rows; a row's result does not depend on the others, nor on the instructions that the processor has.
//!
//! An unknown value, NaN, goes to the node's default child. To need no test for it, each node goes left if its column is
//! less than its threshold, and right otherwise, and so for NaN. A node whose default is left is mirrored: it compares
//! the negative of the column with the negative of the number just below its threshold, with its children exchanged.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(test)]
mod tests;

use crate::tables::TreesTable;

/// Rows that are processed together.
const LANES: usize = 16;
/// Trees up to this depth are evaluated whole; of deeper ones only the nodes on the way to a leaf.
const WHOLE_DEPTH_MAX: usize = 6;
/// Rows whose columns stay in the processor's second cache while all trees are added.
const ROWS_AT_ONCE: usize = 512;
/// Trees that stay in its first cache, in bytes.
const TREE_BYTES_AT_ONCE: usize = 24 * 1024;
/// Splits and leaves of one tree; XGBoost numbers nodes with 31 bits.
const NODES_MAX: usize = 1 << 24;
/// From here on `exp` would overflow; XGBoost stops at the same number.
const EXPONENT_MAX: f32 = 88.7;
/// XGBoost starts from no probability that is nearer to 0 or to 1.
const BASE_SCORE_MIN: f32 = 1e-6;

type Lanes = [f32; LANES];

/// The trees of one model.
pub struct Forest {
    columns: usize,
    /// The columns whose negatives are compared, too; they follow the columns.
    mirrored: Vec<usize>,
    base_margin: f32,
    trees: Vec<Tree>,
    /// Ranges of trees that are small enough to be processed together.
    passes: Vec<std::ops::Range<usize>>,
}

enum Tree {
    /// All splits down to the depth, level by level, and the leaves.
    Whole { depth: usize, splits: Vec<Split>, leaves: Vec<f32> },
    /// The nodes; the children of a node are neighbours.
    Walked { depth: usize, nodes: Vec<Node> },
}

#[derive(Clone, Copy)]
struct Split {
    threshold: f32,
    column: u32,
}

/// A split, or a leaf, which leads to itself: its threshold holds for no number, and the node after `left` is the leaf.
#[derive(Clone, Copy)]
struct Node {
    split: Split,
    left: u32,
    value: f32,
}

impl Forest {
    /// Checks the trees.
    pub fn new(table: &TreesTable, columns: usize) -> Result<Self, String> {
        let arrays = Arrays::new(table)?;
        if columns == 0 {
            return Err("the matrix has no columns".into());
        }
        if !(table.base_score > 0.0 && table.base_score < 1.0) {
            return Err("the base score is not a probability".into());
        }
        let mut mirrors = Mirrors { columns, positions: vec![None; columns], mirrored: Vec::new() };
        let mut trees = Vec::with_capacity(table.sizes.len());
        let mut start = 0;
        for &size in &table.sizes {
            trees.push(arrays.tree(start, size, &mut mirrors)?);
            start += size;
        }
        let passes = passes(&trees);
        let base_score = table.base_score.clamp(BASE_SCORE_MIN, 1.0 - BASE_SCORE_MIN);
        let base_margin = -((1.0 / base_score - 1.0).ln());
        Ok(Self { columns, mirrored: mirrors.mirrored, base_margin, trees, passes })
    }

    /// Returns the probability of each row of a matrix, whose numbers are finite or NaN.
    pub fn predict(&self, matrix: &[f32]) -> Vec<f32> {
        let rows = matrix.len() / self.columns;
        let mut probabilities = Vec::with_capacity(rows);
        let mut blocks = Vec::new();
        let mut margins: Vec<Lanes> = Vec::new();
        for part in matrix.chunks(ROWS_AT_ONCE * self.columns) {
            let count = part.len() / self.columns;
            self.transpose(part, &mut blocks);
            margins.clear();
            margins.resize(count.div_ceil(LANES), [self.base_margin; LANES]);
            self.add_leaves(&blocks, &mut margins);
            probabilities.extend(margins.iter().flatten().take(count).map(|margin| sigmoid(*margin)));
        }
        probabilities
    }

    /// Fills the blocks: for each 16 rows their columns, then the negatives of the mirrored ones.
    fn transpose(&self, matrix: &[f32], blocks: &mut Vec<Lanes>) {
        blocks.clear();
        for part in matrix.chunks(LANES * self.columns) {
            let start = blocks.len();
            blocks.resize(start + self.columns + self.mirrored.len(), [0.0; LANES]);
            let block = &mut blocks[start..];
            for (lane, row) in part.chunks_exact(self.columns).enumerate() {
                for (column, number) in block.iter_mut().zip(row) {
                    column[lane] = *number;
                }
            }
            let (columns, negatives) = block.split_at_mut(self.columns);
            for (negative, column) in negatives.iter_mut().zip(&self.mirrored) {
                *negative = columns[*column].map(|number| -number);
            }
        }
    }

    /// Adds the leaves of all trees to the margins.
    fn add_leaves(&self, blocks: &[Lanes], margins: &mut [Lanes]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the one feature that the function needs.
            #[allow(unsafe_code)]
            return unsafe { avx2::add_leaves(self, blocks, margins) };
        }
        self.add_leaves_anywhere(blocks, margins);
    }

    /// The same on any processor.
    fn add_leaves_anywhere(&self, blocks: &[Lanes], margins: &mut [Lanes]) {
        for pass in &self.passes {
            for (block, margins) in blocks.chunks_exact(self.width()).zip(margins.iter_mut()) {
                for tree in &self.trees[pass.clone()] {
                    let leaves = match tree {
                        Tree::Whole { splits, leaves, .. } => evaluate(splits, leaves, block),
                        Tree::Walked { depth, nodes } => walk(*depth, nodes, block),
                    };
                    for (margin, leaf) in margins.iter_mut().zip(leaves) {
                        *margin += leaf;
                    }
                }
            }
        }
    }

    /// The number of columns of a block.
    fn width(&self) -> usize {
        self.columns + self.mirrored.len()
    }
}

impl Tree {
    fn bytes(&self) -> usize {
        match self {
            Self::Whole { splits, leaves, .. } => size_of_val(&splits[..]) + size_of_val(&leaves[..]),
            Self::Walked { nodes, .. } => size_of_val(&nodes[..]),
        }
    }
}

/// Evaluates a whole tree: the position of a split's left child is twice its own, and one more, from the root's 0 on.
fn evaluate(splits: &[Split], leaves: &[f32], block: &[Lanes]) -> Lanes {
    std::array::from_fn(|lane| {
        let mut position = 0;
        while let Some(split) = splits.get(position) {
            let is_left = block[split.column as usize][lane] < split.threshold;
            position = 2 * position + 2 - usize::from(is_left);
        }
        leaves[position - splits.len()]
    })
}

/// Follows the splits from the root to the leaves, for all rows one level at a time.
#[inline]
fn walk(depth: usize, nodes: &[Node], block: &[Lanes]) -> Lanes {
    let mut positions = [0u32; LANES];
    for _ in 0..depth {
        for (lane, position) in positions.iter_mut().enumerate() {
            let Node { split, left, .. } = nodes[*position as usize];
            let is_left = block[split.column as usize][lane] < split.threshold;
            *position = left + u32::from(!is_left);
        }
    }
    positions.map(|position| nodes[position as usize].value)
}

fn sigmoid(margin: f32) -> f32 {
    // Not `f32::min`, which would make a probability of NaN.
    let exponent = if EXPONENT_MAX < -margin { EXPONENT_MAX } else { -margin };
    1.0 / (exponent.exp() + 1.0)
}

/// Divides the trees so that those of a pass stay in the processor's cache.
fn passes(trees: &[Tree]) -> Vec<std::ops::Range<usize>> {
    let mut passes: Vec<std::ops::Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (number, tree) in trees.iter().enumerate() {
        bytes += tree.bytes();
        match passes.last_mut() {
            Some(pass) if bytes <= TREE_BYTES_AT_ONCE => pass.end = number + 1,
            _ => {
                passes.push(number..number + 1);
                bytes = tree.bytes();
            }
        }
    }
    passes
}

/// The columns that are compared mirrored, in the order in which the trees use them.
struct Mirrors {
    columns: usize,
    positions: Vec<Option<u32>>,
    mirrored: Vec<usize>,
}

impl Mirrors {
    /// The position of a column's negative in a block.
    fn position(&mut self, column: usize) -> u32 {
        *self.positions[column].get_or_insert_with(|| {
            self.mirrored.push(column);
            (self.columns + self.mirrored.len() - 1) as u32
        })
    }
}

/// The arrays of all trees.
struct Arrays<'a> {
    left: Vec<i32>,
    right: Vec<i32>,
    column: Vec<i32>,
    value: Vec<f32>,
    default_left: &'a [u8],
}

impl<'a> Arrays<'a> {
    fn new(table: &'a TreesTable) -> Result<Self, String> {
        let integers =
            |bytes: &[u8]| -> Vec<i32> { bytes.as_chunks().0.iter().map(|b| i32::from_ne_bytes(*b)).collect() };
        let value = table.value.as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b)).collect();
        let (left, right, column) = (integers(&table.left), integers(&table.right), integers(&table.column));
        let arrays = Self { left, right, column, value, default_left: &table.default_left };
        let count = table.sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
        let lengths =
            [arrays.left.len(), arrays.right.len(), arrays.column.len(), arrays.value.len(), arrays.default_left.len()];
        if lengths.iter().any(|length| Some(*length) != count) {
            return Err("the arrays do not have one entry for each node".into());
        }
        Ok(arrays)
    }

    fn tree(&self, start: usize, size: usize, mirrors: &mut Mirrors) -> Result<Tree, String> {
        let (nodes, depth) = self.nodes(start, size, mirrors)?;
        if depth > WHOLE_DEPTH_MAX {
            return Ok(Tree::Walked { depth, nodes });
        }
        // Below a leaf that is higher than the others, both children lead to it.
        let split = Split { threshold: 0.0, column: 0 };
        let mut level = vec![0u32];
        let mut splits = Vec::new();
        for _ in 0..depth {
            let mut below = Vec::with_capacity(2 * level.len());
            for position in level {
                let node = nodes[position as usize];
                let is_leaf = node.left.wrapping_add(1) == position;
                splits.push(if is_leaf { split } else { node.split });
                below.extend(if is_leaf { [position; 2] } else { [node.left, node.left + 1] });
            }
            level = below;
        }
        let leaves = level.iter().map(|position| nodes[*position as usize].value).collect();
        Ok(Tree::Whole { depth, splits, leaves })
    }

    /// The nodes of a tree, level by level, and its depth.
    fn nodes(&self, start: usize, size: usize, mirrors: &mut Mirrors) -> Result<(Vec<Node>, usize), String> {
        if size == 0 || size > NODES_MAX {
            return Err("a tree has no nodes, or too many".into());
        }
        let mut nodes: Vec<Node> = Vec::with_capacity(size);
        let mut level = vec![0usize];
        let mut depth = 0;
        loop {
            let mut below = Vec::new();
            let first_below = nodes.len() + level.len();
            for number in level {
                let at = start + number;
                let value = self.value[at];
                if self.left[at] < 0 {
                    if !value.is_finite() {
                        return Err("a leaf is not a finite number".into());
                    }
                    let split = Split { threshold: f32::NEG_INFINITY, column: 0 };
                    nodes.push(Node { split, left: (nodes.len() as u32).wrapping_sub(1), value });
                    continue;
                }
                let left = (first_below + below.len()) as u32;
                let (split, children) = self.split(at, mirrors)?;
                for child in children {
                    below.push(usize::try_from(child).ok().filter(|c| *c < size).ok_or("a node has no such child")?);
                }
                nodes.push(Node { split, left, value: 0.0 });
            }
            // Each node is the child of one other node, or the tree would not end.
            if nodes.len() + below.len() > size {
                return Err("a node is the child of several nodes".into());
            }
            if below.is_empty() {
                return Ok((nodes, depth));
            }
            level = below;
            depth += 1;
        }
    }

    /// The split of a node, mirrored if its default is left, and its children.
    fn split(&self, at: usize, mirrors: &mut Mirrors) -> Result<(Split, [i32; 2]), String> {
        let column = usize::try_from(self.column[at]).ok().filter(|c| *c < mirrors.columns).ok_or("no such column")?;
        if self.value[at].is_nan() {
            return Err("a threshold is not a number".into());
        }
        let (left, right) = (self.left[at], self.right[at]);
        if self.default_left[at] == 0 {
            return Ok((Split { threshold: self.value[at], column: column as u32 }, [left, right]));
        }
        let threshold = -self.value[at].next_down();
        Ok((Split { threshold, column: mirrors.position(column) }, [right, left]))
    }
}
