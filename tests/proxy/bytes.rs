//! What a proxy does to bytes: nothing but what its rules say, and that at once.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rashomon::model::Random;
use rashomon::proxy::{New, Open, Packet};

use crate::{Proxy, connect, cut, free_ports, packet, pause, rashomon, wait};

const SECOND: Duration = Duration::from_secs(1);

/// A proxy with the one link n1>n2, a listener that is n2, and the port where n1 connects.
fn link() -> (Proxy, TcpListener, u16) {
    let base = free_ports();
    let node = TcpListener::bind(("127.0.0.1", base)).expect("a free port");
    let proxy = Proxy::start(&format!(
        "control = \"127.0.0.1:{}\"\n[[link]]\nfrom = \"n1\"\nto = \"n2\"\n\
         listen = \"127.0.0.1:{}\"\nconnect = \"127.0.0.1:{base}\"\n",
        base + 1,
        base + 2
    ));
    (proxy, node, base + 2)
}

/// A connection of n1 to n2, and its end at n2.
fn pair(node: &TcpListener, port: u16) -> (TcpStream, TcpStream) {
    let near = connect(port);
    let (far, _) = node.accept().expect("n2 is connected to");
    far.set_nodelay(true).expect("a socket");
    (near, far)
}

/// What arrives within a time: a byte, silence, or the end.
fn hear(stream: &mut TcpStream, within: Duration) -> Result<u8, ErrorKind> {
    stream.set_read_timeout(Some(within)).expect("a socket");
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => Err(ErrorKind::UnexpectedEof),
        Ok(_) => Ok(byte[0]),
        Err(error) => Err(error.kind()),
    }
}

const SILENCE: Result<u8, ErrorKind> = Err(ErrorKind::WouldBlock);

#[test]
fn a_cut_holds_one_direction_back_and_delivers_it_afterwards() {
    let (proxy, node, port) = link();
    let (mut near, mut far) = pair(&node, port);
    proxy.set("F1", &cut("n1>n2", Open::Hold, New::Hang));
    near.write_all(&[7]).expect("the sender is not told");
    assert_eq!(hear(&mut far, SECOND / 3), SILENCE);
    far.write_all(&[8]).expect("connected");
    assert_eq!(hear(&mut near, SECOND * 5), Ok(8), "the other direction is whole");
    // A new connection is not made, and is made afterwards, if it is still wanted.
    let (mut patient, hasty) = (connect(port), connect(port));
    patient.write_all(&[9]).expect("nobody tells it");
    drop(hasty);
    node.set_nonblocking(true).expect("a socket");
    pause(500);
    assert_eq!(node.accept().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    let stopped = proxy.undo("F1");
    assert_eq!(stopped["held-bytes"], 1);
    assert_eq!(stopped["hung"], 2);
    assert_eq!(hear(&mut far, SECOND * 5), Ok(7));
    node.set_nonblocking(false).expect("a socket");
    let (mut made, _) = node.accept().expect("it was still wanted");
    assert_eq!(hear(&mut made, SECOND * 5), Ok(9));
    node.set_nonblocking(true).expect("a socket");
    pause(300);
    assert!(node.accept().is_err(), "nobody wanted the other one any more");
}

/// Bytes flow as fast as they can when a cut comes: none is delivered after it is in force.
#[test]
fn when_a_cut_is_in_force_nothing_gets_through() {
    let (proxy, node, port) = link();
    let (mut near, mut far) = pair(&node, port);
    let arrived = Arc::new(AtomicU64::new(0));
    let count = arrived.clone();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(read @ 1..) = far.read(&mut bytes) {
            count.fetch_add(read as u64, Ordering::Relaxed);
        }
    });
    thread::spawn(move || while near.write_all(&[1; 1000]).is_ok() {});
    for round in 0..20 {
        let before = arrived.load(Ordering::Relaxed);
        wait("bytes", SECOND * 10, || arrived.load(Ordering::Relaxed) > before);
        proxy.remote().set("F1", &cut("n1>n2", Open::Hold, New::Hang)).expect("a rule");
        // What the kernel had for n2 is read.
        let mut last = arrived.load(Ordering::Relaxed);
        wait("silence", SECOND * 10, || {
            pause(100);
            std::mem::replace(&mut last, arrived.load(Ordering::Relaxed)) == last
        });
        pause(100);
        assert_eq!(arrived.load(Ordering::Relaxed), last, "round {round}");
        assert!(proxy.undo("F1")["held-bytes"].as_u64() > Some(0));
    }
}

