//! AMQP 0-9-1, as much of it as one channel needs that waits for each answer.
//!
//! A method is named by its class and its number within it (AMQP 0-9-1, section 1.4 and the list of
//! methods in the reference): `(60, 70)` is `basic.get`.

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A class and a method of it.
pub(super) type Method = (u16, u16);

const CONNECTION_START: Method = (10, 10);
const CONNECTION_START_OK: Method = (10, 11);
const CONNECTION_TUNE: Method = (10, 30);
const CONNECTION_TUNE_OK: Method = (10, 31);
const CONNECTION_OPEN: Method = (10, 40);
const CONNECTION_OPEN_OK: Method = (10, 41);
const CONNECTION_CLOSE: Method = (10, 50);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);

/// The kinds of frames.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;

/// The longest frame that is read.
const FRAME_BYTES_MAX: u32 = 16 << 20;

/// What is sent, big-endian.
#[derive(Default)]
pub(super) struct Arguments(Vec<u8>);

impl Arguments {
    pub(super) fn octet(mut self, number: u8) -> Self {
        self.0.push(number);
        self
    }

    pub(super) fn short(mut self, number: u16) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn long_long(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// A text of at most 255 bytes: what is too long is cut.
    pub(super) fn short_text(self, text: &str) -> Self {
        let bytes = &text.as_bytes()[..text.len().min(255)];
        let mut with = self.octet(bytes.len() as u8);
        with.0.extend_from_slice(bytes);
        with
    }

    fn long_bytes(self, bytes: &[u8]) -> Self {
        let mut with = self.long(bytes.len() as u32);
        with.0.extend_from_slice(bytes);
        with
    }

    /// Names and texts.
    pub(super) fn table(self, entries: &[(&str, &str)]) -> Self {
        let entry = |table: Self, (name, text): &(&str, &str)| {
            table.short_text(name).octet(b'S').long_bytes(text.as_bytes())
        };
        let table = entries.iter().fold(Self::default(), entry);
        self.long_bytes(&table.0)
    }
}

/// The arguments of a method that was received, taken off the front.
pub(super) struct Received {
    pub(super) method: Method,
    arguments: Vec<u8>,
    at: usize,
}

impl Received {
    fn take<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let taken = self.arguments.get(self.at..).and_then(|rest| rest.first_chunk::<N>());
        let taken = *taken.ok_or_else(|| broken("a method that is too short"))?;
        self.at += N;
        Ok(taken)
    }

    pub(super) fn long_long(&mut self) -> std::io::Result<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn short(&mut self) -> std::io::Result<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn long(&mut self) -> std::io::Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn short_text(&mut self) -> std::io::Result<String> {
        let [length] = self.take()?;
        let text = self.arguments.get(self.at..self.at + usize::from(length));
        let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
        self.at += usize::from(length);
        Ok(text)
    }
}

fn broken(why: &str) -> std::io::Error {
    std::io::Error::other(why.to_owned())
}

/// A connection with its only channel.
pub(super) struct Channel {
    stream: BufReader<TcpStream>,
    /// The longest frame that the server takes.
    frame_bytes_max: usize,
}

