//! RabbitMQ: quorum queues, by the crate `lapin`, whose recovery stays off: it neither reconnects nor sends
//! anything twice.
//!
//! A key is a durable quorum queue, declared when it is first used: by one client of the run only, since
//! brokers that do not hear each other must not each make one.
//!
//! | operation | requests |
//! | --- | --- |
//! | enqueue | `basic.publish` of a persistent message, mandatory, on a channel in confirm mode |
//! | dequeue | `basic.get`, then `basic.ack`, then a `basic.qos` whose answer says that the broker has read the `ack` |
//!
//! - **ok**: the publication was confirmed: a majority has the message. A message was handed out, and
//!   the broker has read its acknowledgement; or it said that there is none.
//! - **fail**: no connection; the queue could not be declared; the message was returned, as no queue
//!   takes it, or the broker does not know the queue to get from (404).
//! - **info**: a publication that was not confirmed or was refused (`basic.nack`), a `get` that was not
//!   answered, an acknowledgement that may not have arrived.
//!
//! A queue promises to hand a message out at least once: no broker confirms an acknowledgement. Where it
//! is lost with the channel, the message comes again, and it counts as a duplicate. That is what the
//! store promises, so a workload expects `no unexpected messages` of it, and not that there is no
//! duplicate.

use std::collections::BTreeSet;
use std::net::Shutdown;
use std::sync::Arc;

use async_compat::Compat;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPUri, AMQPUserInfo};
use lapin::{
    AsyncTcpStream, BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    ErrorKind,
};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answering, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::stores::{
    Adapter, Asking, Probe, Site, held_or_new, in_time, json, parsed, secret,
};

/// The longest frame. The crate keeps room for 64 of them with each connection.
const FRAME_BYTES_MAX: u32 = 16 << 10;

/// The mode of delivery of a message that outlives a restart of the broker.
const PERSISTENT: u8 = 2;

/// What all clients of a target share.
pub(super) struct RabbitmqAdapter {
    site: Site,
    user: String,
    password: String,
    /// The queues that are there.
    declared: Mutex<BTreeSet<ShortString>>,
}

impl RabbitmqAdapter {
    pub(super) fn new(
        config: &TargetConfig,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let options = config.rabbitmq.as_ref().map(|one| one.get_ref().clone());
        let options = options.unwrap_or_default();
        let password = secret(options.password_variable.as_ref(), environment)?;
        Ok(Self {
            site: Site::new(config),
            user: options.user.unwrap_or_else(|| "guest".to_owned()),
            password: password.unwrap_or_else(|| "guest".to_owned()),
            declared: Mutex::default(),
        })
    }

    async fn connect(&self, node: &Arc<str>) -> Result<Link, String> {
        let address = self.site.address(node)?;
        in_time(self.site.connect_timeout, self.open(address)).await
    }

    async fn open(&self, address: &str) -> lapin::Result<Link> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = Socket(stream.into_std()?);
        let given = socket.0.try_clone()?;
        let connect = async move |_: AMQPUri, _| {
            let stream = TcpStream::from_std(given.try_clone()?)?;
            Ok(AsyncTcpStream::Plain(Compat::new(stream)))
        };
        let userinfo =
            AMQPUserInfo { username: self.user.clone(), password: self.password.clone() };
        let uri = AMQPUri {
            authority: AMQPAuthority { userinfo, ..AMQPAuthority::default() },
            query: AMQPQueryString { frame_max: Some(FRAME_BYTES_MAX), ..Default::default() },
            ..AMQPUri::default()
        };
        let runtime = lapin::runtime::default_runtime()?;
        let options = ConnectionProperties::default();
        let connection = Connection::connector(uri, runtime, connect, options).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Link { _socket: socket, channel, _connection: connection })
    }

    fn queue(&self, key: &Value) -> Result<ShortString, String> {
        let key = BASE64_URL_SAFE_NO_PAD.encode(json(key));
        let name = format!("rashomon.{}.{key}", self.site.run);
        ShortString::try_new(name).map_err(|_| format!("the key {key} is too long"))
    }

    /// Makes a queue unless somebody did; everybody else waits for it.
    async fn declare(&self, channel: &Channel, queue: &ShortString) -> lapin::Result<()> {
        let mut declared = self.declared.lock().await;
        if declared.contains(queue) {
            return Ok(());
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare(queue.clone(), durable, arguments).await?;
        declared.insert(queue.clone());
        Ok(())
    }
}

