//! How many operations a second a live target carries, driven as in a run with its history written to
//! a file: a hundred clients in a closed loop, half reads and half writes on eight keys.
//!
//! `taskset -c 0 cargo bench --bench live`; the figure is `items/s`. `none` is rashomon alone, `http`
//! adds the HTTP client and a server of a few lines in this process, on the same core.

use std::sync::atomic::AtomicBool;

use divan::counter::ItemsCount;
use rashomon::generate::{Context, Generator, Next};
use rashomon::history::{Header, Writer};
use rashomon::model::{Action, Event, Invocation, Nanos, Op, Process, Value, What};
use rashomon::run::drive;
use rashomon::target::{TargetConfig, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const CLIENTS: u32 = 100;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn none(bencher: divan::Bencher) {
    let file = "name = \"none\"\nadapter = \"none\"\n[nodes]\nn1 = \"-\"\n";
    bencher.counter(ItemsCount::new(200_000_u32)).bench(|| run(file, 200_000));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn http(bencher: divan::Bencher) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("it listens");
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                // A request is one piece here, as it has no body to speak of.
                while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let file = format!(
        "name = \"http\"\nadapter = \"http\"\n[nodes]\nn1 = \"http://{address}\"\n\
         [operation.read]\nmethod = \"GET\"\npath = \"/${{key|url}}\"\nvalue = {{ decode = \"json\" }}\n\
         answer = [{{ status = 200, is = \"ok\" }}]\n\
         [operation.write]\nmethod = \"PUT\"\npath = \"/${{key|url}}/${{value|url}}\"\n\
         answer = [{{ status = 200, is = \"ok\" }}]\n"
    );
    bencher.counter(ItemsCount::new(50_000_u32)).bench(|| run(&file, 50_000));
}

fn run(file: &str, operations: u64) {
    let config = TargetConfig::parse("bench.toml", file).expect("a correct target file");
    let mut target = open(&config, None).expect("a target that is there");
    let path = std::env::temp_dir().join(format!("rashomon-bench-{}", std::process::id()));
    let journal = std::fs::File::create(&path).expect("the temporary directory can be written to");
    let journal = std::io::BufWriter::new(journal);
    let mut journal = Writer::new(journal, &Header::default()).expect("the header is written");
    let mut generator = ClosedLoop { free: (0..CLIENTS).collect(), left: operations };
    let stop = AtomicBool::new(false);
    let driven = drive(&mut *target, &mut generator, &mut journal, Header::default(), &stop);
    assert_eq!(driven.expect("driven to the end").history.len() as u64, operations);
    std::fs::remove_file(path).expect("it is ours");
}

/// Every client that is free does the next operation.
struct ClosedLoop {
    free: Vec<u32>,
    left: u64,
}

impl Generator for ClosedLoop {
    fn next(&mut self, _context: &Context<'_>) -> Next {
        if self.left == 0 && self.free.len() == CLIENTS as usize {
            return Next::Done;
        }
        let free = if self.left > 0 { self.free.pop() } else { None };
        let Some(process) = free else { return Next::WaitUntil(Nanos::FOREVER) };
        self.left -= 1;
        let key = Value::text(&format!("k{}", self.left / 2 % 8));
        let op = match self.left % 2 {
            0 => Op::write(key, Value::Int(self.left as i64)),
            _ => Op::read(key),
        };
        let process = Process(process);
        let session = process.0;
        let invocation =
            Invocation { process, session, node: None, is_final: false, waited: Nanos(0), op };
        Next::Do(Action::Invoke(invocation))
    }

    fn update(&mut self, event: &Event) {
        if let What::Client(client) = &event.what
            && client.kind != rashomon::model::Kind::Invoke
        {
            self.free.push(client.process.0);
        }
    }
}