impl Channel {
    pub(super) async fn open(address: &str, user: &str, password: &str) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut channel = Self { stream: BufReader::new(stream), frame_bytes_max: 4096 };
        channel.stream.write_all(b"AMQP\0\0\x09\x01").await?;
        channel.receive(&[CONNECTION_START]).await?;
        let login = format!("\0{user}\0{password}");
        let start = Arguments::default().table(&[("product", "rashomon")]);
        let start = start.short_text("PLAIN").long_bytes(login.as_bytes()).short_text("en_US");
        channel.send_on(0, CONNECTION_START_OK, start).await?;
        let mut tune = channel.receive(&[CONNECTION_TUNE]).await?;
        let (_channels, frame) = (tune.short()?, tune.long()?);
        let frame = if frame == 0 { 128 << 10 } else { frame };
        channel.frame_bytes_max = frame.max(4096) as usize;
        // One channel, and no heartbeats: a time limit watches over each operation.
        let tune = Arguments::default().short(1).long(frame).short(0);
        channel.send_on(0, CONNECTION_TUNE_OK, tune).await?;
        let open = Arguments::default().short_text("/").short_text("").octet(0);
        channel.send_on(0, CONNECTION_OPEN, open).await?;
        channel.receive(&[CONNECTION_OPEN_OK]).await?;
        channel.send(CHANNEL_OPEN, Arguments::default().short_text("")).await?;
        channel.receive(&[CHANNEL_OPEN_OK]).await?;
        Ok(channel)
    }

    /// Sends a method and waits for one of `answers`.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        arguments: Arguments,
        answers: &[Method],
    ) -> std::io::Result<Received> {
        self.send(method, arguments).await?;
        self.receive(answers).await
    }

    pub(super) async fn send(
        &mut self,
        method: Method,
        arguments: Arguments,
    ) -> std::io::Result<()> {
        self.send_on(1, method, arguments).await
    }

    async fn send_on(
        &mut self,
        channel: u16,
        method: Method,
        arguments: Arguments,
    ) -> std::io::Result<()> {
        let bytes = frame(METHOD, channel, &with_name(method, &arguments));
        self.stream.write_all(&bytes).await
    }

    /// A method with content that outlives a restart of the server, all of it at once.
    pub(super) async fn send_content(
        &mut self,
        method: Method,
        arguments: Arguments,
        content: &[u8],
    ) -> std::io::Result<()> {
        let mut bytes = frame(METHOD, 1, &with_name(method, &arguments));
        // Of all properties only the mode of delivery: persistent.
        let header = Arguments::default().short(method.0).short(0);
        let header = header.long_long(content.len() as u64).short(0x1000).octet(2);
        bytes.extend(frame(HEADER, 1, &header.0));
        for part in content.chunks(self.frame_bytes_max - 8) {
            bytes.extend(frame(BODY, 1, part));
        }
        self.stream.write_all(&bytes).await
    }

    /// The next method, which must be one of `answers`; a close is an error with its reason.
    pub(super) async fn receive(&mut self, answers: &[Method]) -> std::io::Result<Received> {
        let (kind, bytes) = self.frame().await?;
        let mut received = Received { method: (0, 0), arguments: bytes, at: 0 };
        if kind != METHOD {
            return Err(broken("content where a method was expected"));
        }
        received.method = (received.short()?, received.short()?);
        if answers.contains(&received.method) {
            return Ok(received);
        }
        if matches!(received.method, CONNECTION_CLOSE | CHANNEL_CLOSE) {
            let (code, text) = (received.short()?, received.short_text()?);
            return Err(broken(&format!("closed: {code} {text}")));
        }
        let (class, number) = received.method;
        Err(broken(&format!("the method {class}.{number}, which was not asked for")))
    }

    /// The content that follows a method.
    pub(super) async fn content(&mut self) -> std::io::Result<Vec<u8>> {
        let (kind, bytes) = self.frame().await?;
        let mut header = Received { method: (0, 0), arguments: bytes, at: 0 };
        let (_class, _weight) = (header.short()?, header.short()?);
        let length = header.long_long()?;
        if kind != HEADER || length > FRAME_BYTES_MAX.into() {
            return Err(broken("content without a header, or too long"));
        }
        let mut content = Vec::new();
        while (content.len() as u64) < length {
            let (kind, bytes) = self.frame().await?;
            if kind != BODY {
                return Err(broken("content that ends too early"));
            }
            content.extend(bytes);
        }
        Ok(content)
    }

    async fn frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let kind = self.stream.read_u8().await?;
        let _channel = self.stream.read_u16().await?;
        let length = self.stream.read_u32().await?;
        if length > FRAME_BYTES_MAX {
            return Err(broken("it does not speak AMQP"));
        }
        let mut bytes = vec![0; length as usize + 1];
        self.stream.read_exact(&mut bytes).await?;
        if bytes.pop() != Some(FRAME_END) {
            return Err(broken("a frame without its end"));
        }
        Ok((kind, bytes))
    }
}

fn with_name(method: Method, arguments: &Arguments) -> Vec<u8> {
    let mut bytes = Arguments::default().short(method.0).short(method.1).0;
    bytes.extend_from_slice(&arguments.0);
    bytes
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Arguments::default().octet(kind).short(channel).long_bytes(payload).0;
    bytes.push(FRAME_END);
    bytes
}
