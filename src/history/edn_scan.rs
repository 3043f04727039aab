//! An EDN scanner: single pass, own, and quick where histories are plain.

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

impl<'a> Edn<'a> {
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

    /// Any form.
    pub(super) fn form(&mut self) -> Result<Value, Flaw> {
        if self.depth == DEPTH_MAX {
            return Err(Flaw::new(self.at, "nested too deeply; expected at most 64 levels"));
        }
        self.depth += 1;
        let form = self.form_inside();
        self.depth -= 1;
        form
    }

    fn form_inside(&mut self) -> Result<Value, Flaw> {
        match self.peek() {
            Some(b'"') => self.text_value(),
            Some(b'[' | b'(') => self.sequence().map(Value::list),
            Some(b'{') => self.map(),
            Some(b'\\') => self.character(),
            Some(b'#') => self.dispatched(),
            Some(b':') => self.keyword("a keyword").map(Value::text),
            Some(byte) if !is_delimiter(byte) => {
                let start = self.at;
                let token = self.token();
                atom(token).ok_or_else(|| {
                    Flaw::new(start, format_args!("wrong number {token:?}; expected an EDN value"))
                })
            }
            _ => self.unexpected("an EDN value"),
        }
    }

    /// What begins with `#`: a set, `##NaN`, a regular expression, a tagged literal.
    fn dispatched(&mut self) -> Result<Value, Flaw> {
        match self.bytes.get(self.at + 1) {
            Some(b'{') => {
                self.at += 1;
                self.sequence().map(Value::list)
            }
            Some(b'#') => {
                self.at += 2;
                match self.token() {
                    name @ ("NaN" | "Inf" | "-Inf") => Ok(Value::text(name)),
                    _ => self.unexpected("NaN, Inf or -Inf after '##'"),
                }
            }
            Some(b'"') => {
                self.at += 1;
                self.string().map(|text| Value::text(&text))
            }
            Some(b'_') => {
                self.blanks()?;
                self.form()
            }
            _ => {
                let start = self.at;
                self.tags()?;
                if self.at == start {
                    return self.unexpected("a tagged literal, a set or ##NaN");
                }
                self.form()
            }
        }
    }

    /// The forms of a vector, a list or a set.
    fn sequence(&mut self) -> Result<Vec<Value>, Flaw> {
        let start = self.at;
        let close = closing(self.bytes[self.at]);
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.blanks()?;
            match self.peek() {
                Some(byte) if byte == close => {
                    self.at += 1;
                    return Ok(items);
                }
                None => return self.unclosed(start),
                Some(b'}' | b']' | b')') => {
                    return self.unexpected(&format!("{:?}", char::from(close)));
                }
                Some(_) => items.push(self.form()?),
            }
        }
    }

    /// Whether this bracket closes the one at `start`.
    pub(super) fn closes(&self, start: usize, close: u8) -> bool {
        closing(self.bytes[start]) == close
    }

    pub(super) fn unclosed<T>(&self, start: usize) -> Result<T, Flaw> {
        let open = char::from(self.bytes[start]);
        let close = char::from(closing(self.bytes[start]));
        Err(Flaw::new(start, format_args!("{open:?} is never closed; expected {close:?}")))
    }

    fn map(&mut self) -> Result<Value, Flaw> {
        let start = self.at;
        let items = self.sequence()?;
        if items.len() % 2 == 1 {
            return Err(Flaw::new(start, "a map with a key without a value; expected pairs"));
        }
        let mut entries = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            entries.push((key, value));
        }
        Ok(Value::Map(entries.into()))
    }

    fn text_value(&mut self) -> Result<Value, Flaw> {
        // Most strings have no escapes and are taken as they stand.
        let rest = &self.bytes[self.at + 1..];
        match rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
            Some(length) if rest[length] == b'"' => {
                let start = self.at + 1;
                self.at = start + length + 1;
                Ok(Value::text(&self.text[start..start + length]))
            }
            _ => self.string().map(|text| Value::text(&text)),
        }
    }

    /// A string; the cursor is at its quote.
    fn string(&mut self) -> Result<String, Flaw> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            let from = self.at;
            while self.peek().is_some_and(|byte| byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            text.push_str(&self.text[from..self.at]);
            match self.peek() {
                None => return Err(Flaw::new(start, "a string is never closed; expected '\"'")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(_) => {
                    self.at += 1;
                    text.push(self.escaped()?);
                }
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Flaw> {
        let escape = self.peek();
        self.at += 1;
        Ok(match escape {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(same @ (b'"' | b'\\' | b'\'' | b'/')) => char::from(same),
            Some(b'u') => {
                let digits = self.text.get(self.at..self.at + 4);
                let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
                self.at += if code.is_some() { 4 } else { 0 };
                match code {
                    // A half of a pair stands for a character that Java alone can hold.
                    Some(code) => char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER),
                    None => return self.unexpected("four hexadecimal digits"),
                }
            }
            _ => {
                self.at -= 1;
                return self.unexpected("an escaped character: n, t, r, b, f, u, '\"' or '\\'");
            }
        })
    }

    /// `\a`, `\newline`, `\u0041`.
    fn character(&mut self) -> Result<Value, Flaw> {
        self.at += 1;
        let Some(first) = self.text.get(self.at..).and_then(|rest| rest.chars().next()) else {
            return self.unexpected("a character after '\\'");
        };
        let start = self.at;
        self.at += first.len_utf8();
        self.token();
        let name = &self.text[start..self.at];
        let code = || u32::from_str_radix(name.strip_prefix('u')?, 16).ok();
        Ok(match name {
            "newline" => Value::text("\n"),
            "space" => Value::text(" "),
            "tab" => Value::text("\t"),
            "return" => Value::text("\r"),
            "backspace" => Value::text("\u{8}"),
            "formfeed" => Value::text("\u{c}"),
            _ if name.chars().count() == 1 => Value::text(name),
            _ => {
                let Some(character) = code().and_then(char::from_u32) else {
                    let what = format!("unknown character \\{name}; expected one character");
                    return Err(Flaw::new(start, what));
                };
                Value::text(character.encode_utf8(&mut [0; 4]))
            }
        })
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

/// A number, `true`, `nil` or a symbol; `None` if it looks like a number and is none.
fn atom(token: &str) -> Option<Value> {
    match token {
        "nil" => return Some(Value::Null),
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    let unsigned = token.strip_prefix(['+', '-']).unwrap_or(token);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(Value::text(token));
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let signed = token.strip_prefix('+').unwrap_or(token);
    let whole = signed.strip_suffix('N').unwrap_or(signed);
    if digits(whole.strip_prefix('-').unwrap_or(whole)) {
        return Some(whole.parse().map_or_else(|_| Value::text(whole), Value::Int));
    }
    if let Some((over, under)) = unsigned.split_once('/') {
        return (digits(over) && digits(under)).then(|| Value::text(signed));
    }
    if let Some(hex) = unsigned.strip_prefix("0x") {
        let number = i64::from_str_radix(hex, 16).ok()?;
        return Some(Value::Int(if token.starts_with('-') {
            number.wrapping_neg()
        } else {
            number
        }));
    }
    let number: f64 = signed.strip_suffix('M').unwrap_or(signed).parse().ok()?;
    Some(if number.is_finite() {
        Value::Decimal(number.to_string().into())
    } else {
        Value::text(token)
    })
}
