//! Texts as who decodes them reads them: without escapes, out of base64, out of hexadecimal.
//!
//! Decoders of whole texts say nothing of where a byte came from, and refuse what is not encoded as a whole; here any part may
//! be. They get one escape, or one run of digits, at a time.

use std::ops::Range;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// How many encodings are taken off a text, one after the other.
const DEPTH: usize = 2;
/// The shortest run of digits that is decoded; fewer stand for fewer than six bytes of base64, or four of hexadecimal.
const SHORTEST_RUN: usize = 8;
/// What stands between two runs that were decoded: no byte of UTF-8.
const BETWEEN: u8 = 0xff;

/// Base64, with the digits of either alphabet, padded or not.
const BASE64: Digits = Digits {
    bits: 6,
    group: 4,
    between: line_break,
    standard: |digit| match digit {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        _ => (digit.is_ascii_alphanumeric() || b"+/".contains(&digit)).then_some(digit),
    },
    decode: |digits| LENIENT.decode(digits).ok(),
};
/// A decoder that also takes what was cut off.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Hexadecimal, also with something between two bytes.
const HEXADECIMAL: Digits = Digits {
    bits: 4,
    group: 2,
    between: |text| match text {
        [b'0', b'x' | b'X', ..] => 2,
        [b':' | b'-' | b',' | b'.' | b'_', ..] => 1,
        _ => line_break(text),
    },
    standard: |digit| digit.is_ascii_hexdigit().then_some(digit),
    decode: |digits| hex::decode(digits).ok(),
};

/// The names that HTML has for characters of ASCII.
const ENTITIES: [(&str, u8); 34] = [
    ("amp", b'&'),
    ("lt", b'<'),
    ("gt", b'>'),
    ("quot", b'"'),
    ("apos", b'\''),
    ("nbsp", b' '),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("lowbar", b'_'),
    ("grave", b'`'),
    ("lcub", b'{'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("rcub", b'}'),
];

/// A text after encodings were taken off.
pub(super) struct Reading<'a> {
    pub(super) bytes: Vec<u8>,
    /// What it was read from: nothing for the text itself.
    source: Option<&'a Reading<'a>>,
    /// Where in the source its bytes come from, in order. Looked up only for what is found: that is rare.
    pieces: Vec<Piece>,
    /// Where in the source the digits are.
    digits: Vec<usize>,
}

/// Some bytes of a reading, up to the next piece.
struct Piece {
    /// The first of them.
    start: usize,
    origin: Origin,
}

/// What bytes were read from.
enum Origin {
    /// As many bytes of the source, from this one on.
    Copied(usize),
    /// An escape in the source.
    Escape(Range<usize>),
    /// Digits of so many bits, from this one on.
    Digits { first: usize, bits: usize },
}

/// Bytes as digits.
struct Digits {
    /// How many bits a digit stands for.
    bits: usize,
    /// How many digits stand for whole bytes.
    group: usize,
    /// Returns the length of what a text begins with, if that may stand between two digits; else 0.
    between: fn(&[u8]) -> usize,
    /// Returns a digit as the decoder wants it; nothing of what is no digit.
    standard: fn(u8) -> Option<u8>,
    decode: fn(&[u8]) -> Option<Vec<u8>>,
}

/// What an escape at the beginning of a text stands for, and how many bytes it takes there.
type Escape = (Vec<u8>, usize);

/// One way to read a text; `None` where nothing in it is encoded so.
type Decoder = for<'a> fn(&'a Reading<'a>) -> Option<Reading<'a>>;

const DECODERS: [Decoder; 5] = [
    |text| text.without(b'\\', backslash),
    |text| text.without(b'%', percent),
    |text| text.without(b'&', entity),
    |text| text.out_of(&BASE64),
    |text| text.out_of(&HEXADECIMAL),
];

/// Calls `see` with every reading of a text: as it is, and with up to [`DEPTH`] encodings taken off, in each order.
///
/// Each decoder on its own: where all escapes went at once, one that is a part of the secret would go, too.
pub(super) fn each(text: &str, see: &mut impl FnMut(&Reading)) {
    below(&Reading::new(text.as_bytes().to_vec(), None), DEPTH, see);
}

