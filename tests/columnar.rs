//! The columnar form says what the event form says, and nothing that happens to a file of it goes unseen.

#![expect(clippy::print_stderr, reason = "a test says what it skips")]

#[path = "oracle/files.rs"]
mod files;

use std::path::Path;

use files::files_below;
use flate2::Crc;
use rashomon::history::{
    Builder, Expectations, Format, Header, History, ReadError, read, read_bytes, write_history,
};
use rashomon::model::{
    ClientEvent, Event, FaultEvent, FaultId, Function, Kind, Mop, Nanos, Op, Process, Random,
    Value, What,
};

fn written(history: &History, format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_history(history, format, &mut bytes).expect("a writable format");
    bytes
}

fn read_again(bytes: &[u8]) -> Result<History, ReadError> {
    read_bytes("h", bytes, None)
}

/// The event form of a history that has been through a format.
fn by_way_of(name: &str, history: &History, format: Format) -> String {
    let bytes = written(history, format);
    let again = read_bytes(name, &bytes, None).unwrap_or_else(|error| panic!("{error}"));
    assert!(again.warnings().is_empty(), "{name}: {:?}", again.warnings());
    String::from_utf8(written(&again, Format::Jsonl)).expect("UTF-8")
}

#[test]
fn every_history_says_the_same_in_columns_as_in_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = files_below(&root.join("histories/valid"));
    files.extend(files_below(&root.join("histories/invalid")));
    assert!(files.len() > 100, "our own histories");
    let corpus = root.join("../shared");
    if corpus.exists() {
        files.extend(files_below(&corpus.join("histories")));
        files.extend(files_below(&corpus.join("spec/examples")));
    } else {
        eprintln!("skipped: no corpus beside this crate, only its own histories are compared");
    }
    let mut compared = 0;
    for file in files {
        let name = file.display().to_string();
        // Beside the histories there are notes on them.
        let Ok(history) = read(&file, None) else { continue };
        let lines = by_way_of(&name, &history, Format::Jsonl);
        assert!(by_way_of(&name, &history, Format::Columnar) == lines, "{name}");
        compared += 1;
    }
    eprintln!("{compared} histories compared");
    assert!(compared > 100);
}

fn text(random: &mut Random) -> String {
    let texts =
        ["", "é", "a\"b\\c\n\u{1}", "k1", "nothing", "\u{1f600}", "a longer text than the others"];
    (*random.pick(&texts)).to_owned()
}

fn value(random: &mut Random, depth: u32) -> Value {
    let items = |random: &mut Random| random.below(4);
    match random.below(if depth == 0 { 9 } else { 11 }) {
        0 => Value::Null,
        1 => Value::Bool(random.chance(0.5)),
        2 => Value::Int(random.next() as i64),
        3 => Value::Int(*random.pick(&[i64::MIN, i64::MAX, 0, -1])),
        4 => Value::text(&text(random)),
        5 => Value::Decimal(random.pick(&["1.5", "-0.25", "1e300"]).to_string().into()),
        6..=8 => Value::Int(random.below(100) as i64),
        9 => Value::list((0..items(random)).map(|_| value(random, depth - 1))),
        _ => Value::Map(
            (0..items(random))
                .map(|at| (Value::text(&format!("{at}{}", text(random))), value(random, depth - 1)))
                .collect(),
        ),
    }
}

fn operation(random: &mut Random) -> Op {
    let key = value(random, 1);
    match random.below(6) {
        0 => Op::cas(key, value(random, 1), value(random, 1)),
        1 => Op::rmw(key, value(random, 1)),
        2 => Op::txn(
            (0..random.below(4))
                .map(|_| {
                    let function =
                        *random.pick(&[Function::Read, Function::Write, Function::Append]);
                    Mop { function, key: value(random, 1), value: value(random, 1) }
                })
                .collect(),
        ),
        3 => Op::single(Function::Increment, key, Value::Int(random.next() as i64)),
        _ => {
            let functions = [Function::Read, Function::Write, Function::Add, Function::Dequeue];
            Op::single(*random.pick(&functions), key, value(random, 2))
        }
    }
}

