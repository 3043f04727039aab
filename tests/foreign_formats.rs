//! Histories of other checkers: without times, and of containers.
//!
//! Of AWDIT, Plume and fastlin there are files beside this crate; the logs of Cobra and DBCop are
//! made here, byte by byte, after what their own tools write.

#![expect(clippy::print_stderr, reason = "a test says what it skips")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rashomon::check::{Expected, Limits, Property, Status, assess};
use rashomon::history::{Format, History, Rank, Txn, read, read_bytes, write_history};
use rashomon::model::Kind;

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/histories").join(name);
    if !path.exists() {
        eprintln!("skipped: there is no {}", path.display());
    }
    path.exists().then_some(path)
}

fn good(text: &str, format: Format) -> History {
    read_bytes("text", text.as_bytes(), Some(format)).unwrap_or_else(|error| panic!("{error}"))
}

/// Every transaction in words, by session.
fn told(history: &History) -> Vec<Vec<String>> {
    let sessions = history.by_session();
    let word = |txn: Txn<'_>| {
        let mut word = txn.kind().name().to_owned();
        for access in txn.accesses() {
            let (key, value) = (history.key_name(access.key), history.values().value(access.value));
            let _ = write!(word, " {} {key} {value}", access.function.name());
        }
        word
    };
    (0..history.session_count() as u32)
        .map(|session| sessions.group(session).iter().map(|id| word(history.txn(*id))).collect())
        .collect()
}

