//! Writes decisions as JSON.

use crate::tables::DecisionTable;

/// Bytes of a decision without its texts: two offsets, a PD.
const NUMBERS_BYTES_MAX: usize = 64;
/// Characters of a 64-bit integer.
const DIGITS_MAX: usize = 20;

/// The texts of one bundle's decisions.
pub struct DecisionEncoder {
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
        Ok(Self { to_id: table.to_id.clone(), outcomes, end: table.end.clone() })
    }

    /// Appends a decision: on an application's id, with its label and PD; `write_reasons` appends what follows the PD.
    pub fn write(
        &self,
        target: &mut Vec<u8>,
        (frame, offset): (&Frame, i64),
        id: &[u8],
        (label, probability): (u8, f32),
        write_reasons: impl Fn(&mut Vec<u8>),
    ) {
        let (mut number, mut digits) = (ryu::Buffer::new(), [0; DIGITS_MAX]);
        let offset = integer(offset, &mut digits);
        target.extend_from_slice(&frame.start);
        target.extend_from_slice(offset);
        target.extend_from_slice(&self.to_id);
        target.push(b'"');
        target.extend_from_slice(id);
        target.push(b'"');
        target.extend_from_slice(&self.outcomes[usize::from(label)]);
        target.extend_from_slice(number.format_finite(f64::from(probability)).as_bytes());
        write_reasons(target);
        target.extend_from_slice(&frame.to_offset);
        target.extend_from_slice(offset);
        target.extend_from_slice(&self.end);
    }

    /// About how many bytes a decision has.
    pub fn bytes_about(&self, frame: &Frame) -> usize {
        let texts = [&frame.start, &frame.to_offset, &self.to_id, &self.outcomes[0], &self.end];
        NUMBERS_BYTES_MAX + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

/// Writes an integer to the end of the digits: each decision has the same one twice, so it is formatted once.
fn integer(number: i64, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut start = DIGITS_MAX;
    let mut rest = number.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        start -= 1;
        digits[start] = b'-';
    }
    &digits[start..]
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
        let table = DecisionTable { to_id: "@id:".into(), outcomes, end: "}".into() };
        DecisionEncoder::new(&table).unwrap()
    }

    #[test]
    fn integers_are_written_in_full() {
        for number in [0, 7, 10, 1_042, -1, i64::MAX, i64::MIN] {
            assert_eq!(integer(number, &mut [0; DIGITS_MAX]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_decision_has_the_texts_and_the_shortest_numbers() {
        let frames =
            [3, 7].map(|partition| Frame { partition, start: format!("{partition}:").into(), to_offset: "#".into() });
        let mut hint = 0;
        let frame = frame_of(&frames, 7, &mut hint).unwrap();
        let mut text = Vec::new();
        encoder().write(&mut text, (frame, 1_042), "é".as_bytes(), (0, 0.1), |text| text.push(b'+'));
        assert_eq!(String::from_utf8(text).unwrap(), "7:1042@id:\"é\"|A|0.10000000149011612+#1042}");
        assert_eq!(hint, 1);
        assert!(frame_of(&frames, 4, &mut hint).is_none());
    }
}
