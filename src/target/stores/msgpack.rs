//! As much of MessagePack as Tarantool's protocol needs.

/// A value that was received.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Packed {
    Nil,
    Bool(bool),
    Int(i64),
    Text(String),
    Array(Vec<Packed>),
    Map(Vec<(Packed, Packed)>),
    /// A number with a fraction, bytes or an extension: nothing that is asked for.
    Other,
}

impl Packed {
    /// What a map has at a numbered key.
    pub(super) fn get(&self, key: i64) -> Option<&Packed> {
        let Self::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| *name == Self::Int(key)).map(|(_, value)| value)
    }
}

/// Appends the head of a map of at most 15 entries.
pub(super) fn map(to: &mut Vec<u8>, length: u8) {
    to.push(0x80 | length);
}

/// Appends the head of an array of at most 15 elements.
pub(super) fn array(to: &mut Vec<u8>, length: u8) {
    to.push(0x90 | length);
}

/// Appends a number.
pub(super) fn int(to: &mut Vec<u8>, number: i64) {
    if (0..128).contains(&number) {
        to.push(number as u8);
    } else {
        to.push(0xd3);
        to.extend_from_slice(&number.to_be_bytes());
    }
}

/// Appends a text.
pub(super) fn text(to: &mut Vec<u8>, text: &str) {
    to.push(0xdb);
    to.extend_from_slice(&(text.len() as u32).to_be_bytes());
    to.extend_from_slice(text.as_bytes());
}

/// Takes a value off the front; nothing if it is not whole or nested too deep.
pub(super) fn take(from: &mut &[u8]) -> Option<Packed> {
    value(from, 32)
}

fn value(from: &mut &[u8], depth: u8) -> Option<Packed> {
    let depth = depth.checked_sub(1)?;
    let [first] = bytes(from, 1)? else { return None };
    Some(match *first {
        small @ 0x00..=0x7f => Packed::Int(small.into()),
        small @ 0xe0..=0xff => Packed::Int((small as i8).into()),
        head @ 0x80..=0x8f => entries(from, u64::from(head & 0x0f), depth)?,
        head @ 0x90..=0x9f => elements(from, u64::from(head & 0x0f), depth)?,
        head @ 0xa0..=0xbf => string(from, u64::from(head & 0x1f))?,
        0xc0 => Packed::Nil,
        0xc2 => Packed::Bool(false),
        0xc3 => Packed::Bool(true),
        head @ 0xc4..=0xc6 => {
            let length = unsigned(from, 1 << (head - 0xc4))?;
            skip(from, length)?
        }
        head @ 0xc7..=0xc9 => {
            let length = unsigned(from, 1 << (head - 0xc7))?;
            skip(from, length.checked_add(1)?)?
        }
        0xca => skip(from, 4)?,
        0xcb => skip(from, 8)?,
        head @ 0xcc..=0xcf => {
            let number = unsigned(from, 1 << (head - 0xcc))?;
            i64::try_from(number).map_or(Packed::Other, Packed::Int)
        }
        head @ 0xd0..=0xd3 => {
            let width = 1 << (head - 0xd0);
            let number = unsigned(from, width)?;
            let unused = 64 - 8 * width as u32;
            Packed::Int(((number << unused) as i64) >> unused)
        }
        head @ 0xd4..=0xd8 => skip(from, (1 << (head - 0xd4)) + 1)?,
        head @ 0xd9..=0xdb => {
            let length = unsigned(from, 1 << (head - 0xd9))?;
            string(from, length)?
        }
        head @ 0xdc..=0xdd => {
            let length = unsigned(from, 2 << (head - 0xdc))?;
            elements(from, length, depth)?
        }
        head @ 0xde..=0xdf => {
            let length = unsigned(from, 2 << (head - 0xde))?;
            entries(from, length, depth)?
        }
        0xc1 => return None,
    })
}

fn bytes<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

fn unsigned(from: &mut &[u8], width: usize) -> Option<u64> {
    let taken = bytes(from, width)?;
    Some(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn skip(from: &mut &[u8], length: u64) -> Option<Packed> {
    bytes(from, usize::try_from(length).ok()?)?;
    Some(Packed::Other)
}

fn string(from: &mut &[u8], length: u64) -> Option<Packed> {
    let taken = bytes(from, usize::try_from(length).ok()?)?;
    Some(Packed::Text(String::from_utf8_lossy(taken).into_owned()))
}

fn elements(from: &mut &[u8], length: u64, depth: u8) -> Option<Packed> {
    (0..length).map(|_| value(from, depth)).collect::<Option<_>>().map(Packed::Array)
}

fn entries(from: &mut &[u8], length: u64, depth: u8) -> Option<Packed> {
    let entry = |_| Some((value(from, depth)?, value(from, depth)?));
    (0..length).map(entry).collect::<Option<_>>().map(Packed::Map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_taken_again() {
        let mut packed = Vec::new();
        map(&mut packed, 2);
        int(&mut packed, 7);
        text(&mut packed, "é'");
        int(&mut packed, -3);
        array(&mut packed, 2);
        int(&mut packed, i64::MIN);
        int(&mut packed, 128);
        let mut rest = &packed[..];
        let value = take(&mut rest).expect("whole");
        assert!(rest.is_empty());
        assert_eq!(value.get(7), Some(&Packed::Text("é'".to_owned())));
        let numbers = Packed::Array(vec![Packed::Int(i64::MIN), Packed::Int(128)]);
        assert_eq!(value.get(-3), Some(&numbers));
        for length in 0..packed.len() {
            assert_eq!(take(&mut &packed[..length]), None);
        }
    }

    #[test]
    fn every_form_of_a_number_is_known() {
        let forms: [(&[u8], i64); 8] = [
            (&[0x05], 5),
            (&[0xff], -1),
            (&[0xcc, 0xff], 255),
            (&[0xcd, 1, 0], 256),
            (&[0xce, 0, 1, 0, 0], 65_536),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0xff, 0xfe], -2),
            (&[0xd2, 0xff, 0xff, 0xff, 0xfd], -3),
        ];
        for (mut bytes, number) in forms {
            assert_eq!(take(&mut bytes), Some(Packed::Int(number)));
        }
    }
}