fn converted(history: &History, format: Format) -> Result<History, String> {
    let mut bytes = Vec::new();
    write_history(history, format, &mut bytes).map_err(|error| error.to_string())?;
    Ok(read_bytes("converted", &bytes, Some(format)).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn sessions_of_awdit() {
    let history = good("w 0 1\nr 1 2\n---\nw 0 2\n=====\n\n====\nr 0 2", Format::Awdit);
    assert_eq!(
        told(&history),
        [vec!["ok write 0 1 read 1 2", "ok write 0 2"], vec!["ok read 0 2"]]
    );
    assert!(!history.has_real_time());
    assert!(history.txns().all(|txn| txn.returned() == Rank::NEVER));
}

#[test]
fn transactions_of_plume_may_be_apart_and_zero_is_there_at_first() {
    let text = "w(1,5,0,0)\nr(2,0,7,1)\nr(1,5,0,0)\nw(3,0,7,-1)\nr(3,0,7,-1)\nr(3,0,7,2)\n";
    let history = good(text, Format::Plume);
    assert_eq!(
        told(&history),
        [
            vec!["ok write 1 5 read 1 5"],
            vec!["ok read 2 nothing", "fail write 3 0", "fail read 3 nothing", "ok read 3 0"]
        ]
        .map(|session| session.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    );
}

/// A log of Cobra: letters, and the numbers that follow each.
fn cobra(records: &[(u8, &[i64])]) -> Vec<u8> {
    let mut log = Vec::new();
    for (letter, numbers) in records {
        log.push(*letter);
        log.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    }
    log
}

#[test]
fn logs_of_cobra() {
    let first = cobra(&[
        (b'S', &[1]),
        (b'W', &[10, -7, 3]),
        (b'C', &[1]),
        (b'S', &[3]),
        (b'W', &[11, -7, 4]),
        (b'A', &[3]),
    ]);
    let second = cobra(&[
        (b'S', &[2]),
        (b'R', &[1, 10, -7, 3]),
        (b'R', &[0xbebe_ebee, 0xbebe_ebee, 8, 0]),
        (b'C', &[2]),
        (b'S', &[4]),
        (b'W', &[12, 8, 5]),
    ]);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cobra");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("T1.log"), &first).expect("a log");
    fs::write(folder.join("T2.log"), &second).expect("a log");
    let history = read(&folder, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        told(&history),
        [
            ["ok write -7 10", "fail write -7 11"],
            ["ok read -7 10 read 8 nothing", "info write 8 12"]
        ]
    );
    // The folder is told by its content, and so is one log alone.
    assert!(rashomon::history::is_one_history(&folder));
    assert_eq!(read_bytes("one", &first, None).expect("a good log").len(), 2);

    for (log, what) in [
        (cobra(&[(b'S', &[1]), (b'S', &[2])]), "byte 9: a transaction begins, but 1 has not ended"),
        (cobra(&[(b'S', &[1]), (b'C', &[2])]), "byte 9: transaction 2 ends, but 1 had begun"),
        (cobra(&[(b'W', &[1, 1, 1])]), "byte 0: a record outside of transactions"),
        (cobra(&[(b'S', &[1]), (b'R', &[1])]), "byte 9: the file ends within a record"),
        (cobra(&[(b'X', &[])]), "byte 0: unknown record 0x58"),
    ] {
        let error = read_bytes("log", &log, Some(Format::Cobra)).expect_err(what);
        assert!(error.to_string().contains(what), "{error}");
    }
}

/// A transaction of DBCop: events (write?, variable, value, success?), and whether it succeeded.
type Transaction<'a> = (&'a [(bool, u64, u64, bool)], bool);

/// A history of DBCop, by session.
fn dbcop(sessions: &[&[Transaction<'_>]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |bytes: &mut Vec<u8>, number: usize| {
        bytes.extend((number as u64).to_le_bytes());
    };
    (0..5).for_each(|one| number(&mut bytes, one));
    for text in ["", "2019-06-01T12:00:00+02:00", "2019-06-01T12:00:01+02:00"] {
        number(&mut bytes, text.len());
        bytes.extend(text.bytes());
    }
    number(&mut bytes, sessions.len());
    for session in sessions {
        number(&mut bytes, session.len());
        for (events, success) in *session {
            number(&mut bytes, events.len());
            for (is_write, variable, value, success) in *events {
                bytes.push(u8::from(*is_write));
                number(&mut bytes, *variable as usize);
                number(&mut bytes, *value as usize);
                bytes.push(u8::from(*success));
            }
            bytes.push(u8::from(*success));
        }
    }
    bytes
}

#[test]
fn histories_of_dbcop() {
    let bytes = dbcop(&[
        &[(&[(true, 0, 4, true), (true, 1, 5, false)], true), (&[(true, 0, 6, true)], false)],
        &[(&[(false, 0, 4, true), (false, 1, 0, true), (false, 1, 9, false)], true)],
    ]);
    let history = read_bytes("history", &bytes, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        told(&history),
        [
            vec!["ok write 0 4", "info write 1 5", "info write 0 6"],
            vec!["ok read 0 4 read 1 nothing"]
        ]
    );
    for cut in 0..bytes.len() {
        let error = read_bytes("cut", &bytes[..cut], Some(Format::Dbcop));
        assert!(error.is_err(), "cut at {cut}");
    }
}

/// What no order of events shows is claimed by no verdict, and what holds at any times stays.
#[test]
fn nothing_is_claimed_of_real_time_without_times() {
    // Session 1 reads what session 0 overwrote: fine, as nobody knows when.
    let history = good("w 0 1\n---\nw 0 2\n===\nr 0 1\n", Format::Awdit);
    let assessment = assess(&history, &Limits::default(), Expected::linearizable());
    for verdict in &assessment.verdicts {
        assert_ne!(verdict.status, Status::Invalid, "{verdict:?}");
    }
    let lin = assessment.verdict(Property::Lin).expect("a verdict");
    assert_eq!(lin.status, Status::Unknown);
    let fut = assessment.verdict(Property::Fut).expect("a verdict");
    assert!(fut.reason.as_ref().is_some_and(|reason| reason.contains("no times")), "{fut:?}");

    // The same with times is a stale read, though the file lists the operations in the same order.
    let timed = |timeless: bool| {
        let header =
            if timeless { "{\"rashomon\":{\"format\":1,\"timeless\":true}}\n" } else { "" };
        let mut text = header.to_owned();
        for (index, process, f, value) in
            [(0, 0, "write", 1), (2, 0, "write", 2), (4, 1, "read", 1)]
        {
            for (index, kind) in [(index, "invoke"), (index + 1, "ok")] {
                let _ = writeln!(
                    text,
                    "{{\"index\":{index},\"time\":{index},\"process\":{process},\"type\":\"{kind}\",\
                     \"f\":\"{f}\",\"key\":\"x\",\"value\":{value}}}"
                );
            }
        }
        let assessment =
            assess(&good(&text, Format::Jsonl), &Limits::default(), Expected::default());
        let status = |property| assessment.verdict(property).map(|verdict| verdict.status);
        [Property::Lin, Property::Reg, Property::Fut, Property::Thin].map(status)
    };
    let (valid, unknown, invalid) =
        (Some(Status::Valid), Some(Status::Unknown), Some(Status::Invalid));
    assert_eq!(timed(false), [invalid, invalid, valid, valid]);
    assert_eq!(timed(true), [unknown, unknown, unknown, valid]);
}

#[test]
fn histories_without_times_are_converted() {
    let text = "w(1,5,0,0)\nr(2,0,7,1)\nr(1,5,0,0)\nw(3,9,7,-1)\nr(1,5,7,2)\n";
    let history = good(text, Format::Plume);
    for format in [Format::Jsonl, Format::Operations, Format::Plume] {
        let again = converted(&history, format).unwrap_or_else(|error| panic!("{error}"));
        assert!(!again.has_real_time(), "{}", format.name());
        assert!(again.txns().all(|txn| txn.returned() == Rank::NEVER));
        assert_eq!(told(&again), told(&history), "{}", format.name());
    }
    let awdit = converted(&history, Format::Awdit).expect("it fits");
    assert_eq!(
        told(&awdit),
        [
            vec!["ok write 1 0 write 2 0 write 3 0"],
            vec!["ok write 1 5 read 1 5"],
            vec!["ok read 2 0", "ok read 1 5"]
        ]
    );
    let error = converted(&history, Format::Edn).expect_err("the lines of EDN are in order");
    assert!(error.contains("this history has no times"), "{error}");
}

#[test]
fn what_does_not_fit_says_why() {
    let fails = |text: &str, from: Format, to: Format| {
        let error = converted(&good(text, from), to).expect_err(text);
        assert!(!error.is_empty());
        error
    };
    let list = "{:process 0, :type :invoke, :f :txn, :value [[:append 1 1]]}\n";
    assert!(fails(list, Format::Edn, Format::Plume).contains("key 1 is a list"));
    let open = "{:process 0, :type :invoke, :f :txn, :value [[:w 1 1]]}\n";
    assert!(
        fails(open, Format::Edn, Format::Awdit).contains("whether the writes of #0 took effect")
    );
    let aborted = "w(1,5,0,-1)\nr(1,5,1,1)\n";
    assert!(fails(aborted, Format::Plume, Format::Awdit).contains("which failed, was read"));
}

#[test]
fn elles_transactions_on_registers_become_plume_and_awdit() {
    for name in ["rw-register-ssi", "rw-register-si", "rw-register-prefix"] {
        let Some(path) = shared(&format!("elle-sim/{name}-10k.edn.gz")) else { continue };
        let history = read(&path, None).unwrap_or_else(|error| panic!("{error}"));
        let committed = history.txns().filter(|txn| txn.is_ok()).count();
        for format in [Format::Plume, Format::Awdit] {
            match converted(&history, format) {
                Ok(text) => {
                    let count = text.txns().filter(|txn| txn.kind() == Kind::Ok).count();
                    let opening = usize::from(format == Format::Awdit);
                    assert!((committed..=committed + opening).contains(&count), "{name}");
                }
                Err(error) => assert!(error.contains("took effect"), "{name}: {error}"),
            }
        }
        let again = converted(&history, Format::Edn).expect("EDN");
        assert_eq!(told(&again), told(&history), "{name}");
    }
}
