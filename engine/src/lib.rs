//! The compiled engine: a batch of records' values in, encoded decisions out, with the bytes of the reference.
//!
//! The reference is `scorer/core` in Python. Everything here is driven by tables that Python compiles from a bundle;
//! nothing about a contract or a model is in this code. A record that the engine does not vouch for is left to the
//! reference: one that is invalid, or has escapes in a string of the contract, numbers with more than 17 digits, or
//! anything else that is unusual.

pub mod calendar;
pub mod columns;
pub mod decode;
pub mod encode;
pub mod fields;
pub mod json;
pub mod keys;
pub mod policy;
pub mod program;
#[cfg(feature = "python")]
mod python;
pub mod reasons;
pub mod tables;
pub mod texts;
pub mod trees;
pub mod words;

use columns::Columns;
use decode::Decoder;
use encode::{DecisionEncoder, Frame, frame_of};
use policy::{Matched, Policy};
use reasons::{Explainer, Reasons};
use tables::{ColumnsTable, DecisionTable, FieldTable, ObjectTable, PolicyTable, ReasonsTable, TreesTable};
use trees::Forest;

/// The engine of one bundle.
pub struct Engine {
    decoder: Decoder,
    columns: Columns,
    policy: Policy,
    encoder: DecisionEncoder,
    forest: Option<Forest>,
    explainer: Option<Explainer>,
}

/// Records that the engine has decoded, in order; the other ones are left to the reference.
#[derive(Debug, Default)]
pub struct Decoded {
    /// Their positions in the batch.
    pub positions: Vec<usize>,
    /// The matrix, row by row.
    pub matrix: Vec<f32>,
    /// The applications' ids, one after another.
    ids: Vec<u8>,
    /// The end of each id.
    ends: Vec<usize>,
    /// What the policy found in the fields.
    matched: Vec<Matched>,
}

impl Decoded {
    /// The rule that decides each record, or -1.
    pub fn rules(&self) -> Vec<i16> {
        self.matched.iter().map(|matched| matched.rule).collect()
    }
}

/// Decisions on records that the engine has decoded, in order.
#[derive(Debug, Default)]
pub struct Decisions {
    /// The decisions, one after another.
    pub text: Vec<u8>,
    /// The end of each decision.
    pub ends: Vec<usize>,
}

impl Engine {
    /// Checks the tables; a model without trees is run by somebody else, between `decode` and `encode`.
    pub fn new(
        contract: (&[ObjectTable], &[FieldTable], usize),
        columns: &ColumnsTable,
        policy: &PolicyTable,
        decisions: &DecisionTable,
        model: (Option<&TreesTable>, Option<&ReasonsTable>),
    ) -> Result<Self, String> {
        let (objects, fields, id_field) = contract;
        let decoder = Decoder::new(objects, fields, id_field)?;
        let columns = Columns::new(columns, &decoder)?;
        let policy = Policy::new(policy, &decoder)?;
        let encoder = DecisionEncoder::new(decisions)?;
        let forest = model.0.map(|table| Forest::new(table, columns.width())).transpose()?;
        let explainer = model.1.map(|table| Explainer::new(table, columns.width())).transpose()?;
        if explainer.as_ref().is_some_and(|explainer| !policy.has_reasons_below(explainer.entries())) {
            return Err("a rule has no such reason".into());
        }
        Ok(Self { decoder, columns, policy, encoder, forest, explainer })
    }

    /// Whether the engine predicts, too.
    pub fn has_trees(&self) -> bool {
        self.forest.is_some()
    }

    /// Decodes values; None is a record that is not to be decoded.
    pub fn decode(&self, values: &[Option<&[u8]>]) -> Decoded {
        let width = self.columns.width();
        let mut decoded = Decoded::default();
        decoded.matrix.reserve(values.len() * width);
        let mut reading = self.decoder.reading();
        let mut pending = self.policy.pending();
        let mut stack = Vec::new();
        for (position, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            if self.decoder.read(value, &mut reading).is_none() {
                continue;
            }
            let start = decoded.matrix.len();
            decoded.matrix.resize(start + width, 0.0);
            let written = self.columns.write(&reading.values, &mut decoded.matrix[start..], &mut stack);
            if written.and_then(|()| self.policy.add(&reading.values, &mut pending, &mut decoded.matched)).is_none() {
                decoded.matrix.truncate(start);
                continue;
            }
            decoded.positions.push(position);
            decoded.ids.extend_from_slice(&value[reading.id.clone()]);
            decoded.ends.push(decoded.ids.len());
        }
        self.policy.apply_rules(&mut pending, &mut decoded.matched);
        decoded
    }

