//! Which options of the store `primary-replica` make no sense together.

use super::{Bug, Detection, Failover, Fencing, LogForm, Replication, Settings};
use crate::model::Nanos;
use crate::store::OptionError;
use crate::store::options::Fsync;
use crate::store::statement::{Condition, NewIds};
use crate::store::target::Switchover;

pub(super) fn refuse_switchover(
    settings: &Settings,
    drains: bool,
    switchover: Option<Switchover>,
) -> Result<(), OptionError> {
    let wrong = |option, why: &str| Err(OptionError::of(option, why));
    let Some(Switchover { every, .. }) = switchover else {
        return if drains { wrong("drain", "needs a switchover to drain before") } else { Ok(()) };
    };
    if every < Nanos::from_millis(100) {
        return wrong("switchover", "at most ten a second");
    }
    if settings.nodes == 1 {
        return wrong("switchover", "a single node has no successor: set nodes to 2 or more");
    }
    if settings.uses_mediators() {
        return wrong("switchover", "an operator does not ask mediators: set detection = \"link\"");
    }
    Ok(())
}

pub(super) fn refuse_nonsense(settings: &Settings) -> Result<(), OptionError> {
    let wrong = |option, why: &str| Err(OptionError::of(option, why));
    let waits = settings.replication != Replication::Async;
    if settings.nodes == 1 && waits {
        return wrong(
            "replication",
            "a single node has no replica to wait for: set nodes to 2 or more",
        );
    }
    if settings.degrades_after.is_some() && !waits {
        return wrong("degrade-after", "with replication = \"async\" no write waits for replicas");
    }
    let uses_mediators = settings.uses_mediators();
    if settings.detection != Detection::Link && settings.failover != Failover::Automatic {
        return wrong("detection", "nobody looks but with failover = \"automatic\"");
    }
    if settings.fencing == Fencing::Lease && !uses_mediators {
        return wrong("fencing", "a lease is granted by mediators: set detection = \"mediator\"");
    }
    let by_others = uses_mediators || settings.detection == Detection::Client;
    if settings.fencing == Fencing::Stonith
        && (by_others || settings.failover != Failover::Automatic)
    {
        return wrong(
            "fencing",
            "stonith: it is for failover = \"automatic\" with detection = \"link\" or \"probe\"",
        );
    }
    if settings.joining.is_some() && settings.nodes == 1 {
        return wrong("join", "a new node copies from another: set nodes to 2 or more");
    }
    if settings.moves.is_some() && settings.nodes == 1 {
        return wrong("move", "there is no other node: set nodes to 2 or more");
    }
    if settings.moves.is_some() && settings.failover != Failover::None {
        return wrong("move", "it is for failover = \"none\": else a failover may come between");
    }
    if settings.upgrade.is_some() && settings.nodes == 1 {
        return wrong("upgrade", "there is no replica that reads the log: set nodes to 2 or more");
    }
    let is_evaluated =
        settings.condition != Condition::Always || settings.new_ids != NewIds::Sequence;
    if settings.log == LogForm::Statement && !is_evaluated && !settings.has_two_workers {
        return wrong(
            "log",
            "statement: needs condition or new-ids = \"now\" or the like, or apply = \"parallel\"",
        );
    }
    if settings.replication == Replication::Remote && settings.sites.centers == 1 {
        return wrong("replication", "remote: there is no other place: set data-centers = 2");
    }
    if settings.status_channels > 1 && settings.detection != Detection::Link {
        return wrong("status-channels", "it is replicas that listen: set detection = \"link\"");
    }
    if settings.status_channels > 1 && settings.shares_channel {
        return wrong("status-channel", "shared: there are several; set status-channels = 1");
    }
    if !waits && settings.bug == Bug::DirtyAck {
        return wrong(
            "bug",
            "dirty-ack: with replication = \"async\" no write waits for replicas: use semi or sync",
        );
    }
    if settings.fsync != Fsync::Always && settings.bug == Bug::LostFsync {
        return wrong("bug", "lost-fsync: needs fsync = \"always\"");
    }
    Ok(())
}
