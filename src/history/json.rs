//! A JSON scanner for lines: strict, and made for short fields.

use std::borrow::Cow;

use crate::history::read::Flaw;
use crate::model::{Function, Value};

/// Values nested deeper than this are refused: reading them recurses.
pub(super) const DEPTH_MAX: usize = 64;

/// The value of a `key` or `value` field. What histories are made of takes no memory of its own.
#[derive(Clone, Debug)]
pub(super) enum Slot<'a> {
    Absent,
    Null,
    Int(i64),
    Text(&'a str),
    /// A list of integers and nulls, kept in [`Json::ints`].
    Ints,
    Other(Value),
}

/// A place in a text of JSON lines.
pub(super) struct Json<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    /// The elements of the last [`Slot::Ints`].
    pub(super) ints: Vec<Option<i64>>,
}

impl<'a> Json<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, ints: Vec::new() }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn flaw<T>(&self, what: &str) -> Result<T, Flaw> {
        Err(Flaw::new(self.at, what))
    }

    /// Something else than `expected` is here.
    fn unexpected<T>(&self, expected: &str) -> Result<T, Flaw> {
        let found = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None => "the file ends".to_owned(),
            Some('\n' | '\r') => "the line ends".to_owned(),
            Some(found) => format!("found {found:?}"),
        };
        Err(Flaw::new(self.at, format_args!("{found}; expected {expected}")))
    }

    pub(super) fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Passes empty lines.
    pub(super) fn blank_lines(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// The end of a line.
    pub(super) fn end_of_line(&mut self) -> Result<(), Flaw> {
        self.blanks();
        match self.peek() {
            None => Ok(()),
            Some(b'\n') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => self.unexpected("the end of the line after the object"),
        }
    }

    fn punctuation(&mut self, byte: u8, expected: &str) -> Result<(), Flaw> {
        self.blanks();
        if self.peek() != Some(byte) {
            return self.unexpected(expected);
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn open_object(&mut self) -> Result<(), Flaw> {
        self.punctuation(b'{', "a JSON object, which begins with '{'")
    }

    /// The name of the next field, with its colon passed; `None` at the end of the object.
    pub(super) fn field(&mut self, is_first: bool) -> Result<Option<&'a str>, Flaw> {
        self.blanks();
        match self.peek() {
            Some(b'}') => {
                self.at += 1;
                return Ok(None);
            }
            Some(b',') if !is_first => {
                self.at += 1;
                self.blanks();
            }
            _ if !is_first => return self.unexpected("',' or '}'"),
            _ => {}
        }
        if self.peek() != Some(b'"') {
            return self.unexpected("the name of a field in quotes");
        }
        let name = match self.string()? {
            Scanned::Plain(name) => name,
            Scanned::Escaped(_) => return self.unexpected("the name of a field without escapes"),
        };
        self.punctuation(b':', "':' after the name of a field")?;
        self.blanks();
        Ok(Some(name))
    }

    /// A string; the cursor is at its quote.
    fn string(&mut self) -> Result<Scanned<'a>, Flaw> {
        let start = self.at;
        self.at += 1;
        let mut is_plain = true;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') if self.bytes.get(self.at + 1).is_some_and(|byte| *byte >= 0x20) => {
                    is_plain = false;
                    self.at += 2;
                }
                Some(b'\\') => {
                    self.at += 1;
                    return self.unexpected("an escaped character");
                }
                Some(0..=0x1f) | None => return self.unexpected("'\"' at the end of a string"),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        if is_plain {
            return Ok(Scanned::Plain(&self.text[start + 1..self.at - 1]));
        }
        match serde_json::from_str(self.text.get(start..self.at).unwrap_or_default()) {
            Ok(text) => Ok(Scanned::Escaped(text)),
            Err(_) => Err(Flaw::new(start, "wrong escape in a string; expected a JSON string")),
        }
    }

    /// A string field without escapes: a name of ours.
    pub(super) fn word(&mut self, expected: &str) -> Result<&'a str, Flaw> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return self.unexpected(expected);
        }
        match self.string()? {
            Scanned::Plain(word) => Ok(word),
            Scanned::Escaped(_) => {
                Err(Flaw::new(start, format_args!("escapes in a name; expected {expected}")))
            }
        }
    }

    /// A string field of any content.
    pub(super) fn text(&mut self, expected: &str) -> Result<Cow<'a, str>, Flaw> {
        if self.peek() != Some(b'"') {
            return self.unexpected(expected);
        }
        Ok(match self.string()? {
            Scanned::Plain(text) => Cow::Borrowed(text),
            Scanned::Escaped(text) => Cow::Owned(text),
        })
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Flaw> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.bytes[self.at..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.unexpected("true or false")
    }

    /// Passes `null`, if it is here.
    pub(super) fn null(&mut self) -> bool {
        let is_null = self.bytes[self.at..].starts_with(b"null");
        self.at += if is_null { 4 } else { 0 };
        is_null
    }

    pub(super) fn is_at_text(&self) -> bool {
        self.peek() == Some(b'"')
    }

    /// A whole number up to `max`.
    pub(super) fn natural(&mut self, max: u64, expected: &str) -> Result<u64, Flaw> {
        let start = self.at;
        let mut number: u64 = 0;
        let mut fits = true;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let next =
                number.checked_mul(10).and_then(|ten| ten.checked_add(u64::from(digit - b'0')));
            fits &= next.is_some();
            number = next.unwrap_or(0);
            self.at += 1;
        }
        let is_padded = self.at > start + 1 && self.bytes[start] == b'0';
        let goes_on = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if start == self.at || is_padded || goes_on || !fits || number > max {
            self.at = start;
            return self.unexpected(expected);
        }
        Ok(number)
    }

    pub(super) fn integer(&mut self, expected: &str) -> Result<i64, Flaw> {
        let start = self.at;
        if let Ok(Value::Int(n)) = self.number() {
            return Ok(n);
        }
        self.at = start;
        self.unexpected(expected)
    }

    /// A time in milliseconds, with a fraction at will, as nanoseconds. Rounding never swaps two
    /// times; at worst it makes them equal, and so concurrent.
    pub(super) fn millis(&mut self) -> Result<u64, Flaw> {
        let start = self.at;
        let text = self.number_text()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let nanos = if digits(whole) && digits(fraction) {
            let digit = |at: usize| fraction.as_bytes().get(at).map_or(0, |byte| byte - b'0');
            let fraction = (0..6).fold(0, |ns, at| 10 * ns + u64::from(digit(at)));
            let whole = whole.parse::<u64>().ok().and_then(|ms| ms.checked_mul(1_000_000));
            whole.and_then(|ns| ns.checked_add(fraction))
        } else {
            text.parse::<f64>()
                .ok()
                .filter(|ms| (0.0..1e13).contains(ms))
                .map(|ms| (ms * 1e6) as u64)
        };
        nanos.filter(|ns| *ns < u64::MAX).ok_or_else(|| {
            Flaw::new(start, format_args!("time {text} out of range; expected milliseconds from 0"))
        })
    }

    /// The text of a number, strictly as JSON has it.
    fn number_text(&mut self) -> Result<&'a str, Flaw> {
        let start = self.at;
        let digits = |json: &mut Self| {
            let start = json.at;
            while let Some(b'0'..=b'9') = json.peek() {
                json.at += 1;
            }
            json.at - start
        };
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let first = self.at;
        let whole = digits(self);
        if whole == 0 || (whole > 1 && self.bytes[first] == b'0') {
            self.at = first;
            return self.unexpected("a number");
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if digits(self) == 0 {
                return self.unexpected("a digit");
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if digits(self) == 0 {
                return self.unexpected("a digit");
            }
        }
        Ok(&self.text[start..self.at])
    }

    fn number(&mut self) -> Result<Value, Flaw> {
        Ok(number_value(self.number_text()?))
    }

    /// Any value, as it stands in a `key` field.
    pub(super) fn key_slot(&mut self) -> Result<Slot<'a>, Flaw> {
        // A list must not overwrite the elements of a value that stands before the key.
        if self.peek() == Some(b'[') { self.value(0).map(Slot::Other) } else { self.slot() }
    }

    /// Any value, as it stands in a `value` field.
    pub(super) fn slot(&mut self) -> Result<Slot<'a>, Flaw> {
        match self.peek() {
            Some(b'"') => Ok(match self.string()? {
                Scanned::Plain(text) => Slot::Text(text),
                Scanned::Escaped(text) => Slot::Other(Value::text(&text)),
            }),
            Some(b'0'..=b'9' | b'-') => Ok(match self.short_int() {
                Some(n) => Slot::Int(n),
                None => Slot::Other(self.number()?),
            }),
            Some(b'n') if self.null() => Ok(Slot::Null),
            Some(b'[') => {
                let start = self.at;
                if self.list_of_ints() {
                    return Ok(Slot::Ints);
                }
                self.at = start;
                self.value(0).map(Slot::Other)
            }
            _ => self.value(0).map(Slot::Other),
        }
    }

    /// An integer of at most 18 digits; leaves the cursor where it was if it is no such thing.
    fn short_int(&mut self) -> Option<i64> {
        let start = self.at;
        let is_negative = self.bytes[start] == b'-';
        let first = start + usize::from(is_negative);
        let (mut at, mut number) = (first, 0_i64);
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(at) {
            number = number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            at += 1;
        }
        let length = at - first;
        let is_padded = length > 1 && self.bytes[first] == b'0';
        let goes_on = matches!(self.bytes.get(at), Some(b'.' | b'e' | b'E'));
        if length == 0 || length > 18 || is_padded || goes_on {
            return None;
        }
        self.at = at;
        Some(if is_negative { -number } else { number })
    }

    /// Whether a list of short integers and nulls is here; they go to `ints`.
    fn list_of_ints(&mut self) -> bool {
        self.ints.clear();
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return true;
        }
        loop {
            self.blanks();
            match self.peek() {
                Some(b'0'..=b'9' | b'-') => match self.short_int() {
                    Some(n) => self.ints.push(Some(n)),
                    None => return false,
                },
                Some(b'n') if self.null() => self.ints.push(None),
                _ => return false,
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return true;
                }
                _ => return false,
            }
        }
    }

    /// Any value.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value, Flaw> {
        if depth > DEPTH_MAX {
            return self.flaw("nested too deeply; expected at most 64 levels");
        }
        match self.peek() {
            Some(b'"') => Ok(match self.string()? {
                Scanned::Plain(text) => Value::text(text),
                Scanned::Escaped(text) => Value::text(&text),
            }),
            Some(b'0'..=b'9' | b'-') => self.number(),
            Some(b't' | b'f') => self.boolean().map(Value::Bool),
            Some(b'n') if self.null() => Ok(Value::Null),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.map(depth),
            _ => self.unexpected("a JSON value"),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Flaw> {
        let mut items = Vec::new();
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::list(items));
        }
        loop {
            self.blanks();
            items.push(self.value(depth + 1)?);
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::list(items));
                }
                _ => return self.unexpected("',' or ']'"),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Flaw> {
        let mut entries: Vec<(Value, Value)> = Vec::new();
        self.at += 1;
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Map(entries.into()));
        }
        loop {
            self.blanks();
            let start = self.at;
            let key = Value::text(&self.text("a string as a key")?);
            if entries.iter().any(|(other, _)| *other == key) {
                return Err(Flaw::new(start, format_args!("duplicate key {key:?} in an object")));
            }
            self.punctuation(b':', "':' after a key")?;
            self.blanks();
            entries.push((key, self.value(depth + 1)?));
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Map(entries.into()));
                }
                _ => return self.unexpected("',' or '}'"),
            }
        }
    }

    /// Whether no line follows the one that contains `at`, and that one has no newline.
    pub(super) fn is_in_torn_line(&self, at: usize) -> bool {
        !self.bytes[at.min(self.bytes.len())..].contains(&b'\n')
    }

    /// The text from `start` to the cursor.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }
}

enum Scanned<'a> {
    Plain(&'a str),
    Escaped(String),
}

/// The value of a number: an integer where it fits, its digits as a text where it does not.
pub(super) fn number_value(text: &str) -> Value {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return text.parse().map_or_else(|_| Value::text(text), Value::Int);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Value::Decimal(number.to_string().into()),
        _ => Value::text(text),
    }
}

/// The names of all functions, for messages.
pub(super) fn function_names() -> String {
    Function::names().collect::<Vec<_>>().join(", ")
}