    /// Returns the PDs. None if the engine has no trees, or if a result is not a probability.
    pub fn predict(&self, decoded: &Decoded) -> Option<Vec<f32>> {
        let probabilities = self.forest.as_ref()?.predict(&decoded.matrix);
        probabilities.iter().all(|probability| (0.0..=1.0).contains(probability)).then_some(probabilities)
    }

    /// Returns the label of each decoded record; that of a PD that is NaN counts for nothing.
    pub fn decide(&self, decoded: &Decoded, probabilities: &[f32]) -> Vec<u8> {
        let matched = decoded.matched.iter().zip(probabilities);
        matched.map(|(matched, probability)| self.policy.decide(*matched, *probability)).collect()
    }

    /// Returns the reasons of each decision; an empty vector if the bundle has no catalogue.
    pub fn explain(&self, decoded: &Decoded, labels: &[u8]) -> Vec<Reasons> {
        let Some(explainer) = &self.explainer else { return Vec::new() };
        let leading: Vec<u8> = decoded.matched.iter().map(|matched| self.policy.reason(*matched)).collect();
        explainer.explain(&decoded.matrix, labels, &leading)
    }

    /// Returns the text of each decision's reasons.
    pub fn write_reasons(&self, reasons: &[Reasons]) -> impl Fn(usize, &mut Vec<u8>) {
        move |row, text| {
            if let (Some(explainer), Some(reasons)) = (&self.explainer, reasons.get(row)) {
                explainer.write(text, *reasons);
            }
        }
    }

    /// Encodes the decisions on decoded records; None if a partition has no frame, or numbers are missing.
    ///
    /// `partitions` and `offsets` are those of the whole batch. A PD that is NaN has no decision, and an empty text.
    /// `write_reasons` appends the text of the reasons of the decision at a position.
    pub fn encode(
        &self,
        decoded: &Decoded,
        decided: (&[u8], &[f32]),
        source: (&[i32], &[i64]),
        frames: &[Frame],
        write_reasons: impl Fn(usize, &mut Vec<u8>),
    ) -> Option<Decisions> {
        let (partitions, offsets) = source;
        let (labels, probabilities) = decided;
        if [labels.len(), probabilities.len()] != [decoded.positions.len(); 2] {
            return None;
        }
        let bytes_about = frames.first().map_or(0, |frame| self.encoder.bytes_about(frame));
        let mut decisions = Decisions::default();
        decisions.text.reserve(probabilities.len() * bytes_about + decoded.ids.len());
        decisions.ends.reserve(probabilities.len());
        let (mut id_start, mut hint) = (0, 0);
        let decided = labels.iter().copied().zip(probabilities.iter().copied());
        let rows = decoded.positions.iter().zip(decided).zip(&decoded.ends);
        for (row, ((position, decided), id_end)) in rows.enumerate() {
            if !decided.1.is_nan() {
                let frame = frame_of(frames, *partitions.get(*position)?, &mut hint)?;
                let id = &decoded.ids[id_start..*id_end];
                let offset = *offsets.get(*position)?;
                let write_reasons = |text: &mut Vec<u8>| write_reasons(row, text);
                self.encoder.write(&mut decisions.text, (frame, offset), id, decided, write_reasons);
            }
            id_start = *id_end;
            decisions.ends.push(decisions.text.len());
        }
        Some(decisions)
    }
}

/// Runs a function; a panic in it is a value, and prints nothing.
pub fn without_panic<T>(function: impl FnOnce() -> T) -> Result<T, Panicked> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(function)).map_err(|_| Panicked)
}

/// The engine panicked: a fault in this crate. Its message is not kept, because it could have values of an application.
#[derive(Debug, PartialEq, Eq)]
pub struct Panicked;

#[cfg(test)]
mod tests {
    use super::*;