fn below(reading: &Reading, depth: usize, see: &mut impl FnMut(&Reading)) {
    see(reading);
    if depth > 0 {
        let decoded = DECODERS.iter().filter_map(|decode| decode(reading));
        decoded.for_each(|decoded| below(&decoded, depth - 1, see));
    }
}

impl<'a> Reading<'a> {
    fn new(bytes: Vec<u8>, source: Option<&'a Self>) -> Self {
        Self {
            bytes,
            source,
            pieces: Vec::new(),
            digits: Vec::new(),
        }
    }

    /// Returns the part of the text that a part of this was read from.
    pub(super) fn place(&self, part: &Range<usize>) -> Range<usize> {
        match self.source {
            None => part.clone(),
            Some(source) => {
                let start = self.origin(part.start).start;
                let end = self.origin(part.end - 1).end;
                source.place(&(start..end))
            }
        }
    }

    /// Returns the part of the source that a byte was read from.
    fn origin(&self, byte: usize) -> Range<usize> {
        let after = self.pieces.partition_point(|piece| piece.start <= byte);
        let Some(piece) = after.checked_sub(1).and_then(|at| self.pieces.get(at)) else {
            return 0..0;
        };
        let number = byte - piece.start;
        match &piece.origin {
            Origin::Copied(from) => from + number..from + number + 1,
            Origin::Escape(escape) => escape.clone(),
            Origin::Digits { first, bits } => {
                let start = first + number * 8 / bits;
                let last = first + ((number + 1) * 8).div_ceil(*bits) - 1;
                self.digits[start]..self.digits[last] + 1
            }
        }
    }

    fn push(&mut self, bytes: &[u8], origin: Origin) {
        let start = self.bytes.len();
        self.pieces.push(Piece { start, origin });
        self.bytes.extend_from_slice(bytes);
    }

    /// Replaces each escape by what it stands for; `begin` is the byte with which it begins.
    fn without(&'a self, begin: u8, escape: fn(&[u8]) -> Option<Escape>) -> Option<Self> {
        let mut plain = Self::new(Vec::new(), Some(self));
        let (mut copied, mut at) = (0, 0);
        while let Some(next) = self.bytes[at..].iter().position(|byte| *byte == begin) {
            at += next;
            let Some((bytes, length)) = escape(&self.bytes[at..]) else {
                at += 1;
                continue;
            };
            plain.push(&self.bytes[copied..at], Origin::Copied(copied));
            plain.push(&bytes, Origin::Escape(at..at + length));
            at += length;
            copied = at;
        }
        plain.push(&self.bytes[copied..], Origin::Copied(copied));
        (copied > 0).then_some(plain)
    }

    /// Decodes each run of digits, once from each digit that may be the first of a group.
    fn out_of(&'a self, form: &Digits) -> Option<Self> {
        let mut decoded = Self::new(Vec::new(), Some(self));
        let (digits, runs) = self.runs(form, &mut decoded.digits);
        for run in runs {
            for first in run.clone().take(form.group) {
                let given = &digits[first..run.end];
                let groups = &given[..given.len() - given.len() % form.group];
                // Some of a group is enough for a byte; a digit of it is not.
                let bytes = (form.decode)(given).or_else(|| (form.decode)(groups));
                let bits = form.bits;
                decoded.push(&bytes.unwrap_or_default(), Origin::Digits { first, bits });
                decoded.bytes.push(BETWEEN);
            }
        }
        (!decoded.bytes.is_empty()).then_some(decoded)
    }

