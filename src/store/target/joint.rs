//! Operations over several shards, done in parts of which none knows of the others.

use crate::model::{Mop, Op, Outcome};
use crate::store::sharded::shard_of;

/// What of an operation one shard does: that, and where it stands in the whole.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The number of the whole.
    pub(super) joint: u64,
    /// The places of its micro-operations.
    pub(super) places: Vec<usize>,
}

/// The parts of an operation by shard, each with the places of its micro-operations.
pub(super) fn parts(op: &Op, shards: u8) -> Vec<(Op, Vec<usize>)> {
    let of_shard = |shard: u8| {
        let all = op.mops.iter().enumerate();
        let own = all.filter(|(_, mop)| shard_of(&mop.key, shards) == shard);
        let (places, mops): (Vec<usize>, Vec<Mop>) = own.map(|(at, mop)| (at, mop.clone())).unzip();
        (Op { function: op.function, mops }, places)
    };
    (0..shards).map(of_shard).filter(|(_, places)| !places.is_empty()).collect()
}

/// An operation of which some parts have not ended.
#[derive(Debug)]
pub(super) struct Joint {
    op: Op,
    open: usize,
    /// Whether a part that writes has taken effect.
    has_written: bool,
    /// Why it failed, and whether that is certain of every part that failed.
    failed: Option<(String, bool)>,
}

impl Joint {
    /// An operation in so many parts.
    pub(super) fn new(op: &Op, parts: usize) -> Self {
        Self { op: op.clone(), open: parts, has_written: false, failed: None }
    }

    /// A part has ended.
    pub(super) fn end(&mut self, places: &[usize], part: &Op, outcome: Outcome) {
        self.open -= 1;
        let (why, is_certain) = match outcome {
            Outcome::Ok(mops) => {
                self.has_written |= part.writes();
                for (place, mop) in places.iter().zip(mops) {
                    self.op.mops[*place] = mop;
                }
                return;
            }
            Outcome::Fail(why) => (why, true),
            // Nothing is unknown of what only reads: it had no effect.
            Outcome::Info(why) => (why, !part.writes()),
        };
        let was_certain = self.failed.take().is_none_or(|(_, was_certain)| was_certain);
        self.failed = Some((why, was_certain && is_certain));
    }

    /// Whether all parts have ended.
    pub(super) fn is_over(&self) -> bool {
        self.open == 0
    }

    /// What became of the whole: one that has taken effect in part has not failed.
    pub(super) fn result(self) -> (Op, Outcome) {
        let outcome = match self.failed {
            None => Outcome::Ok(self.op.mops.clone()),
            Some((why, true)) if !self.has_written => Outcome::Fail(why),
            Some((why, _)) => Outcome::Info(why),
        };
        (self.op, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Function, Value};

    fn mop(function: Function, key: &str, value: i64) -> Mop {
        Mop { function, key: Value::text(key), value: Value::Int(value) }
    }

    fn whole() -> Op {
        let write = |key, value| mop(Function::Write, key, value);
        Op::txn(vec![write("k0", 1), write("k1", 2), mop(Function::Read, "k2", 3)])
    }

    #[test]
    fn an_operation_is_taken_apart_by_shard_and_put_together_again() {
        let parts = parts(&whole(), 2);
        let places: Vec<&[usize]> = parts.iter().map(|(_, places)| places.as_slice()).collect();
        assert_eq!(places, [&[0, 2][..], &[1]]);
        let mut joint = Joint::new(&whole(), 2);
        let [(even, of_even), (odd, of_odd)] = &parts[..] else { panic!("two parts") };
        joint.end(of_odd, odd, Outcome::Ok(odd.mops.clone()));
        assert!(!joint.is_over());
        joint.end(of_even, even, Outcome::Ok(even.mops.clone()));
        assert!(joint.is_over());
        let (op, outcome) = joint.result();
        assert!(matches!(outcome, Outcome::Ok(mops) if mops == op.mops && op == whole()));
    }

    #[test]
    fn what_was_done_in_part_has_not_failed() {
        let fail = || Outcome::Fail("no".to_owned());
        for (first, second, fails) in [
            (fail(), fail(), true),
            (Outcome::Ok(Vec::new()), fail(), false),
            (Outcome::Info("?".to_owned()), fail(), false),
            (fail(), Outcome::Info("?".to_owned()), false),
        ] {
            let mut joint = Joint::new(&whole(), 2);
            joint.end(&[], &whole(), first);
            joint.end(&[], &whole(), second);
            let (_, outcome) = joint.result();
            assert_eq!(matches!(outcome, Outcome::Fail(_)), fails, "{outcome:?}");
        }
    }
}
