//! The tables of an engine, as Python compiles them from a bundle: plain data, not yet checked.

#[cfg(feature = "python")]
use pyo3::FromPyObject;

/// An object of the contract; the first one is the application itself.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct ObjectTable {
    /// Its members, in the contract's order.
    pub members: Vec<MemberTable>,
    /// The fields in it and in the objects in it: they are consecutive.
    pub first_field: usize,
    /// The end of these fields.
    pub end_field: usize,
}

/// A member of an object: a field, or another object.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct MemberTable {
    /// Its name, in UTF-8.
    pub name: Vec<u8>,
    /// Whether it must be present.
    pub required: bool,
    /// Whether null is valid.
    pub nullable: bool,
    /// The position of the field, unless it is an object.
    pub field: Option<usize>,
    /// The position of the object, unless it is a field.
    pub object: Option<usize>,
}

/// A field of the contract.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct FieldTable {
    /// One of number, integer, boolean, category, text, date, date-time.
    pub kind: String,
    /// The value if the field is absent: NaN for unknown; of a category the code, -1 for unknown.
    pub absent: f64,
    /// Of numbers: the least valid value.
    pub low: f64,
    /// Of numbers: the greatest valid value.
    pub high: f64,
    /// Of numbers: values that mean unknown, whatever the limits.
    pub unknown: Vec<f64>,
    /// Of categories: each valid value in UTF-8, with its code, -1 for unknown.
    pub categories: Vec<(Vec<u8>, i32)>,
    /// Of texts: the least number of characters.
    pub length_min: usize,
    /// Of texts: the greatest number of characters.
    pub length_max: usize,
}

/// How the matrix is made of the fields' values.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct ColumnsTable {
    /// The number of columns.
    pub width: usize,
    /// The replacement of unknown numbers.
    pub missing: f32,
    /// Columns of numbers: the column, and the position of the field.
    pub numbers: Vec<(usize, usize)>,
    /// Columns of categories' indexes: the column, and the position of the field.
    pub indexes: Vec<(usize, usize)>,
    /// Columns of categories: the position of the field, and for each code the column, or -1 for none.
    pub one_hot: Vec<(usize, Vec<i64>)>,
    /// Derived columns: the column, and the steps of its program.
    pub derived: Vec<(usize, Vec<StepTable>)>,
}

/// A step of a program: its operation, with the operands that this operation has.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct StepTable {
    /// `field`, `constant`, `category test`, or an operation of `scorer.core.evaluation`.
    pub operation: String,
    /// The position of the field.
    pub field: usize,
    /// The constant.
    pub value: f64,
    /// For each code of a category whether the test holds (1) or not (0); the last one is for unknown. Of a test of
    /// numbers whether it holds for `values` (1) or for all other numbers (0).
    pub holds: Vec<u8>,
    /// The numbers of a test.
    pub values: Vec<f64>,
}

/// The policy.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct PolicyTable {
    /// Pairs of thresholds, the first of which is general: above them a PD is at least the second label, or the third.
    pub thresholds: Vec<(f64, f64)>,
    /// The field of the segments, and for each of its codes the index of its thresholds; the last one is for unknown.
    pub segments: Option<(usize, Vec<usize>)>,
    /// The steps of each rule's condition, its label, and the position of its reason in the catalogue, 255 for none.
    pub rules: Vec<(Vec<StepTable>, u8, u8)>,
}

/// The trees of a model: the arrays of all trees, one after another.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct TreesTable {
    /// The number of nodes of each tree.
    pub sizes: Vec<usize>,
    /// The left child of each node, within its tree; -1 for a leaf. 32-bit integers in the machine's order of bytes.
    pub left: Vec<u8>,
    /// The right child of each node, likewise.
    pub right: Vec<u8>,
    /// The column that each node compares, likewise.
    pub column: Vec<u8>,
    /// What each node compares with, or the leaf's value: 32-bit floats in the machine's order of bytes.
    pub value: Vec<u8>,
    /// Whether an unknown value goes to the left child: one byte per node.
    pub default_left: Vec<u8>,
    /// The probability that the trees start from, between 0 and 1.
    pub base_score: f32,
}

/// The catalogue of reasons, and the tables of contributions: blocks of conditions, one after another.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct ReasonsTable {
    /// The code of each entry, as JSON.
    pub codes: Vec<Vec<u8>>,
    /// Whether the model uses a field of each entry.
    pub is_used: Vec<bool>,
    /// The number of conditions of each block, at most eight.
    pub condition_counts: Vec<usize>,
    /// The column that each condition compares: 32-bit integers in the machine's order of bytes.
    pub columns: Vec<u8>,
    /// What it compares with: 32-bit floats, likewise.
    pub thresholds: Vec<u8>,
    /// 1 if it holds for a smaller column, 0 if for one that is not smaller: one byte per condition.
    pub is_less: Vec<u8>,
    /// The number of entries to which each block contributes.
    pub target_counts: Vec<usize>,
    /// The positions of these entries: 32-bit integers.
    pub targets: Vec<u8>,
    /// Of each block and pattern of its conditions, the contribution to each of its entries: 32-bit integers.
    pub values: Vec<u8>,
}

/// The text of decisions.
#[cfg_attr(feature = "python", derive(FromPyObject))]
#[derive(Clone, Debug, Default)]
pub struct DecisionTable {
    /// The text between the first offset and the application's id.
    pub to_id: Vec<u8>,
    /// For each label, the text between the application's id and the PD.
    pub outcomes: Vec<Vec<u8>>,
    /// The text after the second offset.
    pub end: Vec<u8>,
}
