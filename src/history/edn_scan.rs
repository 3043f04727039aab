//! An EDN scanner: single pass, own, and quick where histories are plain.

mod form;

use crate::history::read::Flaw;
use crate::history::shape::part_from_name;
use crate::model::{Function, Value};

/// Values nested deeper than this are refused: reading them recurses.
const DEPTH_MAX: usize = 64;

/// A micro-operation of a transaction as it stands.
#[derive(Clone, Debug)]
pub(super) struct RawMop<'a> {
    pub(super) function: Function,
    pub(super) key: Atom<'a>,
    pub(super) value: RawValue,
}

/// A key as it stands.
#[derive(Clone, Debug)]
pub(super) enum Atom<'a> {
    Int(i64),
    Word(&'a str),
}

/// The value of a micro-operation as it stands.
#[derive(Clone, Debug)]
pub(super) enum RawValue {
    Nil,
    Int(i64),
    /// A list of integers: this many at this place of [`Edn::elements`].
    Ints(usize, usize),
    Other(Value),
}

/// The value of an operation. What histories are made of takes no memory of its own.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Absent,
    Nil,
    Int(i64),
    /// A vector of integers and nils, kept in [`Edn::ints`].
    Ints,
    /// Micro-operations, kept in [`Edn::mops`].
    Mops,
    /// A set.
    Set(Value),
    Other(Value),
}

/// A place in an EDN text.
pub(super) struct Edn<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    depth: usize,
    pub(super) ints: Vec<Option<i64>>,
    pub(super) mops: Vec<RawMop<'a>>,
    pub(super) elements: Vec<i64>,
}

/// What a slot refers to.
#[derive(Clone, Copy)]
pub(super) struct Contents<'c, 'a> {
    pub(super) ints: &'c [Option<i64>],
    pub(super) mops: &'c [RawMop<'a>],
    pub(super) elements: &'c [i64],
}

