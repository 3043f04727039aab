//! Which formats of history files there are, and how to tell them apart.

use std::path::Path;

use crate::history::{awdit_text, cobra_log, columnar, dbcop, fastlin_log, plume_text};

/// A format of history files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own event form: one invocation, completion or fault a line.
    Jsonl,
    /// The event form in columns, binary and compressed.
    Columnar,
    /// The operation form of the specification (1.1): one whole operation a line.
    Operations,
    /// Jepsen's EDN: one map a line, or one vector or list around them all.
    Edn,
    /// The text log of Jepsen's early etcd test.
    EtcdLog,
    /// The key-value logs of Porcupine's tests.
    PorcupineKv,
    /// The text histories of AWDIT's tests.
    Awdit,
    /// The text histories of Plume, PolySI and IsoVista.
    Plume,
    /// The binary logs of Cobra, one a session.
    Cobra,
    /// DBCop's `history.bincode`.
    Dbcop,
    /// The logs of fastlin.
    Fastlin,
}

/// Every format with its name, what it is, the extensions it has, and whether it can be written.
const TABLE: [(Format, &str, &str, &[&str], bool); 11] = [
    (
        Format::Jsonl,
        "jsonl",
        "rashomon's own: one invocation, completion or fault a line, as JSON",
        &["jsonl", "ndjson"],
        true,
    ),
    (
        Format::Columnar,
        "columnar",
        "rashomon's own for large histories: the same events in compressed columns, binary",
        &["rcol"],
        true,
    ),
    (
        Format::Operations,
        "operations",
        "one whole operation a line, as JSON, with its times of invocation and return in ms",
        &["ops.jsonl", "ops"],
        true,
    ),
    (
        Format::Edn,
        "edn",
        "Jepsen's: one EDN map a line, or one vector or list around them all",
        &["edn"],
        true,
    ),
    (Format::EtcdLog, "etcd-log", "the text log of Jepsen's early etcd test", &["log"], false),
    (
        Format::PorcupineKv,
        "porcupine-kv",
        "the get, put and append logs of Porcupine's tests",
        &["txt"],
        false,
    ),
    (
        Format::Awdit,
        "awdit",
        "AWDIT's tests: transactions on registers by session, as text, without times",
        &["awdit.txt", "awdit"],
        true,
    ),
    (
        Format::Plume,
        "plume",
        "Plume's, PolySI's and IsoVista's: reads and writes by session, as text, without times",
        &["plume.txt", "plume"],
        true,
    ),
    (
        Format::Cobra,
        "cobra",
        "Cobra's binary logs, one a session: a file, or a folder of them; without times",
        &["cobra"],
        false,
    ),
    (Format::Dbcop, "dbcop", "DBCop's history.bincode, without times", &["bincode"], false),
    (
        Format::Fastlin,
        "fastlin",
        "fastlin's logs of stacks, queues and priority queues",
        &["fastlin"],
        false,
    ),
];