    /// Returns the digits of all runs, and which of them each run has; adds their places.
    fn runs(&self, form: &Digits, places: &mut Vec<usize>) -> (Vec<u8>, Vec<Range<usize>>) {
        let (mut digits, mut runs) = (Vec::new(), Vec::new());
        let (mut at, mut start) = (0, 0);
        while let Some(byte) = self.bytes.get(at) {
            let between = (form.between)(&self.bytes[at..]);
            if between > 0 {
                at += between;
                continue;
            }
            match (form.standard)(*byte) {
                Some(digit) => {
                    digits.push(digit);
                    places.push(at);
                }
                None if digits.len() - start < SHORTEST_RUN => {
                    digits.truncate(start);
                    places.truncate(start);
                }
                None => {
                    runs.push(start..digits.len());
                    start = digits.len();
                }
            }
            at += 1;
        }
        runs.push(start..digits.len());
        runs.retain(|run| run.len() >= SHORTEST_RUN);
        (digits, runs)
    }
}

/// Returns the length of what stands between two lines, also where a text was made one line, or quoted; else 0.
fn line_break(text: &[u8]) -> usize {
    match text {
        [b' ', b'/', b' ', ..] => 3,
        [b'\\', b'r' | b'n', ..] => 2,
        [b'\r' | b'\n' | b'\t' | b' ', ..] => 1,
        _ => 0,
    }
}

/// Reads an escape of JSON, of a programming language, or of git, which writes bytes in octal.
fn backslash(text: &[u8]) -> Option<Escape> {
    let byte = match text.get(1)? {
        b'u' => return unicode(text),
        b'U' => return letter(number(text.get(2..10)?, 16)?, 10),
        b'x' => return Some((vec![u8::try_from(number(text.get(2..4)?, 16)?).ok()?], 4)),
        b'0'..=b'7' => {
            let digits = text[1..].iter().take(3);
            let length = digits
                .take_while(|byte| matches!(byte, b'0'..=b'7'))
                .count();
            let byte = u8::try_from(number(&text[1..=length], 8)?).ok()?;
            return Some((vec![byte], 1 + length));
        }
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'v' => 0x0b,
        b'a' => 0x07,
        b'e' => 0x1b,
        other if other.is_ascii_punctuation() => *other,
        _ => return None,
    };
    Some((vec![byte], 2))
}

/// Reads `\u0041`, two of them for a character beyond 16 bits, and `\u{41}`.
fn unicode(text: &[u8]) -> Option<Escape> {
    if text.get(2) == Some(&b'{') {
        let digits = text[3..].iter().take(6);
        let length = digits.take_while(|byte| byte.is_ascii_hexdigit()).count();
        let is_closed = text.get(3 + length) == Some(&b'}');
        return letter(number(&text[3..3 + length], 16)?, 4 + length).filter(|_| is_closed);
    }
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        u16::try_from(number(digits, 16)?).ok()
    };
    let units = [Some(unit(text)?), text.get(6..).and_then(unit)];
    let first = char::decode_utf16(units.into_iter().flatten())
        .next()?
        .ok()?;
    Some((first.to_string().into_bytes(), 6 * first.len_utf16()))
}

/// Reads `%41`, and `%u0041` as JavaScript once wrote it.
fn percent(text: &[u8]) -> Option<Escape> {
    if text.get(1) == Some(&b'u') {
        return letter(number(text.get(2..6)?, 16)?, 6);
    }
    let byte = number(text.get(1..3)?, 16)?;
    Some((vec![u8::try_from(byte).ok()?], 3))
}

/// Reads `&#65;`, `&#x41;` and, of ASCII, `&amp;` and the other names.
fn entity(text: &[u8]) -> Option<Escape> {
    let end = text.iter().take(12).position(|byte| *byte == b';')?;
    match text.get(1..end)? {
        [b'#', b'x' | b'X', digits @ ..] => letter(number(digits, 16)?, end + 1),
        [b'#', digits @ ..] => letter(number(digits, 10)?, end + 1),
        name => {
            let mut entities = ENTITIES.iter();
            let (_, byte) = entities.find(|(known, _)| known.as_bytes() == name)?;
            Some((vec![*byte], end + 1))
        }
    }
}

fn letter(number: u32, length: usize) -> Option<Escape> {
    let letter = char::from_u32(number)?;
    Some((letter.to_string().into_bytes(), length))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    // The standard library would also take a sign.
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let digits = digits.iter().all(is_digit).then_some(digits)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