impl<'a> Edn<'a> {
    /// What the last slot refers to.
    pub(super) fn contents(&self) -> Contents<'_, 'a> {
        Contents { ints: &self.ints, mops: &self.mops, elements: &self.elements }
    }

    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            ints: Vec::new(),
            mops: Vec::new(),
            elements: Vec::new(),
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T, Flaw> {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the file ends".to_owned(),
            Some(found) => format!("found {found:?}"),
        };
        Err(Flaw::new(self.at, format_args!("{found}; expected {expected}")))
    }

    /// Passes blanks, commas, comments, discarded forms and metadata.
    pub(super) fn blanks(&mut self) -> Result<(), Flaw> {
        loop {
            match self.peek() {
                Some(b' ' | b',' | b'\n' | b'\t' | b'\r' | 0x0c) => self.at += 1,
                Some(b';') => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                Some(b'#') if self.bytes.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    self.discarded()?;
                }
                Some(b'^') => {
                    self.at += 1;
                    self.discarded()?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Passes a form. Its own blanks are passed here so that `#_ #_ a b` cannot recurse deeply.
    fn discarded(&mut self) -> Result<(), Flaw> {
        let mut pending = 1;
        while pending > 0 {
            match self.peek() {
                Some(b' ' | b',' | b'\n' | b'\t' | b'\r' | 0x0c) => self.at += 1,
                Some(b'#') if self.bytes.get(self.at + 1) == Some(&b'_') => {
                    self.at += 2;
                    pending += 1;
                }
                Some(b'^') => {
                    self.at += 1;
                    pending += 1;
                }
                Some(b';') => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                _ => {
                    self.form()?;
                    pending -= 1;
                }
            }
        }
        Ok(())
    }

    /// Passes the tag of a tagged literal, such as `#jepsen.history.Op`.
    pub(super) fn tags(&mut self) -> Result<(), Flaw> {
        while self.peek() == Some(b'#')
            && !matches!(self.bytes.get(self.at + 1), Some(b'{' | b'#' | b'"' | b'(') | None)
        {
            self.at += 1;
            if self.token().is_empty() {
                return self.unexpected("the name of a tag after '#'");
            }
            self.blanks()?;
        }
        Ok(())
    }

    /// A token: everything up to a blank or a bracket.
    fn token(&mut self) -> &'a str {
        let start = self.at;
        while let Some(byte) = self.peek() {
            if is_delimiter(byte) {
                break;
            }
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// A keyword, without its colon.
    pub(super) fn keyword(&mut self, expected: &str) -> Result<&'a str, Flaw> {
        let start = self.at;
        if self.peek() != Some(b':') {
            return self.unexpected(expected);
        }
        self.at += 1;
        let name = self.token();
        if name.is_empty() {
            self.at = start;
            return self.unexpected(expected);
        }
        Ok(name)
    }

    /// A keyword, a string without escapes or a symbol: a name.
    pub(super) fn name(&mut self, expected: &str) -> Result<&'a str, Flaw> {
        match self.peek() {
            Some(b':') => self.keyword(expected),
            Some(b'"') => {
                let start = self.at + 1;
                let rest = &self.bytes[start..];
                let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'));
                match length.filter(|length| rest[*length] == b'"') {
                    Some(length) => {
                        self.at = start + length + 1;
                        Ok(&self.text[start..start + length])
                    }
                    None => self.unexpected(expected),
                }
            }
            Some(byte) if byte.is_ascii_alphabetic() => Ok(self.token()),
            _ => self.unexpected(expected),
        }
    }

    /// An integer of at most 18 digits that ends here; otherwise the cursor stays.
    pub(super) fn int(&mut self) -> Option<i64> {
        let is_negative = self.peek() == Some(b'-');
        let first = self.at + usize::from(is_negative);
        let (mut at, mut number) = (first, 0_i64);
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(at) {
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            at += 1;
        }
        let ends = self.bytes.get(at).is_none_or(|byte| is_delimiter(*byte));
        if at == first || at - first > 18 || !ends {
            return None;
        }
        self.at = at;
        Some(if is_negative { -number } else { number })
    }

    /// Passes `nil`, if it is here.
    pub(super) fn nil(&mut self) -> bool {
        let is_nil = self.bytes[self.at..].starts_with(b"nil")
            && self.bytes.get(self.at + 3).is_none_or(|byte| is_delimiter(*byte));
        self.at += if is_nil { 3 } else { 0 };
        is_nil
    }

    /// The value of an operation.
    pub(super) fn slot(&mut self) -> Result<Slot, Flaw> {
        let start = self.at;
        match self.peek() {
            Some(b'n') if self.nil() => return Ok(Slot::Nil),
            Some(b'0'..=b'9' | b'-') => {
                if let Some(n) = self.int() {
                    return Ok(Slot::Int(n));
                }
            }
            Some(b'[' | b'(') => {
                if self.vector_of_ints() {
                    return Ok(Slot::Ints);
                }
                self.at = start;
                if self.vector_of_mops()? {
                    return Ok(Slot::Mops);
                }
                self.at = start;
            }
            _ => {}
        }
        let is_set = self.bytes[self.at..].starts_with(b"#{");
        let value = self.form()?;
        Ok(if is_set { Slot::Set(value) } else { Slot::Other(value) })
    }

    fn plain_blanks(&mut self) {
        while let Some(b' ' | b',' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn vector_of_ints(&mut self) -> bool {
        self.ints.clear();
        let close = closing(self.bytes[self.at]);
        self.at += 1;
        loop {
            self.plain_blanks();
            match self.peek() {
                Some(byte) if byte == close => {
                    self.at += 1;
                    return true;
                }
                Some(b'0'..=b'9' | b'-') => match self.int() {
                    Some(n) => self.ints.push(Some(n)),
                    None => return false,
                },
                Some(b'n') if self.nil() => self.ints.push(None),
                _ => return false,
            }
        }
    }

    /// Whether a non-empty vector of micro-operations is here, each `[:f key value]`.
    fn vector_of_mops(&mut self) -> Result<bool, Flaw> {
        self.mops.clear();
        self.elements.clear();
        let close = closing(self.bytes[self.at]);
        self.at += 1;
        loop {
            self.plain_blanks();
            match self.peek() {
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(!self.mops.is_empty());
                }
                Some(b'[' | b'(') => match self.mop()? {
                    Some(mop) => self.mops.push(mop),
                    None => return Ok(false),
                },
                _ => return Ok(false),
            }
        }
    }

    fn mop(&mut self) -> Result<Option<RawMop<'a>>, Flaw> {
        let close = closing(self.bytes[self.at]);
        self.at += 1;
        self.plain_blanks();
        if self.peek() != Some(b':') {
            return Ok(None);
        }
        self.at += 1;
        let function = match self.token() {
            "r" => Function::Read,
            "append" => Function::Append,
            "w" => Function::Write,
            other => match part_from_name(other) {
                Some(function) => function,
                None => return Ok(None),
            },
        };
        self.plain_blanks();
        let key = match self.peek() {
            Some(b'0'..=b'9' | b'-') => match self.int() {
                Some(n) => Atom::Int(n),
                None => return Ok(None),
            },
            Some(b':' | b'"') => Atom::Word(self.name("a key")?),
            _ => return Ok(None),
        };
        self.plain_blanks();
        let value = match self.peek() {
            Some(b'n') if self.nil() => RawValue::Nil,
            Some(b'[') => {
                let start = self.at;
                if self.vector_of_ints() && self.ints.iter().all(Option::is_some) {
                    let from = self.elements.len();
                    self.elements.extend(self.ints.iter().flatten());
                    RawValue::Ints(from, self.ints.len())
                } else {
                    self.at = start;
                    RawValue::Other(self.form()?)
                }
            }
            Some(b'0'..=b'9' | b'-') => match self.int() {
                Some(n) => RawValue::Int(n),
                None => RawValue::Other(self.form()?),
            },
            Some(byte) if byte == close => return Ok(None),
            _ => RawValue::Other(self.form()?),
        };
        self.plain_blanks();
        if self.peek() != Some(close) {
            return Ok(None);
        }
        self.at += 1;
        Ok(Some(RawMop { function, key, value }))
    }
}

fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b','
            | b'\n'
            | b'\t'
            | b'\r'
            | 0x0c
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'"'
            | b';'
    )
}

fn closing(open: u8) -> u8 {
    match open {
        b'[' => b']',
        b'(' => b')',
        _ => b'}',
    }
}
