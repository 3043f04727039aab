//! Histories of any datatype as the specification writes them, one operation a line. Shares no code
//! with the checkers.

use std::fmt::Write;

use rashomon::history::{History, read_bytes};
use rashomon::model::Random;
use serde_json::Value as Json;

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// `ok`, `fail` or `info`.
    pub(crate) kind: &'static str,
    pub(crate) invoked: u64,
    /// `u64::MAX` if its outcome is unknown.
    pub(crate) returned: u64,
    pub(crate) function: &'static str,
    pub(crate) key: &'static str,
    pub(crate) value: Json,
    pub(crate) node: Option<&'static str>,
    pub(crate) is_final: bool,
}

impl Line {
    /// It within eight milliseconds of `from`, with any outcome.
    pub(crate) fn random(random: &mut Random, from: u64) -> Self {
        let kind = *random.pick(&["ok", "ok", "ok", "ok", "info", "fail"]);
        let invoked = from + random.below(16);
        let returned = if kind == "info" { u64::MAX } else { invoked + random.below(6) };
        Self {
            kind,
            invoked,
            returned,
            function: "r",
            key: "x",
            value: Json::Null,
            node: None,
            is_final: false,
        }
    }

    pub(crate) fn does(self, function: &'static str, key: &'static str, value: Json) -> Self {
        Self { function, key, value, ..self }
    }

    pub(crate) fn is_ok(&self) -> bool {
        self.kind == "ok"
    }

    pub(crate) fn failed(&self) -> bool {
        self.kind == "fail"
    }

    pub(crate) fn precedes(&self, other: &Self) -> bool {
        self.returned < other.invoked
    }

    /// Its micro-operations: function, key, value.
    pub(crate) fn parts(&self) -> Vec<(&str, &str, &Json)> {
        match (self.function, &self.value) {
            ("txn", Json::Array(parts)) => parts
                .iter()
                .map(|part| (part[0].as_str().expect("f"), part[1].as_str().expect("k"), &part[2]))
                .collect(),
            ("cas" | "rmw", pair) => vec![("r", self.key, &pair[0]), ("w", self.key, &pair[1])],
            (function, value) => vec![(function, self.key, value)],
        }
    }

    /// What it says it read of a key first.
    pub(crate) fn read(&self, key: &str) -> Option<&Json> {
        self.parts()
            .into_iter()
            .find(|part| matches!(part.0, "r" | "level") && part.1 == key)
            .map(|part| part.2)
    }
}

/// The numbers of a list; nothing for `null`.
pub(crate) fn numbers(list: &Json) -> Vec<i64> {
    list.as_array().map_or_else(Vec::new, |list| list.iter().filter_map(Json::as_i64).collect())
}

/// Every one who tried to write a value of a register, a list or a set.
pub(crate) fn tries<'l>(lines: &'l [Line], key: &str, value: &Json) -> Vec<&'l Line> {
    let writes = |line: &&Line| {
        line.parts().iter().any(|part| {
            matches!(part.0, "w" | "append" | "add") && part.1 == key && part.2 == value
        })
    };
    lines.iter().filter(writes).collect()
}

/// The lines as a history; each has a process of its own.
pub(crate) fn history(lines: &[Line]) -> History {
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let Line { kind, invoked, function, key, value, is_final, .. } = line;
        let returned = match line.returned {
            u64::MAX => "null".to_owned(),
            returned => returned.to_string(),
        };
        let node = line.node.map_or(String::new(), |node| format!(r#""node":"{node}","#));
        writeln!(
            text,
            r#"{{"i":{at},"p":{at},"type":"{kind}","inv":{invoked},"ret":{returned},{node}"final":{is_final},"f":"{function}","k":"{key}","v":{value}}}"#
        )
        .expect("a string takes all");
    }
    load(&text)
}

/// A history in the operation form.
pub(crate) fn load(text: &str) -> History {
    read_bytes("test.jsonl", text.as_bytes(), None)
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The examples of the specification for these properties: file, history, id, whether it holds.
pub(crate) fn examples(ids: &[&str]) -> Vec<(String, History, String, bool)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/spec/examples");
    let Ok(index) = std::fs::read_to_string(folder.join("index.json")) else { return Vec::new() };
    let index: Json = serde_json::from_str(&index).expect("the index is JSON");
    let mut examples = Vec::new();
    for example in index["examples"].as_array().expect("examples") {
        let file = example["file"].as_str().expect("file");
        let vectors = [&example["vector"], &example["expect"]];
        for (id, verdict) in vectors.into_iter().filter_map(Json::as_object).flatten() {
            if ids.contains(&id.as_str()) {
                let history = rashomon::history::read(&folder.join(file), None)
                    .unwrap_or_else(|error| panic!("{error}"));
                examples.push((file.to_owned(), history, id.clone(), verdict == "ok"));
            }
        }
    }
    examples
}
