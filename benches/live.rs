//! How many operations a second a live target carries, driven as in a run with its history written to
//! a file: a hundred clients in a closed loop, half reads and half writes on eight keys.
//!
//! `taskset -c 0 cargo bench --bench live`; the figure is `items/s`. `none` is rashomon alone, `http` adds
//! the HTTP client. Its server is a process of a few lines, on a processor of its own (`server_apart`) or on
//! that of rashomon (`server_beside`).

#![expect(clippy::print_stdout, reason = "the server says where it listens")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
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
    if std::env::args().nth(1).as_deref() == Some(SERVE) { serve() } else { divan::main() }
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn none(bencher: divan::Bencher) {
    let file = "name = \"none\"\nadapter = \"none\"\n[nodes]\nn1 = \"-\"\n";
    bencher.counter(ItemsCount::new(200_000_u32)).bench(|| run(file, 200_000));
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn server_apart(bencher: divan::Bencher) {
    http(bencher, "1");
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn server_beside(bencher: divan::Bencher) {
    http(bencher, "0");
}

fn http(bencher: divan::Bencher, processor: &str) {
    let server = Server::start(processor);
    let file = format!(
        "name = \"http\"\nadapter = \"http\"\n[nodes]\nn1 = \"http://{}\"\n\
         [operation.read]\nmethod = \"GET\"\npath = \"/${{key|url}}\"\nvalue = {{ decode = \"json\" }}\n\
         answer = [{{ status = 200, is = \"ok\" }}]\n\
         [operation.write]\nmethod = \"PUT\"\npath = \"/${{key|url}}/${{value|url}}\"\n\
         answer = [{{ status = 200, is = \"ok\" }}]\n",
        server.address
    );
    bencher.counter(ItemsCount::new(50_000_u32)).bench(|| run(&file, 50_000));
}

/// What this program is told to be the server.
const SERVE: &str = "serve";

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(processor: &str) -> Self {
        let own = std::env::current_exe().expect("a path");
        let mut command = Command::new("taskset");
        command.args(["-c", processor]).arg(own).arg(SERVE).stdout(Stdio::piped());
        let mut child = command.spawn().expect("taskset (Debian: util-linux) is there");
        let mut address = String::new();
        let said = child.stdout.take().expect("it is piped");
        BufReader::new(said).read_line(&mut address).expect("it says where it listens");
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers `null` to whatever is asked, for ever.
fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("it listens"));
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
