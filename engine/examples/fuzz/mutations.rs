//! Damages applications: bytes, JSON's tokens, numbers, escapes and UTF-8, and parts of other applications.

use crate::random::Random;

/// Bytes of a value.
const BYTES_MAX: usize = 512;

const TOKENS: [&[u8]; 62] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b" ",
    b"\n",
    b"\t",
    b"\r",
    b"\0",
    b"\x1f",
    b"\x7f",
    b"\xff",
    b"\xc0\x80",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xef\xbb\xbf",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"nul",
    b"-",
    b"+",
    b"0",
    b"9",
    b".",
    b"e",
    b"E",
    b"1e5",
    b"1e400",
    b"-0",
    b"0.",
    b"00",
    b"1e-99",
    b"\\u0061",
    b"\\ud800",
    b"\\udc00",
    b"\\ud83d\\ude00",
    b"\\u00",
    b"\\q",
    b"\\/",
    b"\\\"",
    b"99999999999999999",
    b"123456789012345678",
    b"0.30000000000000004",
    b"\"x\":1,",
    b"\"x\":{\"y\":[1,{}]},",
    b"//",
    b"\"2024-02-29\"",
    b"\"0000-00-00\"",
    b"T23:59:59.999999999-23:59",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
];

/// Returns one of the inputs, every second time one of the first ones, with some damage.
pub fn mutate(random: &mut Random, corpus: &[Vec<u8>], first: usize) -> Vec<u8> {
    let count = if random.chance(2) { first } else { corpus.len() };
    let mut value = corpus[random.below(count)].clone();
    for _ in 0..=random.below(3) {
        mutate_once(random, &mut value, corpus);
    }
    value.truncate(BYTES_MAX);
    value
}

fn mutate_once(random: &mut Random, value: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = random.below(value.len() + 1);
    let rest = value.len() - at;
    let some = |random: &mut Random| {
        let most = if random.chance(4) { 60 } else { 6 };
        1 + random.below(most)
    };
    match random.below(13) {
        0 if rest > 0 => value[at] ^= 1 << random.below(8),
        1 if rest > 0 => value[at] = random.byte(),
        2 | 3 => insert(value, at, random.choice(&TOKENS)),
        4 => {
            let token = random.choice(&TOKENS);
            value.splice(at..at + token.len().min(rest), token.iter().copied());
        }
        5 => drop(value.drain(at..at + some(random).min(rest))),
        6 => {
            let part = value[at..at + some(random).min(rest)].to_vec();
            let to = random.below(value.len() + 1);
            insert(value, to, &part);
        }
        7 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            value.truncate(at);
            value.extend_from_slice(&other[from..]);
        }
        8 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            insert(value, at, &other[from..from + some(random).min(other.len() - from)]);
        }
        9 if random.chance(4) => value.truncate(at),
        10 => {
            let part = random.choice(&[b"[" as &[u8], b"]", b"9", b"{\"a\":", b"}", b" ", b"0", "é".as_bytes()]);
            let most = if random.chance(10) { 210 } else { 4 };
            let count = 1 + random.below(most);
            insert(value, at, &part.repeat(count));
        }
        _ => replace_number(random, value, at),
    }
}

fn insert(value: &mut Vec<u8>, at: usize, part: &[u8]) {
    value.splice(at..at, part.iter().copied());
}

/// Replaces the next number, if there is one.
fn replace_number(random: &mut Random, value: &mut Vec<u8>, at: usize) {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let Some(start) = value[at..].iter().position(is_part).map(|distance| at + distance) else { return };
    let length = value[start..].iter().take_while(|byte| is_part(byte)).count();
    let mut number = Vec::new();
    if random.chance(3) {
        number.push(b'-');
    }
    digits(random, &mut number);
    if random.chance(2) {
        number.push(b'.');
        digits(random, &mut number);
    }
    if random.chance(3) {
        number.push(if random.chance(2) { b'e' } else { b'E' });
        number.extend_from_slice(random.choice(&[b"" as &[u8], b"-", b"+"]));
        number.extend_from_slice(random.below(130).to_string().as_bytes());
    }
    value.splice(start..start + length, number);
}

fn digits(random: &mut Random, number: &mut Vec<u8>) {
    let most = if random.chance(4) { 40 } else { 6 };
    number.extend((0..=random.below(most)).map(|_| b'0' + random.below(10) as u8));
}
