//! Files are read on all cores, and what is read does not depend on how many there are.

use std::fmt::Write as _;

use rashomon::history::{Format, History, ReadError, read_bytes};
use rashomon::model::Random;

/// Transactions on lists, about a megabyte: several parts.
fn events(line: impl Fn(u64, &str, u64, &str) -> String) -> Vec<String> {
    let mut random = Random::stream(3, "reading");
    let mut lines = Vec::new();
    for op in 0..4_000 {
        let process = op % 7;
        let length = random.below(20);
        let read: Vec<String> = (0..length).map(|one| one.to_string()).collect();
        let read = read.join(" ");
        let key = format!("k{}", random.below(100));
        let mops = |read: &str| format!("[[:r {key:?} {read}] [:append {key:?} {op}] [:w 3 nil]]");
        lines.push(line(2 * op, "invoke", process, &mops("nil")));
        lines.push(line(2 * op + 1, "ok", process, &mops(&format!("[{read}]"))));
    }
    lines
}

fn edn_lines() -> Vec<String> {
    events(|index, kind, process, mops| {
        format!(
            "{{:index {index}, :time {index}, :process {process}, :type :{kind}, :f :txn, :value {mops}}}"
        )
    })
}

fn json_lines() -> Vec<String> {
    events(|index, kind, process, mops| {
        let value = mops
            .replace(":r ", "\"r\" ")
            .replace(":append ", "\"append\" ")
            .replace(":w ", "\"w\" ")
            .replace("nil", "null")
            .replace(' ', ",");
        format!(
            "{{\"index\":{index},\"time\":{index},\"process\":{process},\"type\":\"{kind}\",\"f\":\"txn\",\"value\":{value}}}"
        )
    })
}

fn read_on(cores: usize, text: &str, format: Format) -> Result<History, ReadError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().expect("threads");
    pool.install(|| read_bytes("text", text.as_bytes(), Some(format)))
}

/// Everything, the numbers of keys and values included.
fn told(history: &History) -> String {
    let mut told = String::new();
    for txn in history.txns() {
        let _ = write!(told, "{txn} {:?} {:?}", txn.invoked(), txn.returned());
        for access in txn.accesses() {
            let _ = write!(told, " {access:?}");
        }
        told.push('\n');
    }
    told + &history.warnings().join("\n")
}

fn assert_all_read_the_same(text: &str, format: Format) -> History {
    let one = read_on(1, text, format).unwrap_or_else(|error| panic!("{error}"));
    for cores in [2, 3, 8] {
        let other = read_on(cores, text, format).unwrap_or_else(|error| panic!("{error}"));
        assert!(told(&one) == told(&other), "{cores} cores");
    }
    one
}

#[test]
fn edn_reads_the_same_however_it_is_laid_out() {
    let lines = edn_lines();
    let plain = lines.join("\n");
    assert!(plain.len() > 5 << 17, "{} bytes are too few parts", plain.len());
    let expected = told(&assert_all_read_the_same(&plain, Format::Edn));
    assert_eq!(expected.lines().count(), 4_000);
    let mut broken = lines.clone();
    // A map over several lines, with a line inside that looks like a map of its own.
    for at in [1_000, 5_000] {
        broken[at] = broken[at].replacen(", ", ",\n#_\n{:type :invoke}\n", 1);
    }
    let tagged: Vec<String> = lines.iter().map(|line| format!("#jepsen.Op {line}")).collect();
    let nested: Vec<String> =
        lines.iter().map(|line| line.replacen(", ", ", :error [{} {:b \"} {\"}], ", 1)).collect();
    for text in [
        format!("[{}]", lines.join("\n ")),
        format!("({})\n", lines.join(" ")),
        format!("; a comment\n\n{}\n\n\n", lines.join("\n\n")),
        broken.join("\n"),
        format!("[{}\n]", broken.join("\n")),
        tagged.join("\n"),
        tagged.join(", "),
        format!("[{}]", nested.join(" ")),
        // What looks like maps in a comment is none, however long it is.
        format!("{} ; {}\n{}", lines[..4_000].join(" "), lines.join(" "), lines[4_000..].join(" ")),
    ] {
        assert_eq!(told(&assert_all_read_the_same(&text, Format::Edn)), expected);
    }
}

#[test]
fn lines_of_json_read_the_same() {
    let lines = json_lines();
    let history = assert_all_read_the_same(&lines.join("\n"), Format::Jsonl);
    assert_eq!(history.len(), 4_000);
    // A last line cut off is left out with a warning.
    let torn = lines.join("\n");
    let torn = assert_all_read_the_same(&torn[..torn.len() - 9], Format::Jsonl);
    assert!(torn.warnings()[0].contains("line 8000"), "{:?}", torn.warnings());
}

/// Whole operations, one a line, some of them indeterminate.
#[test]
fn operations_read_the_same() {
    let mut random = Random::stream(5, "reading");
    let lines: Vec<String> = (0..12_000_u64)
        .map(|op| {
            let (process, key, invoked) = (op % 7, random.below(100), 10 * op);
            let (kind, returned) = match random.below(20) {
                0 => ("info", "null".to_owned()),
                _ => ("ok", (invoked + random.below(60)).to_string()),
            };
            let process = if kind == "info" { 100 + op } else { process };
            let body = match random.below(3) {
                0 => format!("\"f\":\"w\",\"k\":\"k{key}\",\"v\":{op}"),
                1 => format!("\"f\":\"r\",\"k\":\"k{key}\",\"v\":null"),
                _ => format!(
                    "\"f\":\"txn\",\"v\":[[\"r\",\"l{key}\",[1,2,3]],[\"append\",\"l{key}\",{op}]]"
                ),
            };
            format!(
                "{{\"i\":{op},\"p\":{process},\"s\":{op},\"type\":\"{kind}\",\"inv\":{invoked},\"ret\":{returned},{body}}}"
            )
        })
        .collect();
    let text = lines.join("\n");
    assert!(text.len() > 5 << 17, "{} bytes are too few parts", text.len());
    let history = assert_all_read_the_same(&text, Format::Operations);
    assert_eq!(history.len(), 12_000);
}

#[test]
fn what_is_wrong_is_found_at_its_line() {
    for (mut lines, format) in [(edn_lines(), Format::Edn), (json_lines(), Format::Jsonl)] {
        lines[6_000] = lines[6_000].replace("invoke", "sing");
        lines[7_000] = lines[7_000].replace("invoke", "dance");
        let text = lines.join("\n");
        for cores in [1, 2, 8] {
            let error = read_on(cores, &text, format).expect_err("an unknown type");
            assert_eq!(error.line, 6_001, "{error}");
            assert!(error.what.contains("sing"), "{error}");
        }
        let mut lines = edn_lines();
        lines.truncate(5_000);
        lines.push("]".to_owned());
        assert_eq!(read_on(2, &lines.join("\n"), Format::Edn).expect_err("a bracket").line, 5_001);
    }
}
