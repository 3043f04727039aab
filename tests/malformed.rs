//! Every malformed history is refused with its line and the reason, and nothing panics on bytes.

#![expect(clippy::print_stderr, reason = "a test says what it skips")]

#[path = "oracle/files.rs"]
mod files;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use files::files_below;
use proptest::prelude::*;
use rashomon::history::{Format, read, read_bytes};
use rashomon::model::Random;

/// A file below `histories/malformed`, the line that is wrong (0: the file as a whole), and words
/// of the reason.
const CASES: &[(&str, usize, &str)] = &[
    (
        "completion-without-invocation/ok.jsonl",
        3,
        "completion without invocation: process 0 has no open operation",
    ),
    ("completion-without-invocation/ok.edn", 2, "completion without invocation: process 1"),
    ("completion-without-invocation/info.log", 1, "completion without invocation: process 3"),
    (
        "completion-without-invocation/nameless.edn",
        1,
        "completion without invocation: no open operation fits it",
    ),
    ("still-open/write.jsonl", 2, "process 0 invokes while its operation 0 is still open"),
    ("still-open/read.edn", 2, "process 0 invokes while its operation 0 is still open"),
    ("still-open/append.txt", 2, "process 2 invokes while its operation 0 is still open"),
    ("time-backwards/ok.jsonl", 2, "time runs backwards: 9 after 10 ns"),
    ("duplicate-index/event.jsonl", 2, "duplicate index 0"),
    ("duplicate-index/event.edn", 2, "duplicate index 4"),
    ("duplicate-index/operation.jsonl", 2, "duplicate index 3"),
    ("index-backwards/event.jsonl", 2, "index 4 after index 5"),
    ("function-changed/write.jsonl", 2, "completes a read, but the process invoked a write"),
    ("function-changed/write.edn", 2, "completes a read, but the process invoked a write"),
    ("accesses-changed/key.jsonl", 2, "completes a write with other micro-operations"),
    ("accesses-changed/txn.edn", 2, "completes a txn with other micro-operations"),
    ("write-changed/write.jsonl", 2, "completes a write of 2, but 1 was to be written"),
    ("write-changed/append.edn", 2, "completes a write of 4, but 3 was to be written"),
    ("returned-before-invoked/operation.jsonl", 1, "returned before it was invoked"),
    ("returned-before-invoked/queue.fastlin", 2, "returned before it was invoked"),
    (
        "unknown-function/stack.fastlin",
        3,
        "unknown method \"enq\"; expected one of push, pop, peek",
    ),
    ("wrong-value/write.awdit", 2, "no operation; expected r KEY VALUE"),
    ("wrong-value/read.plume", 2, "no operation; expected r(KEY,VALUE,SESSION,TRANSACTION)"),
    (
        "never-returned/operation.jsonl",
        1,
        "type ok without a time of return; expected one, or type info",
    ),
    ("overlap/operation.jsonl", 2, "operations 0 and 1 of process 0 overlap"),
    ("unknown-field/event.jsonl", 1, "unknown field \"colour\"; expected one of index, time"),
    ("unknown-field/operation.jsonl", 1, "unknown field \"return\"; expected one of i, p"),
    ("duplicate-field/event.jsonl", 3, "duplicate field \"time\""),
    ("duplicate-field/process.edn", 1, "duplicate field :process"),
    ("missing-field/time.jsonl", 1, "missing field \"time\""),
    ("missing-field/function.jsonl", 1, "missing field \"f\""),
    ("missing-field/type.edn", 1, "missing field :type"),
    ("missing-field/function.edn", 1, "missing field :f"),
    ("missing-field/process.edn", 2, "missing field :process"),
    ("missing-field/key.txt", 2, "missing field :key"),
    ("missing-field/inv.jsonl", 2, "missing field \"inv\""),
    ("missing-value/write.jsonl", 1, "invoke write without a value; expected a value"),
    ("missing-value/read.jsonl", 2, "ok read without a value"),
    ("missing-value/read.edn", 2, "ok read without a value"),
    ("unknown-type/event.jsonl", 2, "unknown type \"okay\"; expected invoke, ok, fail or info"),
    ("unknown-type/event.edn", 1, "unknown type :begin"),
    ("unknown-type/operation.jsonl", 1, "unknown type \"invoke\"; expected ok, fail or info"),
    ("unknown-function/event.jsonl", 1, "unknown function \"wriet\"; expected one of read, write"),
    ("unknown-function/event.edn", 2, "unknown function :broadcast"),
    ("unknown-function/delete.txt", 2, "unknown function :delete; expected :get, :put or :append"),
    ("wrong-value/cas.jsonl", 1, "wrong kind of value for cas; expected [old, new]"),
    ("wrong-value/cas.edn", 1, "wrong kind of value for cas; expected [old, new]"),
    ("wrong-value/cas.log", 2, "wrong kind of value for cas"),
    ("wrong-value/txn.jsonl", 1, "wrong micro-operation [\"r\", \"x\"] for txn"),
    ("wrong-value/nested-cas.jsonl", 1, "wrong micro-operation"),
    ("wrong-value/increment.jsonl", 1, "wrong kind of value for increment; expected an integer"),
    ("wrong-value/get.txt", 1, "wrong kind of value; expected a text or nil"),
    ("wrong-kind-of-field/time.jsonl", 1, "expected a time: nanoseconds, a whole number"),
    ("wrong-kind-of-field/negative-time.jsonl", 1, "expected a time: nanoseconds, a whole number"),
    ("wrong-kind-of-field/process.jsonl", 1, "expected a process: a whole number, or \"nemesis\""),
    ("wrong-kind-of-field/process.edn", 1, "expected a process"),
    ("wrong-kind-of-field/final.jsonl", 1, "expected true or false"),
    ("wrong-kind-of-field/inv.jsonl", 1, "time -5 out of range; expected milliseconds from 0"),
    ("wrong-kind-of-field/index-too-large.jsonl", 1, "expected an index: a whole number"),
    ("wrong-kind-of-field/client-with-fault.jsonl", 1, "a client's line with fault or begins"),
    ("torn-line/middle.jsonl", 1, "the line ends; expected"),
    ("torn-line/with-newline.jsonl", 3, "the line ends; expected"),
    ("torn-line/middle.edn", 3, "the file ends; expected a value for this field"),
    ("trailing-garbage/line.jsonl", 1, "found '}'; expected the end of the line after the object"),
    ("trailing-garbage/after-vector.edn", 2, "expected the end of the file after the history"),
    ("trailing-garbage/log-line.log", 1, "expected the end of the line after the value"),
    ("not-an-object/list.jsonl", 3, "found '['; expected a JSON object"),
    ("not-an-object/number.edn", 1, "found '7'; expected an operation: a map"),
    ("wrong-escape/key.jsonl", 1, "wrong escape in a string"),
    ("wrong-escape/error.edn", 1, "expected an escaped character"),
    ("unclosed/vector.edn", 1, "'[' is never closed; expected ']'"),
    ("unclosed/string.edn", 1, "a string is never closed"),
    ("unclosed/wrong-bracket.edn", 1, "found '}'; expected ']'"),
    ("nested-too-deeply/value.jsonl", 1, "nested too deeply"),
    ("nested-too-deeply/value.edn", 1, "nested too deeply"),
    ("nested-too-deeply/discarded.edn", 1, "nested too deeply"),
    ("odd-map/value.edn", 1, "a map with a key without a value"),
    ("wrong-number/value.edn", 1, "wrong number \"1x2\""),
    ("wrong-number/leading-zero.jsonl", 1, "expected a number"),
    ("not-utf-8/value.jsonl", 3, "not UTF-8"),
    ("wrong-header/version.jsonl", 1, "format version 2; expected 1"),
    ("wrong-header/unknown-field.jsonl", 1, "wrong header: unknown field `sede`"),
    ("wrong-header/second.jsonl", 2, "unknown field \"rashomon\""),
    ("ambiguous/two-open.edn", 3, "a completion without :process fits two open operations"),
    (
        "unknown-format/picture.bin",
        0,
        "unknown format; expected one of jsonl, columnar, operations, edn, etcd-log, porcupine-kv",
    ),
    ("damaged/truncated.jsonl.gz", 0, "damaged gzip file"),
    ("damaged/truncated.jsonl.zst", 0, "damaged zstd file"),
    ("damaged/flipped-bit.rcol", 0, "a damaged block: the checksum of its data is wrong; copy or"),
    (
        "other-lines/message.log",
        2,
        "a line of something else; expected INFO  jepsen.util - process",
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("histories/malformed")
}

#[test]
fn every_malformed_history_is_refused_by_line_and_reason() {
    for (name, line, reason) in CASES {
        match read(&folder().join(name), None) {
            Ok(_) => panic!("{name} was read"),
            Err(error) => {
                assert_eq!(error.line, *line, "{name}: {error}");
                assert!(error.what.contains(reason), "{name}: {error}");
                assert!(error.to_string().starts_with(&error.file), "{error}");
                assert_eq!(error.column == 0, *line == 0, "{error}");
            }
        }
    }
}

#[test]
fn every_malformed_file_is_listed() {
    let listed: BTreeSet<PathBuf> = CASES.iter().map(|(name, ..)| folder().join(name)).collect();
    let present: BTreeSet<PathBuf> = files_below(&folder()).into_iter().collect();
    assert_eq!(listed, present);
}

#[test]
fn errors_name_line_and_column() {
    let text = "{\"index\":0,\"time\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"key\":\"é\"}\n\
                {\"index\":1,\"time\":2,\"process\":0,\"type\":\"ok\",\"f\":\"read\",\"key\":\"é\",\"value\":nul}\n";
    let error = read_bytes("h.jsonl", text.as_bytes(), None).expect_err("it is malformed");
    assert_eq!(error.to_string(), "h.jsonl:2:74: found 'n'; expected a JSON value");
}

#[test]
fn a_torn_last_line_is_left_out_with_a_word() {
    let whole = "{\"rashomon\":{\"format\":1}}\n\
        {\"index\":0,\"time\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"é\",\"value\":1}\n\
        {\"index\":1,\"time\":2,\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"key\":\"é\",\"value\":1}";
    let last = whole.rfind('\n').expect("three lines") + 1;
    for end in last + 1..whole.len() {
        // Even in the middle of a character.
        let history =
            read_bytes("h.jsonl", &whole.as_bytes()[..end], None).expect("it is readable");
        assert_eq!(history.len(), 1);
        assert!(history.warnings()[0].starts_with("line 3, the last one, is torn"), "{end}");
    }
    let history = read_bytes("h.jsonl", whole.as_bytes(), None).expect("it is readable");
    assert!(history.warnings().is_empty() && history.txns().all(rashomon::history::Txn::is_ok));
}

/// Reads bytes as every format. Whatever comes of it, an error has a line and a reason.
fn survives(bytes: &[u8]) {
    for format in Format::all().map(Some).chain([None]) {
        if let Err(error) = read_bytes("bytes", bytes, format) {
            assert!(!error.what.is_empty());
            let lines = bytes.split(|byte| *byte == b'\n').count();
            let is_packed = bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(&[0x28, 0xb5]);
            assert!(is_packed || error.line <= lines, "{error}");
            assert!(is_packed || (error.line == 0) == (error.column == 0), "{error}");
        }
    }
}

/// Short good histories of every form to spoil.
fn seeds() -> Vec<Vec<u8>> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folders = [
        "histories/knossos",
        "histories/elle-cli",
        "histories/etcd",
        "histories/porcupine-kv",
        "histories/elle",
        "spec/examples",
    ];
    let mut seeds: Vec<Vec<u8>> = folders
        .iter()
        .flat_map(|folder| files_below(&shared.join(folder)).into_iter().step_by(7))
        .chain(files_below(&folder()))
        .filter_map(|file| fs::read(file).ok())
        .map(|bytes| bytes[..bytes.len().min(4_000)].to_vec())
        .collect();
    if !shared.exists() {
        eprintln!("skipped: no corpus beside this crate, only the malformed histories are spoiled");
    }
    seeds.push(Vec::new());
    seeds
}

