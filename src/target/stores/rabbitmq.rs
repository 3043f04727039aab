//! RabbitMQ: quorum queues, over AMQP 0-9-1 in a small client of our own, which neither reconnects nor
//! sends anything twice.
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
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::Mutex;

use crate::model::{Function, Invocation, Op, Outcome, Process, Value};
use crate::target::client::{Answering, Client, unanswered};
use crate::target::config::TargetConfig;
use crate::target::stores::amqp::{Arguments, Channel, Method};
use crate::target::stores::{Adapter, Asking, Probe, Site, in_time, json, parsed, secret};

const QUEUE_DECLARE: Method = (50, 10);
const QUEUE_DECLARE_OK: Method = (50, 11);
const BASIC_QOS: Method = (60, 10);
const BASIC_QOS_OK: Method = (60, 11);
const BASIC_PUBLISH: Method = (60, 40);
const BASIC_RETURN: Method = (60, 50);
const BASIC_GET: Method = (60, 70);
const BASIC_GET_OK: Method = (60, 71);
const BASIC_GET_EMPTY: Method = (60, 72);
const BASIC_ACK: Method = (60, 80);
const BASIC_NACK: Method = (60, 120);
const CONFIRM_SELECT: Method = (85, 10);
const CONFIRM_SELECT_OK: Method = (85, 11);

/// How the end of a channel begins that asked for a queue which the broker does not know.
const NO_QUEUE: &str = "closed: 404 ";

/// What all clients of a target share.
pub(super) struct RabbitmqAdapter {
    site: Site,
    user: String,
    password: String,
    /// The queues that are there.
    declared: Mutex<BTreeSet<String>>,
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

    async fn connect(&self, node: &Arc<str>) -> Result<Channel, String> {
        let address = self.site.address(node)?;
        let opened = async {
            let mut channel = Channel::open(address, &self.user, &self.password).await?;
            let confirm = Arguments::default().octet(0);
            channel.ask(CONFIRM_SELECT, confirm, &[CONFIRM_SELECT_OK]).await?;
            Ok::<_, std::io::Error>(channel)
        };
        in_time(self.site.connect_timeout, opened).await
    }

    fn queue(&self, key: &Value) -> String {
        format!("rashomon.{}.{}", self.site.run, BASE64_URL_SAFE_NO_PAD.encode(json(key)))
    }

    /// Makes a queue unless somebody did; everybody else waits for it.
    async fn declare(&self, channel: &mut Channel, queue: &str) -> std::io::Result<()> {
        let mut declared = self.declared.lock().await;
        if declared.contains(queue) {
            return Ok(());
        }
        // Of the bits, `durable`.
        let question = Arguments::default().short(0).short_text(queue).octet(0b10);
        let question = question.table(&[("x-queue-type", "quorum")]);
        channel.ask(QUEUE_DECLARE, question, &[QUEUE_DECLARE_OK]).await?;
        declared.insert(queue.to_owned());
        Ok(())
    }
}

impl Adapter for RabbitmqAdapter {
    fn client(self: Arc<Self>, _: Process, node: &Arc<str>) -> Result<Box<dyn Client>, String> {
        Ok(Box::new(RabbitmqClient { adapter: self, node: node.clone(), channel: None }))
    }

    fn probe(self: Arc<Self>, node: &Arc<str>) -> Result<Box<dyn Probe>, String> {
        Ok(Box::new(RabbitmqProbe { adapter: self, node: node.clone() }))
    }

    /// Every queue has a leader of its own, and AMQP does not tell it.
    fn knows_primaries(&self) -> bool {
        false
    }
}

/// One process at one node.
struct RabbitmqClient {
    adapter: Arc<RabbitmqAdapter>,
    node: Arc<str>,
    channel: Option<Channel>,
}

impl Client for RabbitmqClient {
    fn invoke<'a>(&'a mut self, invocation: &'a Invocation) -> Answering<'a> {
        Box::pin(async { self.answer(&invocation.op).await.into() })
    }
}

impl RabbitmqClient {
    async fn answer(&mut self, op: &Op) -> Outcome {
        let channel = match self.channel.take() {
            Some(channel) => Ok(channel),
            None => self.adapter.connect(&self.node).await,
        };
        let mut channel = match channel {
            Ok(channel) => channel,
            Err(why) => return Outcome::Fail(why),
        };
        let queue = self.adapter.queue(op.key());
        if let Err(error) = self.adapter.declare(&mut channel, &queue).await {
            return Outcome::Fail(format!("cannot declare the queue: {error}"));
        }
        let done = match op.function {
            Function::Enqueue => enqueue(&mut channel, &queue, op).await,
            Function::Dequeue => dequeue(&mut channel, &queue, op).await,
            other => return Outcome::Fail(format!("RabbitMQ has no {} here", other.name())),
        };
        match done {
            Ok(outcome) => {
                self.channel = Some(channel);
                outcome
            }
            Err(error) => {
                let why = error.to_string();
                // Only the `get` itself ends so, and the channel with it.
                let has_no_queue = op.function == Function::Dequeue && why.starts_with(NO_QUEUE);
                if has_no_queue { Outcome::Fail(why) } else { unanswered(op, why) }
            }
        }
    }
}

async fn enqueue(channel: &mut Channel, queue: &str, op: &Op) -> std::io::Result<Outcome> {
    let body = json(&op.mops[0].value);
    // To the exchange without a name, which knows every queue by its own; the bit is `mandatory`.
    let publish = Arguments::default().short(0).short_text("").short_text(queue).octet(1);
    channel.send_content(BASIC_PUBLISH, publish, body.as_bytes()).await?;
    let mut is_returned = false;
    loop {
        let answer = channel.receive(&[BASIC_ACK, BASIC_NACK, BASIC_RETURN]).await?;
        match answer.method {
            BASIC_ACK if is_returned => {
                return Ok(Outcome::Fail("no queue takes the message".to_owned()));
            }
            BASIC_ACK => return Ok(Outcome::Ok(op.mops.clone())),
            BASIC_RETURN => {
                channel.content().await?;
                is_returned = true;
            }
            _ => return Ok(Outcome::Info("the broker refused the message".to_owned())),
        }
    }
}

async fn dequeue(channel: &mut Channel, queue: &str, op: &Op) -> std::io::Result<Outcome> {
    let mut mops = op.mops.clone();
    let get = Arguments::default().short(0).short_text(queue).octet(0);
    let mut answer = channel.ask(BASIC_GET, get, &[BASIC_GET_OK, BASIC_GET_EMPTY]).await?;
    if answer.method == BASIC_GET_EMPTY {
        mops[0].value = Value::Null;
        return Ok(Outcome::Ok(mops));
    }
    let tag = answer.long_long()?;
    let text = String::from_utf8_lossy(&channel.content().await?).into_owned();
    mops[0].value = parsed(&text).map_err(std::io::Error::other)?;
    channel.send(BASIC_ACK, Arguments::default().long_long(tag).octet(0)).await?;
    // No limit to what may be unacknowledged, which is so anyway.
    let question = Arguments::default().long(0).short(0).octet(0);
    channel.ask(BASIC_QOS, question, &[BASIC_QOS_OK]).await?;
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