#[test]
fn connections_are_reset_and_refused_where_that_is_asked_for() {
    let (proxy, node, port) = link();
    let (mut near, mut far) = pair(&node, port);
    proxy.set("F1", &cut("n2>n1", Open::Reset, New::Refuse));
    for end in [&mut near, &mut far] {
        assert_eq!(hear(end, SECOND * 5), Err(ErrorKind::ConnectionReset));
    }
    // The refusal may come before or after the connection is seen to be open.
    let refused = match TcpStream::connect(("127.0.0.1", port)) {
        Ok(mut near) => hear(&mut near, SECOND * 5),
        Err(error) => Err(error.kind()),
    };
    assert_eq!(refused, Err(ErrorKind::ConnectionReset));
    let stopped = proxy.undo("F1");
    assert_eq!((&stopped["reset"], &stopped["refused"]), (&1.into(), &1.into()));
    let (mut near, mut far) = pair(&node, port);
    near.write_all(&[1]).expect("whole again");
    assert_eq!(hear(&mut far, SECOND * 5), Ok(1));
    // However the proof falls: each time the rule is found to be in force.
    for round in 0..200 {
        proxy.set(&format!("R{round}"), &cut("n1>n2 n2>n1", Open::Reset, New::Refuse));
        proxy.undo(&format!("R{round}"));
    }
}

#[test]
fn of_a_half_open_connection_one_end_is_told() {
    let (proxy, node, port) = link();
    let (mut near, mut far) = pair(&node, port);
    proxy.set("F1", &cut("n1>n2", Open::HalfOpen, New::Hang));
    assert_eq!(hear(&mut far, SECOND * 5), Err(ErrorKind::ConnectionReset));
    near.write_all(&[1]).expect("the sender is not told");
    assert_eq!(hear(&mut near, SECOND / 3), SILENCE);
    assert_eq!(proxy.undo("F1")["held-bytes"], 1);
    assert_eq!(hear(&mut near, SECOND * 5), Err(ErrorKind::ConnectionReset), "then it learns");
    // Cut both ways, it is the end that opened the connection that is not told.
    let (mut near, mut far) = pair(&node, port);
    proxy.set("F2", &cut("n1>n2 n2>n1", Open::HalfOpen, New::Hang));
    assert_eq!(hear(&mut far, SECOND * 5), Err(ErrorKind::ConnectionReset));
    assert_eq!(hear(&mut near, SECOND / 3), SILENCE);
    proxy.undo("F2");
}

#[test]
fn every_second_connection_is_cut_where_only_answers_are_lost() {
    let (proxy, node, port) = link();
    let mut pairs = [pair(&node, port), pair(&node, port)];
    let mut asked = cut("n2>n1", Open::Hold, New::Pass);
    asked.half = true;
    proxy.set("F1", &asked);
    let mut heard = Vec::new();
    for (near, far) in &mut pairs {
        near.write_all(&[1]).expect("connected");
        assert_eq!(hear(far, SECOND * 5), Ok(1), "what is asked is done");
        far.write_all(&[2]).expect("connected");
        heard.push(hear(near, SECOND / 2));
    }
    assert_eq!(heard, [Ok(2), SILENCE]);
    proxy.undo("F1");
    assert_eq!(hear(&mut pairs[1].0, SECOND * 5), Ok(2));
}