/// The same operation, as it returns: what was read is there.
fn returned(random: &mut Random, op: &Op) -> Op {
    let mut op = op.clone();
    for mop in &mut op.mops {
        if matches!(mop.function, Function::Read | Function::Dequeue)
            && op.function != Function::Cas
        {
            mop.value = value(random, 2);
        }
    }
    op
}

fn header() -> Header {
    Header {
        format: 1,
        tool: "rashomon test".to_owned(),
        seed: Some(u64::MAX),
        nodes: vec!["n1".to_owned(), "é".to_owned()],
        expect: Expectations { hold: vec!["linearizable".to_owned()], ..Expectations::default() },
        ..Header::default()
    }
}

/// A history with everything that an event may carry.
fn history(seed: u64, events: usize) -> History {
    let mut random = Random::stream(seed, "columnar");
    let random = &mut random;
    let mut builder = Builder::new();
    if random.chance(0.7) {
        builder.header(header());
    }
    let mut open: Vec<(Process, Op)> = Vec::new();
    let mut faults = Vec::new();
    let (mut time, mut next) = (0, 0);
    for _ in 0..events {
        let most = 1 << random.below(40);
        time += random.below(most);
        let what = if random.chance(0.05) {
            let begins = faults.is_empty() || random.chance(0.5);
            let fault = if begins {
                next += 1;
                faults.push((FaultId(next), text(random)));
                faults.last().cloned()
            } else {
                faults.pop()
            };
            let (id, name) = fault.expect("one that is open");
            let value = if begins { value(random, 2) } else { Value::Null };
            What::Fault(FaultEvent { id: Some(id), begins, name: name.into(), value })
        } else {
            let completes = open.len() > 5 || (!open.is_empty() && random.chance(0.5));
            let (process, kind, op) = if completes {
                let at = random.below(open.len() as u64) as usize;
                let (process, op) = open.swap_remove(at);
                let kind = *random.pick(&[Kind::Ok, Kind::Ok, Kind::Fail, Kind::Info]);
                let op = if kind == Kind::Ok { returned(random, &op) } else { op };
                (process, kind, op)
            } else {
                next += 1;
                let op = operation(random);
                open.push((Process(next), op.clone()));
                (Process(next), Kind::Invoke, op)
            };
            let mut event = ClientEvent::new(process, kind, op);
            event.session = random.chance(0.3).then_some(process.0 / 3);
            event.node = random.chance(0.5).then(|| text(random).into());
            event.is_final = random.chance(0.1);
            if kind == Kind::Invoke {
                event.waited = Nanos(if random.chance(0.2) { random.below(1 << 40) } else { 0 });
            } else {
                event.version = random.chance(0.3).then(|| random.next() as i64);
                event.error = (kind != Kind::Ok && random.chance(0.5)).then(|| text(random));
            }
            What::Client(event)
        };
        builder.event(&Event { time: Nanos(time), what }).expect("a good event");
    }
    builder.finish().expect("a good history")
}

#[test]
fn random_histories_are_kept_byte_for_byte() {
    for seed in 0..300 {
        let history = history(seed, seed as usize % 80);
        let again = read_again(&written(&history, Format::Columnar)).expect("it is readable");
        assert_eq!(again.header(), history.header(), "seed {seed}");
        let lines = |history| String::from_utf8(written(history, Format::Jsonl)).expect("UTF-8");
        assert_eq!(lines(&again), lines(&history), "seed {seed}");
    }
}

/// Where each block of a file begins, the end included.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![8];
    while let Some(head) = bytes.get(places[places.len() - 1]..).and_then(|rest| rest.get(..4)) {
        let length = u32::from_le_bytes(head.try_into().expect("four bytes")) as usize;
        places.push(places[places.len() - 1] + 16 + length);
    }
    places
}