    fn engine() -> Engine {
        let (objects, fields) = decode::tests::tables();
        let columns = ColumnsTable { width: 1, numbers: vec![(0, 1)], ..ColumnsTable::default() };
        let policy = PolicyTable { thresholds: vec![(0.3, 0.5)], ..PolicyTable::default() };
        let decisions =
            DecisionTable { outcomes: vec![b"|".to_vec(); 3], end: b".".to_vec(), ..DecisionTable::default() };
        Engine::new((&objects, &fields, 0), &columns, &policy, &decisions, (None, None)).unwrap()
    }

    fn frames() -> Vec<Frame> {
        vec![Frame { partition: 0, start: b"<".to_vec(), to_offset: b">".to_vec() }]
    }

    #[test]
    fn a_rule_has_a_reason_of_the_catalogue_or_none() {
        let (objects, fields) = decode::tests::tables();
        let columns = ColumnsTable { width: 1, numbers: vec![(0, 1)], ..ColumnsTable::default() };
        let reasons = ReasonsTable { codes: vec![b"A".to_vec()], is_used: vec![true], ..ReasonsTable::default() };
        let decisions = DecisionTable { outcomes: vec![b"|".to_vec(); 3], ..DecisionTable::default() };
        let opens = |reason: u8| {
            let rules = vec![(vec![program::tests::step("constant", 0, 1.0)], 1, reason)];
            let policy = PolicyTable { thresholds: vec![(0.3, 0.5)], rules, ..PolicyTable::default() };
            Engine::new((&objects, &fields, 0), &columns, &policy, &decisions, (None, Some(&reasons))).is_ok()
        };
        assert_eq!([opens(0), opens(1), opens(reasons::NONE)], [true, false, true]);
    }

    #[test]
    fn what_is_left_does_not_move_the_others() {
        let engine = engine();
        let values: [Option<&[u8]>; 5] = [
            None,
            Some(br#"{"id":"a","income":1}"#),
            Some(br#"{"id":"b"}"#),
            Some(br#"{"id":"c","income":3}"#),
            Some(br#"{"id":"d","income":4}"#),
        ];
        let decoded = engine.decode(&values);
        assert_eq!((&decoded.positions[..], &decoded.matrix[..]), (&[1, 3, 4][..], &[1.0, 3.0, 4.0][..]));
        let source = (&[0; 5][..], &[10, 11, 12, 13, 14][..]);
        let probabilities = [0.5, f32::NAN, 0.25];
        let labels = engine.decide(&decoded, &probabilities);
        assert_eq!([labels[0], labels[2]], [1, 0]);
        let write_reasons = |row: usize, text: &mut Vec<u8>| text.push(b'0' + row as u8);
        let decisions = engine.encode(&decoded, (&labels, &probabilities), source, &frames(), write_reasons).unwrap();
        assert_eq!(decisions.text, br#"<11"a"|0.50>11.<14"d"|0.252>14."#);
        assert_eq!(decisions.ends, [15, 15, 31]);
    }

    #[test]
    fn arguments_that_do_not_fit_together_are_no_decisions() {
        let engine = engine();
        let decoded = engine.decode(&[Some(br#"{"id":"a","income":1}"#)]);
        assert!(engine.encode(&decoded, (&[0], &[]), (&[0], &[0]), &frames(), |_, _| ()).is_none());
        assert!(engine.encode(&decoded, (&[], &[0.5]), (&[0], &[0]), &frames(), |_, _| ()).is_none());
        assert!(engine.encode(&decoded, (&[0], &[0.5]), (&[], &[0]), &frames(), |_, _| ()).is_none());
        assert!(engine.encode(&decoded, (&[0], &[0.5]), (&[0], &[]), &frames(), |_, _| ()).is_none());
        assert!(engine.encode(&decoded, (&[0], &[0.5]), (&[1], &[0]), &frames(), |_, _| ()).is_none());
        assert!(engine.predict(&decoded).is_none());
    }

    #[test]
    fn a_panic_is_a_value() {
        assert_eq!(without_panic(|| 1), Ok(1));
        let none: [u8; 0] = [];
        assert_eq!(without_panic(|| none[std::hint::black_box(7)]), Err(Panicked));
    }
}
