//! What a link of a proxy costs, beside a connection without one: bytes a second of one stream, and a
//! round trip of one byte. The proxy is a thread of this process.
//!
//! `cargo bench --bench proxy`; the figures are `bytes/s` and the time of a round trip.

#![expect(clippy::disallowed_methods, reason = "a node and a proxy are threads here")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::thread;

use divan::counter::BytesCount;
use rashomon::proxy::{Definition, serve};

const BYTES: usize = 256 << 20;

fn main() {
    divan::main();
}

/// A node that first takes as many bytes as the first eight say, answers a byte, and then every byte.
fn node() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it listens").port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(|| answer(stream.expect("a connection")));
            }
        });
        port
    })
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut count = [0; 8];
    stream.read_exact(&mut count)?;
    let mut left = u64::from_le_bytes(count);
    let mut bytes = vec![0; 256 << 10];
    while left > 0 {
        left = left.saturating_sub(stream.read(&mut bytes)? as u64);
    }
    stream.write_all(&[1])?;
    while stream.read_exact(&mut bytes[..1]).is_ok() {
        stream.write_all(&bytes[..1])?;
    }
    Ok(())
}

/// A port of a proxy that leads to the node.
fn proxied() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        let (control, listen) = (free().expect("a port"), free().expect("a port"));
        let file = format!(
            "control = \"{control}\"\n[[link]]\nfrom = \"n1\"\nto = \"n2\"\n\
             listen = \"{listen}\"\nconnect = \"127.0.0.1:{}\"\n",
            node()
        );
        let definition = Definition::parse("links.toml", &file).expect("a correct file");
        let (ready, wait) = std::sync::mpsc::channel();
        thread::spawn(move || {
            static STOP: AtomicBool = AtomicBool::new(false);
            serve(&definition, None, || ready.send(()).expect("it is waited for"), &STOP)
        });
        wait.recv().expect("it listens");
        listen.port()
    })
}

#[divan::bench(sample_count = 5, sample_size = 1, args = [false, true])]
fn stream(bencher: divan::Bencher, through_proxy: bool) {
    let port = if through_proxy { proxied() } else { node() };
    let bytes = vec![7; 256 << 10];
    bencher.counter(BytesCount::new(BYTES)).bench(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(&(BYTES as u64).to_le_bytes()).expect("connected");
        for _ in 0..BYTES / bytes.len() {
            stream.write_all(&bytes).expect("connected");
        }
        stream.read_exact(&mut [0]).expect("an answer");
    });
}

#[divan::bench(sample_count = 2_000, args = [false, true])]
fn round_trip(bencher: divan::Bencher, through_proxy: bool) {
    let port = if through_proxy { proxied() } else { node() };
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    stream.write_all(&0_u64.to_le_bytes()).expect("connected");
    stream.read_exact(&mut [0]).expect("an answer");
    bencher.bench_local(|| {
        stream.write_all(&[1]).expect("connected");
        stream.read_exact(&mut [0]).expect("an answer");
    });
}
