//! As much of HTTP/1.1 as a served store and a proxy's control endpoint need: requests with a length,
//! connections that stay open.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// The longest line of a head, the most lines, and the longest body.
const LINE_MAX: usize = 8 << 10;
const LINES_MAX: usize = 100;
const BODY_MAX: usize = 16 << 20;

/// What came in.
pub(crate) struct Request {
    pub method: String,
    /// With what follows the `?`.
    pub path: String,
    pub body: Vec<u8>,
}

/// What goes out.
#[derive(Debug)]
pub(crate) struct Response {
    pub status: u16,
    pub body: String,
}

impl Response {
    /// The request is not understood or cannot be done; nothing was.
    pub(crate) fn refusal(why: &str) -> Self {
        let body = serde_json::json!({"type": "fail", "error": why}).to_string();
        Self { status: 400, body }
    }
}

/// Serves one connection: a request after the other.
pub(crate) async fn connection(
    stream: TcpStream,
    mut ask: impl FnMut(Request) -> oneshot::Receiver<Response>,
) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    loop {
        let (request, stays) = match read(&mut stream).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(why) => {
                write(&mut stream, &Response::refusal(why)).await;
                return;
            }
        };
        // Without an answer the connection closes, as that of a store that died does.
        let Ok(response) = ask(request).await else { return };
        if !write(&mut stream, &response).await || !stays {
            return;
        }
    }
}

/// A request, and whether the connection stays open; nothing at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> Result<Option<(Request, bool)>, &'static str> {
    let Some(first) = line(stream).await? else { return Ok(None) };
    let mut words = first.split(' ');
    let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err("expected a request line");
    };
    let mut stays = version == "HTTP/1.1";
    let mut length = 0;
    for count in 0.. {
        let header = line(stream).await?.ok_or("the head breaks off")?;
        if header.is_empty() {
            break;
        }
        if count == LINES_MAX {
            return Err("the head is too long");
        }
        let (name, value) = header.split_once(':').ok_or("expected a header")?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(|_| "no length")?,
            "transfer-encoding" => return Err("a body needs a content-length"),
            "connection" if value.eq_ignore_ascii_case("close") => stays = false,
            _ => {}
        }
    }
    if length > BODY_MAX {
        return Err("the body is too long");
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| "the body breaks off")?;
    Ok(Some((Request { method: method.to_owned(), path: path.to_owned(), body }, stays)))
}

async fn line(stream: &mut BufReader<TcpStream>) -> Result<Option<String>, &'static str> {
    let mut bytes = Vec::new();
    let mut limited = stream.take(LINE_MAX as u64);
    let read = limited.read_until(b'\n', &mut bytes).await.map_err(|_| "the line breaks off")?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') {
        return Err("the line breaks off or is too long");
    }
    let text = String::from_utf8(bytes).map_err(|_| "the head is no text")?;
    Ok(Some(text.trim_end().to_owned()))
}

async fn write(stream: &mut BufReader<TcpStream>, response: &Response) -> bool {
    let Response { status, body } = response;
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        409 => "Conflict",
        _ => "Gateway Timeout",
    };
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await.is_ok()
}
