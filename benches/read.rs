//! How fast histories are read: 10^6 operations in each form, one thread.
//!
//! `cargo bench --bench read` prints megabytes a second, and what the columns take.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fmt::Write as _;
use std::hint::black_box;

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
fn lists() -> String {
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
            let _ = writeln!(
                text,
                "{{:type :{kind}, :f :txn, :value [{}], :process {}, :time {}, :index {index}}}",
                mops[at].trim_end(),
                op % 20,
                1000 * index
            );
        }
    }
    text
}

/// How long this thread has been on a processor: the figures hold on a busy machine as well.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.expect("nanoseconds on a processor") / 1e9
}

fn measure(name: &str, bytes: &[u8], format: Format) -> History {
    let mut best = f64::MAX;
    let mut history = None;
    for _ in 0..5 {
        let start = cpu_seconds();
        let read = black_box(read_bytes(name, bytes, Some(format)).expect("a good history"));
        best = best.min(cpu_seconds() - start);
        history = Some(read);
    }
    let history = history.expect("five runs");
    let (megabytes, operations) = (bytes.len() as f64 / 1e6, history.len() as f64);
    println!(
        "{name:<28} {megabytes:>7.1} MB {:>7.1} bytes/op {:>8.0} MB/s {:>6.2} M op/s {:>6.1} heap bytes/op",
        bytes.len() as f64 / operations,
        megabytes / best,
        operations / best / 1e6,
        history.heap_bytes() as f64 / operations,
    );
    history
}

fn main() {
    let text = registers();
    let history = measure("registers, event form", text.as_bytes(), Format::Jsonl);
    for (name, format) in
        [("registers, operation form", Format::Operations), ("registers, EDN", Format::Edn)]
    {
        let mut bytes = Vec::new();
        write_history(&history, format, &mut bytes).expect("a writable format");
        measure(name, &bytes, format);
    }
    measure("lists, EDN", lists().as_bytes(), Format::Edn);
    let start = cpu_seconds();
    let mut bytes = Vec::new();
    write_history(&history, Format::Jsonl, &mut bytes).expect("a writable format");
    let seconds = cpu_seconds() - start;
    println!(
        "{:<28} {:>7.1} MB {:>26.0} MB/s",
        "write, event form",
        bytes.len() as f64 / 1e6,
        bytes.len() as f64 / 1e6 / seconds
    );
}