#[test]
fn delay_rate_and_drip_are_as_asked_for() {
    let (proxy, node, port) = link();
    let (near, mut far) = pair(&node, port);
    let mut take = |count: usize| {
        let begun = Instant::now();
        let mut writer = near.try_clone().expect("a socket");
        let writer = thread::spawn(move || writer.write_all(&vec![3; count]));
        far.set_read_timeout(Some(SECOND * 20)).expect("a socket");
        far.read_exact(&mut vec![0; count]).expect("they come");
        writer.join().expect("no panic").expect("connected");
        begun.elapsed().as_secs_f64()
    };
    let plain = take(1);
    let shaped = |one: Packet| {
        proxy.set("P", &packet("n1>n2", one));
    };
    shaped(Packet { delay_ms: 200, jitter_ms: 50, ..Packet::default() });
    for _ in 0..5 {
        let took = take(1);
        assert!(took > 0.149, "delayed by {took} s, {plain} s without");
    }
    proxy.undo("P");
    shaped(Packet { rate_kbit: 800, ..Packet::default() });
    let took = take(100_000);
    assert!(took > 0.9, "100 kB at 100 kB/s took {took} s");
    println!("800 kbit/s: {} kbit/s", 800.0 / took);
    proxy.undo("P");
    shaped(Packet { drip_ms: 20, ..Packet::default() });
    let took = take(26);
    assert!(took > 0.45, "26 bytes, one each 20 ms, took {took} s");
    proxy.undo("P");
    assert!(take(100_000) < 0.8, "as fast as ever");
    near.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(hear(&mut far, SECOND * 5), Err(ErrorKind::UnexpectedEof), "an end is passed on");
}

#[test]
fn a_loss_ends_connections_as_often_as_asked_for() {
    let (proxy, node, port) = link();
    proxy.set("P", &packet("n1>n2", Packet { loss: 20.0, ..Packet::default() }));
    let mut lost = 0;
    let mut written = 0;
    while written < 600 {
        let (mut near, mut far) = pair(&node, port);
        loop {
            written += 1;
            near.write_all(&[1]).expect("the last was heard");
            if hear(&mut far, SECOND * 5).is_err() {
                lost += 1;
                break;
            }
        }
    }
    println!("{lost} connections lost in {written} writes at 20 %");
    // Six standard deviations of a binomial.
    assert!((60..=180).contains(&lost), "{lost} of {written}");
    assert_eq!(proxy.undo("P")["reset"], lost);
}

/// A megabyte each way while rules come and go: not a byte is lost, doubled or moved.
#[test]
fn a_stream_stays_what_it_is() {
    let (proxy, node, port) = link();
    let (near, far) = pair(&node, port);
    const COUNT: usize = 3 << 20;
    let stream = |seed: u64| {
        let mut random = Random::stream(seed, "bytes");
        (0..COUNT / 8).flat_map(move |_| random.next().to_le_bytes())
    };
    let send = |mut to: TcpStream, seed: u64| {
        thread::spawn(move || {
            let bytes: Vec<u8> = stream(seed).collect();
            let mut random = Random::stream(seed, "pieces");
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let piece = (random.between(1, 30_000) as usize).min(rest.len());
                to.write_all(&rest[..piece]).expect("connected");
                rest = &rest[piece..];
            }
            to.shutdown(Shutdown::Write).expect("connected");
        })
    };
    let receive = |mut from: TcpStream, seed: u64| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).expect("the end");
            assert_eq!(bytes.len(), COUNT);
            assert!(bytes.into_iter().eq(stream(seed)), "the same bytes");
        })
    };
    let copy = |stream: &TcpStream| stream.try_clone().expect("a socket");
    let tasks = [send(copy(&near), 1), send(copy(&far), 2), receive(far, 1), receive(near, 2)];
    let mut random = Random::stream(3, "rules");
    let mut rules = 0;
    while !tasks.iter().all(thread::JoinHandle::is_finished) {
        let way = ["n1>n2", "n2>n1", "n1>n2 n2>n1"][random.below(3) as usize];
        let delay = Packet { delay_ms: 5, jitter_ms: 5, ..Packet::default() };
        let rate = Packet { rate_kbit: 16_000, ..Packet::default() };
        let asked = match random.below(3) {
            0 => cut(way, Open::Hold, New::Hang),
            1 => packet(way, delay),
            _ => packet(way, rate),
        };
        let id = format!("F{}", random.below(3));
        proxy.remote().set(&id, &asked).expect("a rule");
        rules += 1;
        pause(random.below(30));
        proxy.remote().undo(&format!("F{}", random.below(3))).expect("an undo");
        if rules % 10 == 0 {
            // So that it comes to an end.
            for id in ["F0", "F1", "F2"] {
                proxy.remote().undo(id).expect("an undo");
            }
            pause(30);
        }
    }
    for task in tasks {
        task.join().expect("the same bytes");
    }
    println!("{rules} rules over {COUNT} bytes each way");
}