#[test]
fn a_file_of_many_blocks_is_read_as_far_as_it_is_whole() {
    let history = history(1, 40_000);
    let bytes = written(&history, Format::Columnar);
    let lines = by_way_of("h", &history, Format::Jsonl);
    assert_eq!(by_way_of("h", &history, Format::Columnar), lines);
    let places = blocks(&bytes);
    // The header, three blocks of events, and the end.
    assert_eq!(places.len(), 6);
    assert_eq!(places[5], bytes.len());
    for (block, begins) in places[..5].iter().enumerate().skip(2) {
        for end in [*begins, begins + 15] {
            let cut = read_again(&bytes[..end]).expect("it is readable");
            let warning = &cut.warnings()[0];
            let place = format!("cut off in the block at byte {begins}:");
            assert!(warning.contains(&place), "{warning}");
            let kept = 16_384 * (block - 1);
            assert!(warning.contains(&format!("the {} events", kept.min(40_000))), "{warning}");
            // What is kept are the first events: those of one block more begin with them.
            let kept = String::from_utf8(written(&cut, Format::Jsonl)).expect("UTF-8");
            assert!(lines.starts_with(&kept), "block {block}");
        }
    }
}

fn small() -> Vec<u8> {
    let history = (0..100).map(|seed| history(seed, 12)).find(|history| history.header().is_some());
    written(&history.expect("a history with a header"), Format::Columnar)
}

#[test]
fn a_file_cut_off_anywhere_says_so() {
    let bytes = small();
    let places = blocks(&bytes);
    for end in 0..bytes.len() {
        match read_bytes("h.rcol", &bytes[..end], None) {
            Ok(history) => {
                assert!(end >= places[1], "{end}");
                assert!(
                    history.warnings()[0].contains("the file is cut off in the block at"),
                    "{end}"
                );
                assert_eq!(history.is_empty(), end < places[2], "{end}");
            }
            Err(error) => {
                assert!(end < places[1], "{error}");
                assert!(
                    error.what.starts_with("byte ") || error.what.starts_with("empty"),
                    "{error}"
                );
            }
        }
    }
    let longer = [&bytes[..], b"x"].concat();
    let error = read_again(&longer).expect_err("it goes on").to_string();
    let expected = format!("h: byte {}: the file goes on after its end", bytes.len());
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_flipped_bit_anywhere_is_an_error_with_its_place_and_a_way_out() {
    let bytes = small();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            let read = read_bytes("h.rcol", &bytes, Some(Format::Columnar));
            let error = read.err().unwrap_or_else(|| panic!("bit {bit} of byte {at} is flipped"));
            let error = error.to_string();
            assert!(error.starts_with("h.rcol: byte "), "{error}");
            let has_way_out = error.contains("copy") || error.contains("converts it to jsonl");
            assert!(has_way_out, "{error}");
        }
    }
}

