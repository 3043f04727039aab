//! A tiny HTTP/1.1 server that misbehaves on demand and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method and path.
    pub line: String,
    /// The headers, whose names hyper writes in lower case.
    pub head: String,
    /// What came after them.
    pub body: String,
}

/// What is done with a request.
pub(crate) enum Reply {
    /// A proper answer; the connection stays open.
    Answer(u16, String),
    /// A proper answer with a header of its own: `name: value`.
    With(String, u16, String),
    /// A proper answer, after which the connection closes without having said so.
    AnswerThenClose(u16, String),
    /// An answer that lasts until the connection closes, which it does at once.
    Endless(u16, String),
    /// Silence until the client gives up.
    Silence,
    /// The connection is closed instead of an answer.
    HangUp,
    /// The connection is reset instead of an answer.
    Reset,
    /// The connection closes in the middle of the answer.
    Torn,
}

/// The server; it stops when it is dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    abandoned: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Server {
    /// Serves every request as `reply` says.
    pub(crate) fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let abandoned = Arc::new(AtomicUsize::new(0));
        let (reply, seen, left) = (Arc::new(reply), requests.clone(), abandoned.clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reply, seen, left) = (reply.clone(), seen.clone(), left.clone());
                tokio::spawn(async move { serve(stream, &*reply, &seen, &left).await });
            }
        });
        Self { address, requests, abandoned, _runtime: runtime }
    }

    /// Stops it. As long as what it returns lives, nobody else can listen there: connections are
    /// refused.
    pub(crate) fn stop(self) -> TcpSocket {
        let address = self.address;
        drop(self);
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("connections of the server may linger");
        // A command that another test starts holds a copy of the listener between fork and exec; as
        // long as it does, connections are not refused and nobody can bind.
        while socket.bind(address).is_err() {
            std::thread::yield_now();
        }
        socket
    }

    /// Every request so far, but for those of the check that the server is there.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let requests = self.requests.lock().expect("no panic under the lock");
        requests.iter().filter(|request| request.line != "GET /").cloned().collect()
    }

    /// How many connections the client closed while it waited for an answer.
    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    reply: &(impl Fn(&Request) -> Reply + Send + Sync),
    seen: &Mutex<Vec<Request>>,
    abandoned: &AtomicUsize,
) {
    while let Some(request) = read(&mut stream).await {
        let reply = if request.line == "GET /" {
            Reply::Answer(404, String::new())
        } else {
            reply(&request)
        };
        seen.lock().expect("no panic under the lock").push(request);
        let elsewhere = "location: /elsewhere".to_owned();
        let (header, status, body, closes) = match reply {
            Reply::Answer(status, body) => (elsewhere, status, body, false),
            Reply::With(header, status, body) => (header, status, body, false),
            Reply::AnswerThenClose(status, body) => (elsewhere, status, body, true),
            Reply::Endless(status, body) => {
                let answer = format!("HTTP/1.0 {status} X\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
            Reply::Silence => {
                let _ = stream.read(&mut [0; 1]).await;
                abandoned.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Reply::HangUp => return,
            Reply::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
            Reply::Torn => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a").await;
                return;
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || closes {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let line = head.lines().next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
    while bytes.len() < head_end + 4 + length {
        more(stream, &mut bytes).await?;
    }
    let body = String::from_utf8_lossy(&bytes[head_end + 4..]).into_owned();
    Some(Request { line, head, body })
}

async fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(bytes).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
