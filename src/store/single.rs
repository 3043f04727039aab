//! One node without replicas: what it answers is right, unless a bug is planted.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Function, Nanos, Op, Outcome, Value};
use crate::sim::{Node, NodeId, Outbox, Ticket, Timer};
use crate::store::options::Fsync;
use crate::store::{Hint, Objects, Position, Reply, Request, Standing, Store};

/// What is planted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bug {
    None,
    /// Writes are answered and never synced.
    LostFsync,
    /// A cas or rmw looks first and writes a moment later, whatever came between.
    RacyCas,
    /// Reads are answered from a cache that a write does not touch.
    StaleCache,
}

/// The store `single`.
pub(super) struct Single {
    fsync: Fsync,
    /// After how long a lock is taken from its holder; never where absent.
    lock_lease: Option<Nanos>,
    /// The tokens of locks and when they end.
    leases: FxHashMap<Value, (i64, Nanos)>,
    bug: Bug,
    objects: Objects,
    /// How many writes the disk holds.
    written: u64,
    /// Read-modify-writes that have looked and not yet written: only with `racy-cas`.
    looked: FxHashMap<u64, (Ticket, Arc<Op>, Reply)>,
    /// Old answers by key: only with `stale-cache`.
    cache: FxHashMap<Value, (Nanos, Value)>,
    timers: u64,
}

const SYNC: Timer = Timer(0);
const RACE: Nanos = Nanos::from_millis(2);
const CACHE_LIFETIME: Nanos = Nanos::from_millis(100);
const MYSELF: NodeId = NodeId(0);

impl Single {
    pub(super) fn new(fsync: Fsync, lock_lease: Option<Nanos>, bug: Bug) -> Self {
        Self {
            fsync,
            lock_lease,
            leases: FxHashMap::default(),
            bug,
            objects: Objects::default(),
            written: 0,
            looked: FxHashMap::default(),
            cache: FxHashMap::default(),
            timers: 0,
        }
    }

    fn reply(&self, outcome: Outcome) -> Reply {
        Reply { outcome, hint: Some(Hint { epoch: 1, leader: MYSELF }), position: self.position() }
    }

    fn position(&self) -> Position {
        Position { epoch: 1, index: self.written }
    }

    fn write(&mut self, op: Arc<Op>, out: &mut Outbox<'_, Self>) {
        out.disk.append(op);
        self.written += 1;
        if self.fsync == Fsync::Always && self.bug != Bug::LostFsync {
            out.disk.sync();
        }
    }

    /// Takes a lock from its holder if the lease has ended. One that was given before a restart has
    /// a whole lease from when it is first seen again.
    fn expire(&mut self, lock: &Value, out: &mut Outbox<'_, Self>) {
        let Some(lease) = self.lock_lease else { return };
        let Some(token) = self.objects.lock_holder(lock) else { return };
        match self.leases.get(lock) {
            Some((known, until)) if *known == token => {
                if *until <= out.now {
                    let release = Op::single(Function::Release, lock.clone(), Value::Int(token));
                    self.objects.force(&release);
                    self.write(Arc::new(release), out);
                }
            }
            _ => {
                self.leases.insert(lock.clone(), (token, out.now + lease));
            }
        }
    }

    /// The old answer for a plain read, if there is one that has not expired; keeps a new one.
    fn cached(&mut self, op: &Op, out: &Outbox<'_, Self>) -> Option<Reply> {
        if self.bug != Bug::StaleCache || op.function != Function::Read {
            return None;
        }
        let fresh = self.cache.get(op.key()).is_some_and(|(until, _)| out.now < *until);
        if !fresh {
            let answer = self.objects.execute(op).ok()?.pop()?;
            self.cache.insert(answer.key, (out.now + CACHE_LIFETIME, answer.value));
        }
        let mut mops = op.mops.clone();
        mops[0].value = self.cache.get(op.key())?.1.clone();
        Some(self.reply(Outcome::Ok(mops)))
    }
}

impl Node for Single {
    type Message = ();
    type Request = Request;
    type Reply = Reply;
    type Record = Arc<Op>;

    fn start(&mut self, out: &mut Outbox<'_, Self>) {
        *self = Self::new(self.fsync, self.lock_lease, self.bug);
        for op in out.disk.records() {
            self.objects.force(op);
        }
        self.written = out.disk.records().len() as u64;
        if let Fsync::Interval(period) = self.fsync {
            out.wake(period, SYNC);
        }
    }

    fn receive(&mut self, _: NodeId, (): (), _: &mut Outbox<'_, Self>) {}

    fn request(&mut self, ticket: Ticket, request: Request, out: &mut Outbox<'_, Self>) {
        let Request::Execute { op, .. } = request else { return };
        if let Some(reply) = self.cached(&op, out) {
            return out.reply(ticket, reply);
        }
        let racy = matches!(op.function, Function::Cas | Function::Rmw);
        if self.bug == Bug::RacyCas
            && racy
            && let Ok(mops) = self.objects.look(&op)
        {
            self.timers += 1;
            let reply = self.reply(Outcome::Ok(mops));
            self.looked.insert(self.timers, (ticket, op, reply));
            return out.wake(RACE, Timer(self.timers));
        }
        if op.function == Function::Acquire {
            self.expire(op.key(), out);
        }
        let outcome = match self.objects.execute(&op) {
            Ok(mops) => {
                if op.writes() {
                    self.write(op.clone(), out);
                }
                if op.function == Function::Acquire {
                    // Its lease begins.
                    self.expire(op.key(), out);
                }
                Outcome::Ok(mops)
            }
            Err(why) => Outcome::Fail(why),
        };
        out.reply(ticket, self.reply(outcome));
    }

    fn timer(&mut self, timer: Timer, out: &mut Outbox<'_, Self>) {
        if let (SYNC, Fsync::Interval(period)) = (timer, self.fsync) {
            if self.bug != Bug::LostFsync {
                out.disk.sync();
            }
            return out.wake(period, SYNC);
        }
        if let Some((ticket, op, reply)) = self.looked.remove(&timer.0) {
            self.objects.force(&op);
            self.write(op, out);
            out.reply(ticket, reply);
        }
    }
}

impl Store for Single {
    fn standing(&self) -> Standing {
        Standing { leads: true, epoch: 1, position: self.position() }
    }
}
