//! Every history of the corpus is read, and reads the same after it was written in each format.

#![expect(clippy::print_stderr, reason = "a test says what it skips")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rashomon::history::{
    Builder, Format, Header, History, Rank, Txn, ValueId, Writer, read, read_bytes, write_history,
};
use rashomon::model::{
    ClientEvent, Event, FaultEvent, FaultId, Function, Kind, Nanos, Op, Process, Value, What,
};

/// The corpus of other people's histories and of examples; empty where it is not at hand.
fn corpus() -> Vec<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folders = [
        "histories/knossos",
        "histories/elle",
        "histories/elle-cli",
        "histories/elle-sim",
        "histories/etcd",
        "histories/porcupine-kv",
        "histories/awdit/causal",
        "histories/awdit/causal/generated",
        "histories/awdit/none",
        "histories/awdit/read-atomic",
        "histories/awdit/read-committed",
        "histories/isovista",
        "histories/fastlin",
        "spec/examples",
    ];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(shared.join(folder)).ok())
        .flatten()
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|file| file.extension().is_some_and(|extension| extension != "json"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        eprintln!("skipped: no corpus beside this crate");
    }
    files
}

/// JSON has only texts as the keys of maps.
fn with_text_keys(value: &Value) -> Value {
    match value {
        Value::List(items) => Value::list(items.iter().map(with_text_keys)),
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, value)| (Value::text(&key.to_string()), with_text_keys(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

fn accesses(history: &History, txn: Txn<'_>) -> Vec<(String, String, Option<Value>)> {
    txn.accesses()
        .map(|access| {
            let key = format!("{:?}", history.key_name(access.key));
            let value = (access.value != ValueId::UNKNOWN)
                .then(|| with_text_keys(&history.values().value(access.value)));
            (access.function.name().to_owned(), key, value)
        })
        .collect()
}

/// Whether two histories say the same. `indices` are counted anew where the operation form, which
/// lists operations in any order, becomes the event form.
fn assert_same(name: &str, one: &History, other: &History, compares_indices: bool) {
    assert_eq!(one.len(), other.len(), "{name}");
    for (a, b) in one.txns().zip(other.txns()) {
        if compares_indices {
            assert_eq!(a.index(), b.index(), "{name}");
        }
        let node = |history: &History, txn: Txn<'_>| {
            txn.node().map(|node| history.nodes()[node.index()].to_string())
        };
        let facts = |history: &History, txn: Txn<'_>| {
            (
                (txn.process(), txn.kind(), txn.function(), txn.is_final(), txn.version()),
                history.session_name(txn.session()),
                node(history, txn),
                (txn.waited(), txn.error().map(str::to_owned)),
                accesses(history, txn),
            )
        };
        assert_eq!(facts(one, a), facts(other, b), "{name}: {a} against {b}");
    }
    if compares_indices {
        assert!(real_time(one) == real_time(other), "{name}");
    }
    for key in one.keys() {
        let same = other.keys().find(|k| other.key_name(*k) == one.key_name(key));
        let datatype = same.map(|key| other.datatype(key));
        assert_eq!(datatype, Some(one.datatype(key)), "{name}");
    }
    assert_eq!(one.faults(), other.faults(), "{name}");
}

/// The real-time order: for each transaction the first one that was invoked after its return.
fn real_time(history: &History) -> Vec<usize> {
    let invoked: Vec<Rank> = history.txns().map(Txn::invoked).collect();
    history.txns().map(|txn| invoked.partition_point(|rank| *rank < txn.returned())).collect()
}

fn written(history: &History, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_history(history, format, &mut bytes).expect("a writable format");
    bytes
}

#[test]
fn every_history_is_read() {
    for file in corpus() {
        let history = read(&file, None).unwrap_or_else(|error| panic!("{error}"));
        assert!(!history.is_empty() || !history.faults().is_empty(), "{}", file.display());
    }
}

#[test]
fn every_history_reads_the_same_in_every_format() {
    for file in corpus() {
        let history = read(&file, None).unwrap_or_else(|error| panic!("{error}"));
        let is_listed = fs::read(&file)
            .is_ok_and(|bytes| bytes.starts_with(b"{\"i\"") || bytes.starts_with(b"# "));
        // Those of registers alone say less; the lines of EDN are in order, which says more.
        let mut formats = vec![Format::Jsonl, Format::Operations];
        formats.extend(history.has_real_time().then_some(Format::Edn));
        let is_listed = is_listed || !history.has_real_time();
        for format in formats {
            let bytes = written(&history, format);
            let name = format!("{} as {}", file.display(), format.name());
            let again =
                read_bytes(&name, &bytes, Some(format)).unwrap_or_else(|error| panic!("{error}"));
            assert_same(&name, &history, &again, !is_listed || format == Format::Operations);
            if history.len() > 2_000 {
                continue;
            }
            assert_eq!(written(&again, format), bytes, "{name}: written twice");
            // Without being told, the format is found.
            let found =
                read_bytes("history", &bytes, None).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(found.len(), history.len(), "{name}");
        }
    }
}

#[test]
fn real_time_survives_where_the_times_do_not_tell_it() {
    // No times at all: the order of the lines is all there is.
    let log = "INFO  jepsen.util - 0\t:invoke\t:write\t1\nINFO  jepsen.util - 0\t:ok\t:write\t1\n\
               INFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 1\t:ok\t:read\tnil\n";
    let history = read_bytes("log", log.as_bytes(), None).unwrap();
    let again = read_bytes("ops", &written(&history, Format::Operations), None).unwrap();
    let txns: Vec<Txn<'_>> = again.txns().collect();
    assert!(txns[0].precedes(txns[1]));
    assert_eq!(txns[1].read(), Some(ValueId::NULL));
    assert_eq!(txns[1].kind(), Kind::Ok);
}

fn edn(text: &str) -> History {
    read_bytes("h.edn", text.as_bytes(), Some(Format::Edn))
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Every transaction as text, without its times.
fn told(history: &History) -> Vec<String> {
    history
        .txns()
        .map(|txn| {
            let parts: Vec<String> = accesses(history, txn)
                .into_iter()
                .map(|(function, key, value)| {
                    let value = value.map_or("?".to_owned(), |value| value.to_string());
                    format!("{function} {key} {value}")
                })
                .collect();
            format!("{} {} {}", txn.process(), txn.kind().name(), parts.join(", "))
        })
        .collect()
}

#[test]
fn edn_is_read_in_all_its_dresses() {
    let history = edn(
        "; a comment\n\
         #jepsen.history.Op{:process 0, :type :invoke, :f :write, :value :a/b, :time -1}\n\
         ^{:line 3} {:type :ok :process 0 :f \"write\" :value :a/b #_ {:gone [1]} :exception #error {:via [1]}}\n\
         {:process 1 :type :invoke :f :write :value 1/3, :at #inst \"2020-01-01\"}\n\
         {:process 2 :type :invoke :f :write :value 123456789012345678901N}\n\
         {:process 3 :type :invoke :f :write :value 1.50M}\n\
         {:process 4 :type :invoke :f :write :value ##NaN}\n\
         {:process 5 :type :invoke :f :write :value \\newline}\n\
         {:process 6 :type :invoke :f :write :value (1 [2 \"\\u00e9\"] {:k nil})}\n\
         {:process 7 :type :invoke :f :write :value \"\"}\n",
    )
    .txns()
    .map(|txn| txn.to_string())
    .collect::<Vec<_>>();
    let shown: Vec<&str> = history
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap_or_default())
        .map(|line| line.split(", unknown").next().unwrap_or_default())
        .collect();
    assert_eq!(shown[0], "write a/b", "a history without a clock shows no times");
    assert_eq!(shown[1..5], ["write 1/3", "write 123456789012345678901", "write 1.5", "write NaN"]);
    assert_eq!(shown[5..], ["write \n", "write [1, [2, \"é\"], {k", "write "]);
}

#[test]
fn independent_tuples_are_keys_and_plain_pairs_are_not() {
    let keyed = edn("{:process 0, :type :invoke, :f :write, :value [1 [2 3]]}\n\
         {:process 0, :type :ok, :f :write, :value [1 [2 3]]}\n\
         {:process 1, :type :invoke, :f :cas, :value [\"k\" [4 5]]}\n\
         {:process 1, :type :info, :f :cas, :value :timed-out}\n\
         {:process 2, :type :invoke, :f :read, :value [1 nil]}\n\
         {:process 2, :type :ok, :f :read, :value [1 [2 3]]}\n");
    assert_eq!(
        told(&keyed),
        [
            "0 ok write Int(1) [2, 3]",
            "1 info read Text(\"k\") 4, write Text(\"k\") 5",
            "2 ok read Int(1) [2, 3]"
        ]
    );
    // The last line alone says that this is one register of pairs.
    let plain = edn("{:process 0, :type :invoke, :f :write, :value [1 2]}\n\
         {:process 0, :type :ok, :f :write, :value [1 2]}\n\
         {:process 2, :type :invoke, :f :read, :value nil}\n\
         {:process 2, :type :ok, :f :read, :value [1 2]}\n");
    assert_eq!(told(&plain), ["0 ok write Null [1, 2]", "2 ok read Null [1, 2]"]);
    let cas = edn("{:process 0, :type :invoke, :f :cas, :value [1 2]}\n");
    assert_eq!(told(&cas), ["0 info read Null 1, write Null 2"]);
    let writes = edn("{:process 0, :type :invoke, :f :write, :value [1 2]}\n");
    assert_eq!(told(&writes), ["0 info write Null [1, 2]"]);
}

#[test]
fn hints_and_reasons_in_place_of_values_are_not_believed() {
    let history = edn("[{:process 0, :type :invoke, :f :read, :value 7}\n\
          {:process 1, :type :invoke, :f :write, :value 3}\n\
          {:process 1, :type :info, :f :write, :value :timed-out, :error :timeout}\n\
          {:process 2, :type :invoke, :f :read, :value 9}\n\
          {:process 2, :type :fail, :f :read, :value 9}]");
    assert_eq!(told(&history), ["0 info read Null ?", "1 info write Null 3", "2 fail read Null ?"]);
    let error = history.txns().nth(1).and_then(Txn::error);
    assert_eq!(error, Some("timeout"));
}

#[test]
fn times_that_run_backwards_in_edn_are_a_warning() {
    let history = edn("{:process 0, :type :invoke, :f :write, :value 1, :time 5}\n\
         {:process 0, :type :ok, :f :write, :value 1, :time 9}\n\
         {:process 1, :type :invoke, :f :read, :time 8}\n\
         {:process 1, :type :ok, :f :read, :value 1, :time 7}\n");
    assert_eq!(history.warnings().len(), 1);
    assert!(history.warnings()[0].starts_with("line 3: time runs backwards"));
    let txns: Vec<Txn<'_>> = history.txns().collect();
    assert!(txns[0].precedes(txns[1]));
}

#[test]
fn operations_without_processes_are_each_their_own_client() {
    let history = edn("{:type :invoke :f :read}\n{:type :invoke :f :write :value 4}\n\
         {:type :ok :f :write :value 4}\n{:type :ok :f :read :value #{4 5}}\n");
    // What reads as a set is added to, not overwritten.
    assert_eq!(told(&history), ["0 ok read Null [4, 5]", "1 ok add Null 4"]);
}

#[test]
fn faults_have_a_beginning_and_an_end_in_every_format() {
    let history =
        edn("{:process :nemesis, :type :info, :f :start-partition, :value [:n1], :time 1}\n\
         {:process :nemesis, :type :info, :f :start-partition, :value :cut, :time 2}\n\
         {:process 0, :type :invoke, :f :write, :value 1, :time 3}\n\
         {:process :nemesis, :type :info, :f :kill, :value nil, :time 4}\n\
         {:process :nemesis, :type :info, :f :kill, :value nil, :time 5}\n\
         {:process :nemesis, :type :info, :f :stop-partition, :time 6}\n\
         {:process :nemesis, :type :info, :f :stop-partition, :time 7}\n");
    let windows: Vec<String> = history
        .faults()
        .iter()
        .map(|fault| format!("{} {} {} {}", fault.id, fault.name, fault.begin.0, fault.end.0))
        .collect();
    assert_eq!(windows, ["F1 partition 1 6", &format!("F2 kill 4 {}", u64::MAX)]);
    for format in [Format::Jsonl, Format::Operations, Format::Edn] {
        let again = read_bytes("faults", &written(&history, format), Some(format))
            .unwrap_or_else(|error| panic!("{error}"));
        assert_same(format.name(), &history, &again, true);
    }
}

#[test]
fn how_long_an_operation_was_due_survives_in_every_format() {
    let text = "{\"time\":5,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"key\":\"x\",\"value\":1,\"waited_ns\":7}\n\
                {\"time\":9,\"process\":0,\"type\":\"ok\",\"f\":\"write\",\"key\":\"x\",\"value\":1}\n";
    let history = read_bytes("h", text.as_bytes(), None).unwrap_or_else(|error| panic!("{error}"));
    for format in [Format::Jsonl, Format::Operations, Format::Edn] {
        let bytes = written(&history, format);
        let again = read_bytes("h", &bytes, Some(format)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.txns().next().map(Txn::waited), Some(Nanos(7)), "{}", format.name());
    }
}

#[test]
fn the_operation_form_counts_milliseconds() {
    let text = "{\"i\":1,\"p\":0,\"type\":\"ok\",\"inv\":12,\"ret\":12.000001,\"f\":\"w\",\"k\":\"x\",\"v\":1}\n\
                {\"i\":0,\"p\":1,\"s\":9,\"type\":\"info\",\"inv\":1e1,\"ret\":null,\"f\":\"rmw\",\"k\":\"x\",\"v\":[1,2]}\n";
    let history = read_bytes("h", text.as_bytes(), None).unwrap_or_else(|error| panic!("{error}"));
    let txns: Vec<Txn<'_>> = history.txns().collect();
    assert_eq!((txns[0].index(), txns[0].invoked_at().0), (0, 10_000_000));
    assert_eq!((txns[1].invoked_at().0, txns[1].returned_at().0), (12_000_000, 12_000_001));
    assert_eq!(history.session_name(txns[0].session()), 9);
    // What an operation of unknown outcome read is not believed.
    assert_eq!(told(&history)[0], "1 info read Text(\"x\") ?, write Text(\"x\") 2");
}

#[test]
fn what_was_recorded_is_read_after_a_crash_at_any_byte() {
    let header = Header { format: 1, workload: Some("register".into()), ..Header::default() };
    let mut writer = Writer::new(Vec::new(), &header).expect("memory");
    let fault = |begins| {
        let value = if begins { Value::list(["n1".into()]) } else { Value::Null };
        What::Fault(FaultEvent { id: Some(FaultId(1)), begins, name: "kill".into(), value })
    };
    let client = |kind, op, process| What::Client(ClientEvent::new(Process(process), kind, op));
    let key = || Value::from("a \"key\"\n");
    let seen = Op::single(Function::Read, key(), 41.into());
    let whats = [
        client(Kind::Invoke, Op::write(key(), 41.into()), 0),
        fault(true),
        client(Kind::Ok, Op::write(key(), 41.into()), 0),
        client(Kind::Invoke, Op::read(key()), 1),
        fault(false),
        client(Kind::Ok, seen, 1),
    ];
    let mut builder = Builder::new();
    builder.header(header);
    for (at, what) in whats.into_iter().enumerate() {
        let event = Event { time: Nanos(10 * at as u64), what };
        writer.record(&event).expect("memory");
        builder.event(&event).expect("a good history");
    }
    let live = builder.finish().expect("a good history");
    let bytes = writer.into_inner();
    let read_back = |bytes: &[u8]| {
        read_bytes("run.jsonl", bytes, Some(Format::Jsonl))
            .unwrap_or_else(|error| panic!("{error}"))
    };
    let whole = read_back(&bytes);
    assert_same("run.jsonl", &live, &whole, true);
    assert_eq!(whole.header(), live.header());
    for end in 0..bytes.len() {
        let lines = bytes[..end].split(|byte| *byte == b'\n').count() - 1;
        // The header, two lines before the second invocation's, …
        let expected = usize::from(lines > 1) + usize::from(lines > 4);
        let history = read_back(&bytes[..end]);
        let is_whole_line = end > 0 && bytes[end] == b'\n';
        assert!(history.len() == expected || is_whole_line, "{end}");
    }
}

#[test]
fn compressed_files_are_read_as_they_are() {
    let text =
        b"{\"i\":0,\"p\":0,\"type\":\"ok\",\"inv\":1,\"ret\":2,\"f\":\"w\",\"k\":\"x\",\"v\":1}\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).expect("memory");
    let zstd = zstd::encode_all(&text[..], 1).expect("memory");
    for bytes in [gzip.finish().expect("memory"), zstd] {
        assert_eq!(read_bytes("h", &bytes, None).map(|history| history.len()), Ok(1));
    }
}
