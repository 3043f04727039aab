//! Proof that a fault is in force: connections of the proxy's own, through its own ports, whose other
//! end is the proxy as well.
//!
//! Before a rule begins, a connection is opened through every link that it concerns; so it is known
//! what becomes of those that are there, and of those that are opened meanwhile.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::proxy::link::{Link, Probe, Probes};
use crate::proxy::rule::{Effect, New, Open, Packet, Rule};

/// How long nothing must come through to be believed.
const SILENCE: Duration = Duration::from_millis(150);

/// How long what must come may take beyond what was asked for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it is tried to lose a connection.
const LOSING: Duration = Duration::from_secs(3);

/// A probe is hit by a rule for every second connection.
const ODD: u64 = 1;

/// Both ends of a connection through a link.
#[derive(Debug)]
pub(super) struct Pair {
    near: TcpStream,
    far: TcpStream,
}

/// What became of a connection that was opened.
enum Tried {
    Through(Pair),
    Hangs,
    Refused,
}

/// One direction of a link that a rule concerns.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub link: Arc<Link>,
    /// Whether it is what the opener sends.
    pub is_forward: bool,
}

impl Place {
    fn name(&self) -> String {
        if self.is_forward { self.link.way.to_string() } else { self.link.way.back().to_string() }
    }
}

/// Opens a connection that is to be there when a rule begins.
pub(super) async fn stand(link: &Link, probes: &Probes) -> Option<Pair> {
    match open(link, probes).await {
        Ok(Tried::Through(pair)) => Some(pair),
        _ => None,
    }
}

async fn open(link: &Link, probes: &Probes) -> io::Result<Tried> {
    let ip = match link.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let socket = if ip.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind((ip, 0).into())?;
    let port = socket.local_addr()?.port();
    let (send, far) = oneshot::channel();
    probes.expect(port, Probe { way: link.way.clone(), number: ODD, far: send });
    let connected = timeout(PATIENCE, socket.connect((ip, link.listen.port()).into())).await;
    let mut near = match connected {
        Ok(Ok(near)) => near,
        ended => {
            let was_accepted = probes.take(port).is_none();
            return match ended {
                // A refusal may come before the connection was seen to be open.
                Ok(Err(_)) if was_accepted => Ok(Tried::Refused),
                _ => Err(io::Error::other("the proxy does not reach its own port")),
            };
        }
    };
    let _ = near.set_nodelay(true);
    match timeout(SILENCE, far).await {
        Ok(Ok(far)) => {
            let _ = far.set_nodelay(true);
            Ok(Tried::Through(Pair { near, far }))
        }
        Ok(Err(_)) => {
            let ended = timeout(PATIENCE, near.read_u8()).await;
            Ok(if matches!(ended, Ok(Err(_))) { Tried::Refused } else { Tried::Hangs })
        }
        Err(_) => Ok(Tried::Hangs),
    }
}

/// Whether a rule does at a place what it says. The pair was there before it began.
pub(super) async fn check(
    rule: &Rule,
    place: &Place,
    pair: Option<&mut Pair>,
    probes: &Probes,
) -> Result<(), String> {
    let wrong = |why: String| format!("{}: {why}", place.name());
    match &rule.asked.effect {
        Effect::Cut(cut) => {
            if let Some(pair) = pair {
                let both = [&place.link.way, &place.link.way.back()];
                let mut place = place.clone();
                // Cut both ways, a connection is half-open at the end that opened it.
                place.is_forward |=
                    cut.open == Open::HalfOpen && both.iter().all(|way| rule.asked.concerns(way));
                held(cut.open, &place, pair).await.map_err(wrong)?;
            }
            opened(cut.new, place, probes).await.map_err(wrong)
        }
        Effect::Packet(packet) => slowed(packet, place, pair, probes).await.map_err(wrong),
    }
}

/// The sending and the receiving end.
fn ends<'a>(place: &Place, pair: &'a mut Pair) -> (&'a mut TcpStream, &'a mut TcpStream) {
    let Pair { near, far } = pair;
    if place.is_forward { (near, far) } else { (far, near) }
}