#[test]
fn a_rule_that_nobody_renews_ends_by_itself() {
    let (proxy, node, port) = link();
    let (mut near, mut far) = pair(&node, port);
    let mut asked = cut("n1>n2", Open::Hold, New::Hang);
    asked.heal_within_ms = 1_000;
    proxy.set("run-F1", &asked);
    near.write_all(&[1]).expect("connected");
    for _ in 0..6 {
        pause(300);
        proxy.remote().renew("run-").expect("it is there");
    }
    assert_eq!(hear(&mut far, SECOND / 5), SILENCE, "renewed, it lasts");
    let begun = Instant::now();
    proxy.remote().renew("another-").expect("it is there");
    assert_eq!(hear(&mut far, SECOND * 10), Ok(1));
    assert!(begun.elapsed() < SECOND * 3, "{:?}", begun.elapsed());
    assert!(proxy.remote().probe("run-F1").is_err(), "it is not in force any more");
    assert_eq!(proxy.remote().undo("run-F1").expect("as good")["was-there"], false);
}

/// By the command that a fault journal holds.
#[test]
fn commands_say_what_is_so() {
    let (proxy, _node, _) = link();
    let at = proxy.control.to_string();
    let said = |arguments: &[&str], code: i32| {
        let output = rashomon(&[&["proxy", "--at", &at], arguments].concat()).output();
        let output = output.expect("the binary starts");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        text
    };
    said(&["cut", "F1", "n1>n2"], 0);
    said(&["probe", "F1"], 0);
    assert!(said(&["rules"], 0).contains("\"F1\""));
    said(&["undo", "F1"], 0);
    said(&["undo", "F1"], 0);
    assert!(said(&["probe", "F1"], 1).contains("no rule F1"));
    let refused = [
        (&["cut", "F1", "n1>n3"][..], "no link carries n1>n3"),
        (&["packet", "F1", "n1>n2", "--duplicate", "5"], "leave `duplicate` and `reorder`"),
        (&["packet", "F1", "n1>n2"], "a packet fault of nothing"),
        (&["packet", "F1", "--node", "n7", "--delay-ms", "5"], "no link has a node `n7`"),
        (&["cut", "F1", "n1-n2"], "expected one like n1>n2"),
        (&["cut", "F1", "n1>n2", "--new", "pass", "--open", "reset"], "new connections can pass"),
    ];
    for (arguments, expected) in refused {
        let text = said(arguments, 3);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    said(&["stop"], 0);
    said(&["undo", "F1"], 0);
    assert!(said(&["probe", "F1"], 4).contains("no proxy listens"));
}

#[test]
fn a_target_file_is_healed_by_dropping_the_rules_of_its_proxy() {
    let (proxy, node, port) = link();
    let target = format!(
        "name = 'p'\nadapter = 'none'\n[nodes]\nn2 = '127.0.0.1:{port}'\n[proxy]\nfile = 'links.toml'\n"
    );
    let path = proxy.directory.join("target.toml");
    std::fs::write(&path, target).expect("ours");
    let heal = || {
        let output = rashomon(&["heal", &path.display().to_string()]).output().expect("it starts");
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (mut near, mut far) = pair(&node, port);
    for rule in ["one-F1", "other-F1"] {
        proxy.set(rule, &cut("n1>n2", Open::Hold, New::Hang));
    }
    near.write_all(&[7]).expect("the sender is not told");
    let (code, said) = heal();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("undid the rule ").count(), 2, "{said}");
    assert_eq!(hear(&mut far, SECOND * 5), Ok(7));
    assert_eq!(heal(), (Some(0), "nothing to undo\n".to_owned()));
    // A proxy of other links is not ours.
    proxy.set("F1", &cut("n1>n2", Open::Hold, New::Hang));
    let links = proxy.directory.join("links.toml");
    let text = std::fs::read_to_string(&links).expect("ours");
    std::fs::write(&links, text.replace("\"n2\"", "\"n3\"")).expect("ours");
    let (code, said) = heal();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("has other links"), "{said}");
    proxy.undo("F1");
    std::fs::remove_file(&links).expect("ours");
    assert_eq!(heal().0, Some(3));
}
