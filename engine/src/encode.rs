//! Decides, and writes decisions as JSON.

use std::io::Write;

use crate::tables::DecisionTable;

/// Bytes of a decision without its texts: two offsets, a PD.
const NUMBERS_BYTES_MAX: usize = 64;

/// The policy and the texts of one bundle.
pub struct DecisionEncoder {
    maybe_above: f64,
    declined_above: f64,
    to_id: Vec<u8>,
    outcomes: [Vec<u8>; 3],
    end: Vec<u8>,
}

/// The text of decisions on the records of one partition.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The partition.
    pub partition: i32,
    /// The text before the first offset.
    pub start: Vec<u8>,
    /// The text between the PD and the second offset.
    pub to_offset: Vec<u8>,
}

impl DecisionEncoder {
    /// Checks the table.
    pub fn new(table: &DecisionTable) -> Result<Self, String> {
        let outcomes = table.outcomes.clone().try_into().map_err(|_| "there are three labels")?;
        Ok(Self {
            maybe_above: table.maybe_above,
            declined_above: table.declined_above,
            to_id: table.to_id.clone(),
            outcomes,
            end: table.end.clone(),
        })
    }

    /// Returns the label of a PD.
    pub fn decide(&self, probability: f32) -> u8 {
        let exact = f64::from(probability);
        u8::from(exact > self.maybe_above) + u8::from(exact > self.declined_above)
    }

    /// Appends a decision.
    pub fn write(&self, target: &mut Vec<u8>, frame: &Frame, offset: i64, id: &[u8], probability: f32) {
        let mut number = ryu::Buffer::new();
        target.extend_from_slice(&frame.start);
        write_integer(target, offset);
        target.extend_from_slice(&self.to_id);
        target.push(b'"');
        target.extend_from_slice(id);
        target.push(b'"');
        target.extend_from_slice(&self.outcomes[usize::from(self.decide(probability))]);
        target.extend_from_slice(number.format_finite(f64::from(probability)).as_bytes());
        target.extend_from_slice(&frame.to_offset);
        write_integer(target, offset);
        target.extend_from_slice(&self.end);
    }

    /// About how many bytes a decision has.
    pub fn bytes_about(&self, frame: &Frame) -> usize {
        let texts = [&frame.start, &frame.to_offset, &self.to_id, &self.outcomes[0], &self.end];
        NUMBERS_BYTES_MAX + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

fn write_integer(target: &mut Vec<u8>, number: i64) {
    write!(target, "{number}").expect("a vector takes all bytes");
}

/// The frame of a partition; `hint` is the position of the one before, and is set.
pub fn frame_of<'a>(frames: &'a [Frame], partition: i32, hint: &mut usize) -> Option<&'a Frame> {
    if frames.get(*hint).is_none_or(|frame| frame.partition != partition) {
        *hint = frames.iter().position(|frame| frame.partition == partition)?;
    }
    frames.get(*hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder() -> DecisionEncoder {
        let outcomes = ["|A|", "|M|", "|D|"].map(|text| text.into()).to_vec();
        let table =
            DecisionTable { maybe_above: 0.25, declined_above: 0.5, to_id: "@id:".into(), outcomes, end: "}".into() };
        DecisionEncoder::new(&table).unwrap()
    }

    #[test]
    fn a_pd_equal_to_a_threshold_has_the_milder_label() {
        let labels = [0.0, 0.25, 0.250_000_03, 0.5, 0.500_000_06, 1.0].map(|probability| encoder().decide(probability));
        assert_eq!(labels, [0, 0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_decision_has_the_texts_and_the_shortest_numbers() {
        let frames =
            [3, 7].map(|partition| Frame { partition, start: format!("{partition}:").into(), to_offset: "#".into() });
        let mut hint = 0;
        let frame = frame_of(&frames, 7, &mut hint).unwrap();
        let mut text = Vec::new();
        encoder().write(&mut text, frame, 1_042, "é".as_bytes(), 0.1);
        assert_eq!(String::from_utf8(text).unwrap(), "7:1042@id:\"é\"|A|0.10000000149011612#1042}");
        assert_eq!(hint, 1);
        assert!(frame_of(&frames, 4, &mut hint).is_none());
    }
}
