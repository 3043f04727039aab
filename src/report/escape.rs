//! What others wrote, made harmless and short.

use std::fmt::Write;

/// Text without anything that could drive a terminal, hide or reverse what is written: control
/// characters (ANSI escapes begin with one), bidirectional and invisible ones are spelt out.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push_str("\\n"),
            '\t' => plain.push_str("\\t"),
            '\r' => plain.push_str("\\r"),
            c if is_harmful(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Plain text of at most `width` characters: what is too long loses its middle.
pub(super) fn clipped(text: &str, width: usize) -> String {
    let text = plain(text);
    let length = text.chars().count();
    if length <= width {
        return text;
    }
    let tail = width / 3;
    let head = width.saturating_sub(tail + 1);
    let mut clipped: String = text.chars().take(head).collect();
    clipped.push('…');
    clipped.extend(text.chars().skip(length - tail));
    clipped
}

/// Plain text for XML and HTML, in elements and in quoted attributes.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Plain text for a quoted string of Graphviz.
pub(super) fn dot(text: &str) -> String {
    plain(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// JSON with the harmful characters, and `<` for use within HTML, spelt out in its strings; outside
/// of strings JSON has none of them.
pub(super) fn json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c == '<' || is_harmful(c)) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Plain text for Markdown, also in a table. Entities rather than backslashes, which some
/// renderers keep before a pipe; they also keep names such as `@team` from calling anybody.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in plain(text).chars() {
        if c.is_ascii_punctuation()
            && !matches!(c, ',' | '.' | ':' | ';' | '(' | ')' | '/' | '-' | '+')
        {
            let _ = write!(escaped, "&#{};", c as u32);
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Breaks text at blanks into lines of at most `width` characters; a longer word stays whole.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let more = word.chars().count();
        if length > 0 && length + 1 + more > width {
            lines.push(String::new());
            length = 0;
        }
        let line = lines.last_mut().expect("there is always a line");
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        line.push_str(word);
        length += more;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_a_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{9b}\u{202e}\n"), "a\\u{1b}[31mb\\u{9b}\\u{202e}\\n");
        assert_eq!(xml("<a b='\"&'>"), "&lt;a b=&#39;&quot;&amp;&#39;&gt;");
        assert_eq!(markdown("|`@x`"), "&#124;&#96;&#64;x&#96;");
    }

    #[test]
    fn long_text_loses_its_middle() {
        assert_eq!(clipped("abcdefghij", 10), "abcdefghij");
        assert_eq!(clipped("abcdefghijk", 10), "abcdef…ijk");
        assert_eq!(clipped("abc", 0), "…");
    }

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrapped("to be or not", 5), ["to be", "or", "not"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
