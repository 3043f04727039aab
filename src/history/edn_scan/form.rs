//! Whole EDN forms, whatever they are.

use crate::history::edn_scan::{DEPTH_MAX, Edn, closing, is_delimiter};
use crate::history::read::Flaw;
use crate::model::Value;

impl Edn<'_> {
    /// Any form.
    pub(in crate::history) fn form(&mut self) -> Result<Value, Flaw> {
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
    pub(in crate::history) fn closes(&self, start: usize, close: u8) -> bool {
        closing(self.bytes[start]) == close
    }

    pub(in crate::history) fn unclosed<T>(&self, start: usize) -> Result<T, Flaw> {
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