#[test]
fn spoiled_histories_never_panic() {
    let mut random = Random::stream(1, "spoil");
    const WORDS: [&[u8]; 12] = [
        b"null",
        b"nil",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b"\\u",
        b"#_",
        b"99999999999999999999",
        b":f",
        b"\n",
    ];
    for seed in seeds() {
        for _ in 0..60 {
            let mut bytes = seed.clone();
            for _ in 0..=random.below(3) {
                if bytes.is_empty() {
                    break;
                }
                let at = random.below(bytes.len() as u64) as usize;
                match random.below(5) {
                    0 => bytes[at] ^= 1 << random.below(8),
                    1 => bytes.truncate(at),
                    2 => {
                        let mut lines: Vec<&[u8]> =
                            bytes.split_inclusive(|byte| *byte == b'\n').collect();
                        let (one, other) =
                            (random.below(lines.len() as u64), random.below(lines.len() as u64));
                        lines.swap(one as usize, other as usize);
                        bytes = lines.concat();
                    }
                    3 => {
                        let word = WORDS[random.below(WORDS.len() as u64) as usize];
                        bytes.splice(at..at, word.iter().copied());
                    }
                    _ => {
                        bytes.remove(at);
                    }
                }
            }
            survives(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        survives(&bytes);
    }

    #[test]
    fn almost_json_never_panics(text in "\\{(\"(index|time|process|type|f|key|value|inv|ret|fault|begins|s|final)\":([0-9]{1,3}|\"(ok|invoke|info|read|write|cas|txn|nemesis)\"|null|\\[(1|,|\\[|\\]|null|\"r\"){0,6}\\]|-?[0-9]\\.[0-9]e[0-9])[,}\n]{1,2}){0,9}") {
        survives(text.as_bytes());
    }

    #[test]
    fn almost_edn_never_panics(text in "[\\[(]?(\\{(:(index|time|process|type|f|value|key) (:(invoke|ok|info|read|cas|txn|nemesis)|[0-9]{1,2}|nil|\\[+(:r |1 |nil |\\]|#\\{|\"|\\\\|#_|\\^|##|[0-9]/[0-9]M ){0,6}\\]*),? ?){0,7}\\}\n?){0,4}[\\])]?") {
        survives(text.as_bytes());
    }
}
