//! How fast histories are read: 10^6 operations in each form, on one core and on two.
//!
//! `cargo bench --bench read` prints seconds of the clock and of all processors, and what the columns take.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use rashomon::history::{Format, History, read_bytes, write_history};
use rashomon::model::Random;

const OPERATIONS: u64 = 1_000_000;

/// A history of reads and unique writes of eight registers by ten clients, in event form.
fn registers() -> String {
    let mut random = Random::stream(7, "bench");
    let mut text = String::with_capacity(220 * OPERATIONS as usize);
    let mut last = [None; 8];
    for op in 0..OPERATIONS {
        let (process, key) = (op % 10, random.below(8));
        let (index, time) = (2 * op, 1_000_000 + 2_000 * op);
        let is_write = random.chance(0.5);
        let (f, argument) = if is_write { ("write", Some(op)) } else { ("read", None) };
        if is_write {
            last[key as usize] = Some(op);
        }
        let shown = |value: Option<u64>| value.map_or("null".to_owned(), |value| value.to_string());
        let mut line = |index: u64, kind: &str, value: Option<u64>| {
            let (time, value) = (time + 1_000 * (index % 2), shown(value));
            let _ = writeln!(
                text,
                "{{\"index\":{index},\"time\":{time},\"process\":{process},\"type\":\"{kind}\",\
                 \"f\":\"{f}\",\"key\":\"k{key}\",\"value\":{value},\"node\":\"n{}\"}}",
                process % 3
            );
        };
        line(index, "invoke", argument);
        line(index + 1, "ok", last[key as usize]);
    }
    text
}

/// Transactions of four micro-operations on lists, in EDN as Jepsen prints it.
fn lists(separator: &str) -> String {
    let mut random = Random::stream(7, "lists");
    let mut text = String::new();
    let mut lists: Vec<Vec<u64>> = vec![Vec::new(); 4];
    for op in 0..OPERATIONS / 10 {
        let mut mops = [String::new(), String::new()];
        for _ in 0..4 {
            let key = random.below(4) as usize;
            if lists[key].len() > 16 {
                lists[key].clear();
            }
            if random.chance(0.5) {
                lists[key].push(op);
                for mops in &mut mops {
                    let _ = write!(mops, "[:append {key} {op}] ");
                }
            } else {
                let _ = write!(mops[0], "[:r {key} nil] ");
                let _ = write!(mops[1], "[:r {key} {:?}] ", lists[key]);
            }
        }
        for (at, kind) in ["invoke", "ok"].iter().enumerate() {
            let index = 2 * op + at as u64;
            let _ = write!(
                text,
                "{{:type :{kind}, :f :txn, :value [{}], :process {}, :time {}, :index {index}}}{separator}",
                mops[at].trim_end(),
                op % 20,
                1000 * index
            );
        }
    }
    text
}

/// How long all threads have been on a processor: the figures hold on a busy machine as well.
fn cpu_seconds() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux").flatten();
    let nanos = threads.filter_map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanos.sum::<f64>() / 1e9
}

fn measure(name: &str, bytes: &[u8], format: Format) -> History {
    let mut history = None;
    for cores in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().expect("threads");
        let (mut wall, mut processors) = (f64::MAX, f64::MAX);
        for _ in 0..5 {
            let (begin, start) = (Instant::now(), cpu_seconds());
            let read = || read_bytes(name, bytes, Some(format)).expect("a good history");
            history = Some(black_box(pool.install(read)));
            wall = wall.min(begin.elapsed().as_secs_f64());
            processors = processors.min(cpu_seconds() - start);
        }
        let megabytes = bytes.len() as f64 / 1e6;
        println!(
            "{name:<28} {megabytes:>7.1} MB, {cores} cores: {wall:>6.3} s, {processors:>6.3} s on processors, {:>6.0} MB/s",
            megabytes / wall,
        );
    }
    let history = history.expect("five runs");
    let operations = history.len() as f64;
    println!("{name:<28} {:>6.1} heap bytes/op", history.heap_bytes() as f64 / operations);
    history
}

fn main() {
    let text = registers();
    let history = measure("registers, event form", text.as_bytes(), Format::Jsonl);
    let packed = zstd::bulk::compress(text.as_bytes(), 0).expect("packed");
    measure("registers, event form, zstd", &packed, Format::Jsonl);
    for (name, format) in [
        ("registers, columnar", Format::Columnar),
        ("registers, operation form", Format::Operations),
        ("registers, EDN", Format::Edn),
    ] {
        let mut bytes = Vec::new();
        write_history(&history, format, &mut bytes).expect("a writable format");
        measure(name, &bytes, format);
    }
    let transactions = measure("lists, EDN", lists("\n").as_bytes(), Format::Edn);
    for (name, format) in
        [("lists, event form", Format::Jsonl), ("lists, columnar", Format::Columnar)]
    {
        let mut bytes = Vec::new();
        write_history(&transactions, format, &mut bytes).expect("a writable format");
        measure(name, &bytes, format);
    }
    measure("lists, EDN in one line", format!("[{}]", lists(" ")).as_bytes(), Format::Edn);
    for (name, format) in
        [("write, event form", Format::Jsonl), ("write, columnar", Format::Columnar)]
    {
        let start = cpu_seconds();
        let mut bytes = Vec::new();
        write_history(&history, format, &mut bytes).expect("a writable format");
        let seconds = cpu_seconds() - start;
        let megabytes = bytes.len() as f64 / 1e6;
        println!("{name:<28} {megabytes:>7.1} MB in {seconds:.3} s on processors");
    }
}