impl Format {
    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(format, ..)| *format)
    }

    /// The word for it on a command line.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// What it is, in one line.
    pub fn about(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// The extensions its files have, without a dot; `.gz` and `.zst` may follow.
    pub fn extensions(self) -> &'static [&'static str] {
        TABLE[self as usize].3
    }

    /// Whether histories can be written in it.
    pub fn is_writable(self) -> bool {
        TABLE[self as usize].4
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|format| format.name() == name)
    }

    /// The format that a file of this name should be written in.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(name);
        let has = |extension: &&&str| {
            name.strip_suffix(**extension).is_some_and(|stem| stem.ends_with('.'))
        };
        // `x.ops.jsonl` is more exact than `x.jsonl`: the longest extension wins.
        Self::all()
            .filter_map(|format| Some((format.extensions().iter().find(has)?.len(), format)))
            .max_by_key(|(length, _)| *length)
            .map(|(_, format)| format)
    }

    /// The format of a file, by its first bytes (uncompressed) and then by its name.
    pub fn detect(path: &Path, first: &[u8]) -> Option<Self> {
        Self::from_content(first).or_else(|| Self::from_path(path))
    }

    fn from_content(first: &[u8]) -> Option<Self> {
        if first.starts_with(&columnar::MAGIC) {
            return Some(Self::Columnar);
        }
        let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
        let mut lines = first
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty());
        let line = lines.next()?;
        let is_text = |is: fn(&str) -> bool| str::from_utf8(line).is_ok_and(is);
        if cobra_log::is_log(first) {
            return Some(Self::Cobra);
        }
        if dbcop::is_history(first) {
            return Some(Self::Dbcop);
        }
        let has = |line: &[u8], word: &str| {
            line.windows(word.len()).any(|window| window == word.as_bytes())
        };
        match line {
            [b'{', rest @ ..] if rest.trim_ascii_start().starts_with(b"\"") => {
                let is_header = rest.trim_ascii_start().starts_with(b"\"rashomon\"");
                let line = if is_header { lines.next().unwrap_or(line) } else { line };
                Some(if has(line, "\"inv\"") { Self::Operations } else { Self::Jsonl })
            }
            [b'{', ..]
                if has(line, ":key")
                    && !has(line, ":time")
                    && [":get", ":put", ":append"].iter().any(|f| has(line, f)) =>
            {
                Some(Self::PorcupineKv)
            }
            _ if is_text(fastlin_log::is_head) => Some(Self::Fastlin),
            _ if is_text(plume_text::is_line) => Some(Self::Plume),
            _ if is_text(awdit_text::is_line) => Some(Self::Awdit),
            [b'{' | b'[' | b'(' | b';' | b'#', ..] => Some(Self::Edn),
            _ if line.starts_with(b"INFO") && has(line, "jepsen.util") => Some(Self::EtcdLog),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (at, format) in Format::all().enumerate() {
            assert_eq!(format as usize, at);
            assert_eq!(Format::from_name(format.name()), Some(format));
        }
    }

    #[test]
    fn files_are_told_apart() {
        let detect = |name: &str, first: &str| Format::detect(Path::new(name), first.as_bytes());
        assert_eq!(detect("x", "{\"index\":0}"), Some(Format::Jsonl));
        assert_eq!(detect("x.jsonl", "{\"i\":0,\"inv\":3}"), Some(Format::Operations));
        assert_eq!(
            detect("x", "{\"rashomon\":{\"format\":1}}\n{\"i\":0,\"inv\":3}"),
            Some(Format::Operations)
        );
        assert_eq!(detect("x.txt", "{:process 0, :f :get, :key \"0\"}"), Some(Format::PorcupineKv));
        assert_eq!(detect("x.txt", "({:process 0, :f :read}"), Some(Format::Edn));
        assert_eq!(detect("x", "INFO  jepsen.util - 0\t:invoke"), Some(Format::EtcdLog));
        assert_eq!(detect("x.edn.gz", ""), Some(Format::Edn));
        assert_eq!(detect("x.ops.jsonl.zst", ""), Some(Format::Operations));
        assert_eq!(detect("x.txt", "r 1 2\n-----"), Some(Format::Awdit));
        assert_eq!(detect("x.txt", "w(1,0,0,-1)\n"), Some(Format::Plume));
        assert_eq!(detect("x.log", "# priorityqueue\n"), Some(Format::Fastlin));
        assert_eq!(detect("x.edn", "#{:type :invoke}"), Some(Format::Edn));
        assert_eq!(detect("x", "S\0\0\0\0\0\0\0\u{1}C"), Some(Format::Cobra));
        assert_eq!(detect("history.bincode", ""), Some(Format::Dbcop));
        assert_eq!(detect("x.plume.txt", ""), Some(Format::Plume));
        assert_eq!(detect("x.rcol.zst", ""), Some(Format::Columnar));
        assert_eq!(Format::detect(Path::new("x"), b"\x8eRCOL\r\n\x01"), Some(Format::Columnar));
        assert_eq!(detect("x.png", "\u{89}PNG"), None);
    }
}