/// Whether connections that were there are as a cut wants them.
async fn held(open: Open, place: &Place, pair: &mut Pair) -> Result<(), String> {
    let is_told =
        |end: io::Result<u8>| end.is_err_and(|error| error.kind() != io::ErrorKind::TimedOut);
    let (sender, receiver) = ends(place, pair);
    if open == Open::Hold {
        sender.write_u8(0).await.map_err(|error| format!("a held connection is gone: {error}"))?;
        return match timeout(SILENCE, receiver.read_u8()).await {
            Err(_) => Ok(()),
            Ok(Ok(_)) => Err("bytes got through".to_owned()),
            Ok(Err(error)) => Err(format!("a held connection is gone: {error}")),
        };
    }
    let told = timeout(PATIENCE, receiver.read_u8()).await;
    if !told.is_ok_and(is_told) {
        return Err("the receiver was not reset".to_owned());
    }
    let sender = timeout(SILENCE, sender.read_u8()).await;
    match (open, sender) {
        (Open::Reset, Ok(Err(_))) | (Open::HalfOpen, Err(_)) => Ok(()),
        (Open::Reset, _) => Err("the sender was not reset".to_owned()),
        _ => Err("the sender was told".to_owned()),
    }
}

/// Whether a connection that is opened now fares as a cut wants it.
async fn opened(new: New, place: &Place, probes: &Probes) -> Result<(), String> {
    let tried = open(&place.link, probes).await.map_err(|error| error.to_string())?;
    match (new, tried) {
        (New::Pass, Tried::Through(mut pair)) => held(Open::Hold, place, &mut pair).await,
        // Where it may pass and does not, another cut is in force, and stops more.
        (New::Pass, _)
        | (New::Hang, Tried::Hangs | Tried::Refused)
        | (New::Refuse, Tried::Refused) => Ok(()),
        (New::Refuse, Tried::Hangs) => Err("a new connection was not refused".to_owned()),
        (_, Tried::Through(_)) => Err("a new connection got through".to_owned()),
    }
}

/// Whether bytes are passed on as badly as is asked for.
async fn slowed(
    packet: &Packet,
    place: &Place,
    pair: Option<&mut Pair>,
    probes: &Probes,
) -> Result<(), String> {
    let mut own = None;
    let pair = match pair {
        Some(pair) => pair,
        None => match open(&place.link, probes).await {
            Ok(Tried::Through(pair)) => own.insert(pair),
            // Where nothing passes at all, nothing can be measured.
            _ => return Ok(()),
        },
    };
    if packet.loss > 0.0 {
        return loses(packet.loss, place, pair).await;
    }
    let (sender, receiver) = ends(place, pair);
    let least = Duration::from_millis(packet.delay_ms.saturating_sub(packet.jitter_ms));
    let most = Duration::from_millis(packet.delay_ms + packet.jitter_ms) + PATIENCE;
    // What the drip and the rate take: three bytes, a quarter of a second.
    let count = match (packet.drip_ms, packet.rate_kbit) {
        (1.., _) => 3,
        (0, rate @ 1..) => (rate * 1_000 / 8 / 4).clamp(1, 1 << 20),
        (0, 0) => 1,
    };
    let by_drip = Duration::from_millis(packet.drip_ms) * 2;
    let by_rate = match packet.rate_kbit {
        rate if rate > 0 && packet.drip_ms == 0 => Duration::from_micros(count * 8_000 / rate),
        _ => Duration::ZERO,
    };
    let least = least + by_drip.max(by_rate);
    let begun = Instant::now();
    let bytes = vec![0; count as usize];
    let mut received = vec![0; count as usize];
    let both = async {
        tokio::try_join!(sender.write_all(&bytes), receiver.read_exact(&mut received)).map(|_| ())
    };
    match timeout(most + by_drip + by_rate * 2, both).await {
        Err(_) => Err("nothing comes through".to_owned()),
        Ok(Err(error)) => Err(format!("the connection is gone: {error}")),
        // A rate and a drip begin with what they owe nothing for.
        Ok(Ok(())) if begun.elapsed() < least.mul_f64(0.7) => {
            Err(format!("{count} bytes took {:?}, not {least:?}", begun.elapsed()))
        }
        Ok(Ok(())) => Ok(()),
    }
}

/// Writes until a connection is lost. So many writes survive once in a million times.
async fn loses(loss: f64, place: &Place, pair: &mut Pair) -> Result<(), String> {
    let survives = (1.0 - loss / 100.0).max(f64::MIN_POSITIVE);
    let enough = (1e-6_f64.ln() / survives.ln()).ceil().max(1.0);
    let (sender, receiver) = ends(place, pair);
    let until = Instant::now() + LOSING;
    let mut written = 0.0;
    while written < enough && Instant::now() < until {
        if sender.write_u8(0).await.is_err() {
            return Ok(());
        }
        written += 1.0;
        match timeout(PATIENCE, receiver.read_u8()).await {
            Ok(Ok(_)) => {}
            _ => return Ok(()),
        }
    }
    // A small chance cannot be shown in so short a time; nothing speaks against it.
    if written < enough { Ok(()) } else { Err(format!("{written} writes, and none was lost")) }
}