impl Adapter for RabbitmqAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(RabbitmqClient { adapter: self, node: node.clone(), link: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(RabbitmqProbe { adapter: self, node: node.clone() }))
    }

    /// Every queue has a leader of its own, and AMQP does not tell it.
    fn knows_primaries(&self) -> bool {
        false
    }

    fn clear<'a>(
        self: Arc<Self>,
        node: &'a Arc<str>,
        keys: &'a [Value],
    ) -> Asking<'a, Result<(), String>> {
        Box::pin(async move {
            let link = self.connect(node).await?;
            for key in keys {
                let deleted =
                    link.channel.queue_delete(self.queue(key)?, QueueDeleteOptions::default());
                deleted.await.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }
}

/// A connection with its only channel.
struct Link {
    /// Dropped first.
    _socket: Socket,
    channel: Channel,
    _connection: Connection,
}

/// What a connection is on. The crate would go on with a connection that is dropped until the broker has
/// said farewell; without its socket it ends at once, and nothing that it still has is ever sent.
struct Socket(std::net::TcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // Who is gone already need not be told.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// One process at one node.
struct RabbitmqClient {
    adapter: Arc<RabbitmqAdapter>,
    node: Arc<str>,
    link: Option<Link>,
}

impl Client for RabbitmqClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(async { self.answer(&invocation.op).await.into() })
    }
}

impl RabbitmqClient {
    async fn answer(&mut self, op: &Op) -> Outcome {
        let queue = match self.adapter.queue(op.key()) {
            Ok(queue) => queue,
            Err(why) => return Outcome::Fail(format!("nothing was sent: {why}")),
        };
        let held = self.link.take().filter(|link| link.channel.status().connected());
        let link = match held_or_new(held, self.adapter.connect(&self.node)).await {
            Ok(link) => link,
            Err(why) => return Outcome::Fail(why),
        };
        let channel = &link.channel;
        if let Err(error) = self.adapter.declare(channel, &queue).await {
            return Outcome::Fail(format!("cannot declare the queue: {error}"));
        }
        let done = match op.function {
            Function::Enqueue => enqueue(channel, queue, op).await,
            Function::Dequeue => dequeue(channel, queue, op).await,
            other => return Outcome::Fail(format!("RabbitMQ has no {} here", other.name())),
        };
        match done {
            Ok(outcome) => {
                self.link = Some(link);
                outcome
            }
            Err(error) => {
                // Only the `get` itself ends so, and the channel with it.
                let has_no_queue = op.function == Function::Dequeue && is_not_found(&error);
                let why = error.to_string();
                if has_no_queue { Outcome::Fail(why) } else { unanswered(op, why) }
            }
        }
    }
}

/// Whether the broker ended the channel because it does not know the queue.
fn is_not_found(error: &lapin::Error) -> bool {
    const NOT_FOUND: AMQPErrorKind = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == NOT_FOUND)
}

async fn enqueue(channel: &Channel, queue: ShortString, op: &Op) -> lapin::Result<Outcome> {
    let body = json(&op.mops[0].value);
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let persistent = BasicProperties::default().with_delivery_mode(PERSISTENT);
    // To the exchange without a name, which knows every queue by its own.
    let exchange = ShortString::default();
    let sent =
        channel.basic_publish(exchange, queue, mandatory, body.as_bytes(), persistent).await?;
    Ok(match sent.await? {
        Confirmation::Ack(None) => Outcome::Ok(op.mops.clone()),
        Confirmation::Ack(Some(_)) => Outcome::Fail("no queue takes the message".to_owned()),
        _ => Outcome::Info("the broker refused the message".to_owned()),
    })
}

async fn dequeue(channel: &Channel, queue: ShortString, op: &Op) -> lapin::Result<Outcome> {
    let mut mops = op.mops.clone();
    let Some(message) = channel.basic_get(queue, BasicGetOptions::default()).await? else {
        mops[0].value = Value::Null;
        return Ok(Outcome::Ok(mops));
    };
    let text = String::from_utf8_lossy(&message.data);
    mops[0].value = parsed(&text).map_err(std::io::Error::other)?;
    message.ack(BasicAckOptions::default()).await?;
    // No limit to what may be unacknowledged, which is so anyway.
    channel.basic_qos(0, BasicQosOptions::default()).await?;
    Ok(Outcome::Ok(mops))
}

/// Asks a node how it is, on a new connection each time.
struct RabbitmqProbe {
    adapter: Arc<RabbitmqAdapter>,
    node: Arc<str>,
}

impl Probe for RabbitmqProbe {
    fn ready(&mut self) -> Asking<'_, Result<(), String>> {
        Box::pin(async { self.adapter.connect(&self.node).await.map(|_| ()) })
    }

    fn leads(&mut self) -> Asking<'_, Option<u64>> {
        Box::pin(async { None })
    }
}
