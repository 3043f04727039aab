//! Jute, in which ZooKeeper's messages are written.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: i32 = 64 << 20;

/// What is sent, big-endian.
#[derive(Default)]
pub(super) struct Jute(pub(super) Vec<u8>);

impl Jute {
    pub(super) fn int(&mut self, number: i32) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn long(&mut self, number: i64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn buffer(&mut self, bytes: &[u8]) -> &mut Self {
        self.int(bytes.len() as i32);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn framed(&self) -> Vec<u8> {
        let mut frame = (self.0.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&self.0);
        frame
    }
}

/// A message that was received, after its length.
pub(super) async fn frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_i32().await?;
    if !(0..=ANSWER_BYTES_MAX).contains(&length) {
        return Err(std::io::Error::other("an answer that is no jute"));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Takes a number off the front.
pub(super) fn int(from: &mut &[u8]) -> Option<i32> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(i32::from_be_bytes(*taken))
}

/// Takes a long number off the front.
pub(super) fn long(from: &mut &[u8]) -> Option<i64> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(i64::from_be_bytes(*taken))
}

/// Bytes; one of a negative length is absent.
pub(super) fn buffer(from: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(int(from)?).unwrap_or(0);
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken.to_vec())
}