#[test]
fn a_version_to_come_is_named() {
    let mut bytes = small();
    bytes[7] = 2;
    let error = read_again(&bytes).expect_err("a version to come").to_string();
    assert!(error.starts_with("h: byte 7: format version 2; expected 1"), "{error}");
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

fn block(events: u32, data: &[u8]) -> Vec<u8> {
    let mut block = (data.len() as u32).to_le_bytes().to_vec();
    block.extend(events.to_le_bytes());
    block.extend(checksum(data));
    block.extend(checksum(&block));
    block.extend(data);
    block
}

/// A file with one block of events, whatever they are, and every checksum right.
fn file(events: u32, unpacked: &[u8]) -> Vec<u8> {
    let data = zstd::bulk::compress(unpacked, 1).expect("packed");
    [&b"\x8eRCOL\r\n\x01"[..], &block(0, b"null"), &block(events, &data), &block(0, b"")].concat()
}

fn refused(bytes: &[u8]) -> String {
    read_again(bytes).expect_err("it is refused").to_string()
}

#[test]
fn what_has_its_checksums_right_is_still_not_believed() {
    let bytes = small();
    let places = blocks(&bytes);
    let data = &bytes[places[1] + 16..places[2]];
    let unpacked = zstd::stream::decode_all(data).expect("a zstd frame");
    assert_eq!(read_again(&file(12, &unpacked)).expect("the same events").header(), None);
    let mut random = Random::stream(1, "spoil");
    let mut spoiled = 0;
    for round in 0..5_000 {
        let mut unpacked = unpacked.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(unpacked.len() as u64) as usize;
            match random.below(4) {
                0 => unpacked[at] ^= 1 << random.below(8),
                1 => unpacked[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
                2 => unpacked.truncate(at + 1),
                _ => unpacked.insert(at, random.next() as u8),
            }
        }
        match read_again(&file(12, &unpacked)) {
            Ok(history) => drop(written(&history, Format::Jsonl)),
            Err(error) => {
                spoiled += 1;
                assert!(error.what.starts_with("byte 28: "), "round {round}: {error}");
            }
        }
    }
    assert!(spoiled > 2_500, "{spoiled}");
}

#[test]
fn absurd_lengths_are_refused() {
    let columns = |columns: &[&[u8]]| {
        let mut data = Vec::new();
        for column in columns {
            data.push(column.len() as u8);
            data.extend_from_slice(column);
        }
        data.resize(data.len() + 17 - columns.len(), 0);
        data
    };
    // invoke of process 0: a txn of 2^63 micro-operations.
    let huge: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let head: [&[u8]; 6] = [&[0], &[0], &[0], &[0], &[0], &[0]];
    let mut txn = columns(&[&head[..], &[b"", b"", b"", b"", b"", huge]].concat());
    txn.truncate(txn.len() - 1);
    txn.extend([4, 3, b't', b'x', b'n']);
    let told = refused(&file(1, &txn));
    assert!(
        told.contains("event 1: 9223372036854775807 elements where only 0 values follow"),
        "{told}"
    );
    assert!(told.contains("`head -c 28` prints that"), "{told}");

    let text =
        columns(&[&head[..], &[b"", b"", b"", b"", b"", b"", b"", b"", b"", b"", huge]].concat());
    assert!(refused(&file(1, &text)).contains("its column 17 ends too early"));
    assert!(refused(&file(1, huge)).contains("its data end before its column 1"));
    let many = u32::MAX;
    assert!(refused(&file(many, &txn)).contains("4294967295 events; expected 0 in the first one"));
    assert!(refused(&file(2, &txn)).contains("damaged block"));
    // Some kilobytes that unpack to a quarter of a gibibyte.
    let bomb = zstd::bulk::compress(&vec![0; 1 << 28], 1).expect("packed");
    assert!(bomb.len() < 1 << 16);
    let bomb =
        [&b"\x8eRCOL\r\n\x01"[..], &block(0, b"null"), &block(1, &bomb), &block(0, b"")].concat();
    assert!(refused(&bomb).contains("bytes unpacked"));
}

#[test]
fn what_the_event_form_refuses_is_refused_here() {
    let lines = "{\"index\":0,\"time\":1,\"process\":0,\"type\":\"invoke\",\"f\":\"write\",\"value\":1}\n\
                 {\"index\":1,\"time\":2,\"process\":1,\"type\":\"invoke\",\"f\":\"write\",\"value\":2}\n";
    let history = read_bytes("h.jsonl", lines.as_bytes(), None).expect("a good history");
    let bytes = written(&history, Format::Columnar);
    let places = blocks(&bytes);
    let unpacked =
        zstd::stream::decode_all(&bytes[places[1] + 16..places[2]]).expect("a zstd frame");
    let spoiled = |from: &[u8], to: &[u8]| {
        let at =
            unpacked.windows(from.len()).position(|window| window == from).expect("it is there");
        let mut unpacked = unpacked.clone();
        unpacked[at..at + from.len()].copy_from_slice(to);
        refused(&file(2, &unpacked))
    };
    // The columns of processes and of kinds, each with its length.
    let told = spoiled(&[2, 0, 1, 2, 0, 1], &[2, 0, 0, 2, 0, 1]);
    assert!(
        told.contains("byte 28: event 2 of this block: process 0 invokes while its operation 0"),
        "{told}"
    );
    let told = spoiled(&[2, 0, 0, 2, 0, 0], &[2, 0, 1, 2, 0, 0]);
    assert!(told.contains("event 2 of this block: completion without invocation"), "{told}");
    let told = spoiled(b"write", b"wriet");
    assert!(
        told.contains("event 1: unknown function \"wriet\"; expected one of read, write"),
        "{told}"
    );
}
