//! The properties and models that are checked, as a table.

use crate::check::catalogue::{Row, TABLE};

/// A property of a history, by its id in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Property {
    /// A value is read only if somebody tried to write it.
    Thin,
    /// A value is never read if every write of it certainly failed.
    G1a,
    /// A read does not return before the write of its value is invoked.
    Fut,
    /// One append appears once in a list.
    Dupel,
    /// A read of a row shows the fields of one writer.
    Torn,
    /// A transaction is seen whole or not at all.
    Fr,
    /// Every operation takes effect at one instant between its call and its return.
    Lin,
    /// A read returns a write that no later completed write hides.
    Reg,
    /// One order of all operations agrees with the order of each session.
    Seq,
    /// The operations of each key, taken alone, are sequentially consistent.
    Coh,
    /// Of two reads of a list one is a prefix of the other.
    Inco,
    /// Each session sees the writes of every other session in their order.
    Pram,
    /// Every read is explained by the writes in its causal past.
    Cc,
    /// One order of its causal past explains all reads of a session.
    Cm,
    /// One arbitration of all writes explains every read by its causal past.
    Ccv,
    /// Every read shows a prefix of one sequence of writes.
    Cp,
    /// Every read shows a prefix of one sequence of writes, growing along each session.
    CpS,
    /// A session sees its own acknowledged writes.
    Ryw,
    /// What a session has seen it does not unsee.
    Mr,
    /// The writes of a session take effect in the order it issued them.
    Mw,
    /// A write takes effect after the writes its session had read.
    Wfr,
    /// Monotonic reads and monotonic writes in one view of each session.
    MrMw,
    /// Monotonic reads and writes follow reads in one view of each session.
    MrWfr,
    /// Read your writes, monotonic reads and monotonic writes in one view of each session.
    Sess3,
    /// All four session guarantees in one view of each session.
    Sess4,
    /// No two successful updates start from one version.
    Lus,
    /// What was acknowledged is in the final reads, or was legally overwritten.
    Awl,
    /// After quiescence every node gives the same answer.
    Ec,
    /// What was removed and seen gone does not come back.
    Res,
    /// No id is handed out twice.
    Dupid,
    /// A counter shows what was surely added and nothing that could not have been.
    Cnt,
    /// Nothing is sold twice, and what is left adds up.
    Inv,
    /// Every snapshot of the accounts has the same total.
    Bank,
    /// An element added or seen stays.
    SetLost,
    /// An element that is added is seen by every later read.
    SetStale,
    /// What was enqueued comes out before the queue is found empty for good.
    QLost,
    /// A message is delivered once.
    QDup,
    /// What was enqueued first comes out first.
    QOrd,
    /// Only what was enqueued comes out.
    QUnexp,
    /// A queue is found empty only when it may have been.
    QEmpty,
    /// A lock is held by one client at a time.
    Lock,
    /// Each holder of a lock gets a greater token than those before.
    Fence,
    /// No two nodes lead in one term or at one time.
    Leader,
    /// A multi-value register keeps what is concurrent and drops what was overwritten.
    Sib,
    /// A transaction agrees with what it itself read and wrote before.
    Int,
    /// Nobody sees a value that its transaction wrote over again.
    G1b,
    /// No two successful transactions update one version.
    Lu,
    /// No committed write is made on top of one that was aborted.
    DirtyUpdate,
    /// The evidence for the order of versions of a register is free of cycles.
    CyclicVersions,
    /// No cycle of overwriting.
    G0,
    /// No cycle of overwriting and reading.
    G1c,
    /// No cycle with exactly one anti-dependency.
    GSingle,
    /// No cycle with several anti-dependencies, none next to another.
    GNonadjacent,
    /// No cycle with adjacent anti-dependencies.
    G2Item,
    /// No cycle of overwriting once sessions are taken into account.
    G0Process,
    /// No cycle of overwriting and reading once sessions are taken into account.
    G1cProcess,
    /// No cycle with one anti-dependency once sessions are taken into account.
    GSingleProcess,
    /// No cycle with nonadjacent anti-dependencies once sessions are taken into account.
    GNonadjacentProcess,
    /// No cycle with adjacent anti-dependencies once sessions are taken into account.
    G2ItemProcess,
    /// No cycle of overwriting once real time is taken into account.
    G0Realtime,
    /// No cycle of overwriting and reading once real time is taken into account.
    G1cRealtime,
    /// No cycle with one anti-dependency once real time is taken into account.
    GSingleRealtime,
    /// No cycle with nonadjacent anti-dependencies once real time is taken into account.
    GNonadjacentRealtime,
    /// No cycle with adjacent anti-dependencies once real time is taken into account.
    G2ItemRealtime,
    /// No two readers see two writers in opposite orders.
    Lf,
    /// No two transactions read what the other overwrites and write apart.
    Ws,
    /// Transactions read committed, final values and overwrite in one order.
    Rc,
    /// Transactions are read whole.
    Ra,
    /// Reads are explained by the transactions in their causal past.
    Tcc,
    /// Every snapshot is a prefix of one order of commits.
    Pc,
    /// Snapshot isolation in which commits may reach observers in different orders.
    Psi,
    /// Every transaction reads from one snapshot and no two concurrent ones write one key.
    Si,
    /// One order of all transactions explains every read.
    Ser,
    /// Read committed, growing within a transaction and along each session.
    SsRc,
    /// Read atomic, along each session.
    SsRa,
    /// Transactional causal consistency, sessions included.
    SsTcc,
    /// Prefix consistency, along each session.
    SsPc,
    /// Parallel snapshot isolation, along each session.
    SsPsi,
    /// Snapshot isolation, along each session.
    SsSi,
    /// Serializability, along each session.
    SsSer,
    /// Prefix consistency in real time.
    SPc,
    /// Parallel snapshot isolation in real time.
    SPsi,
    /// Snapshot isolation in real time.
    SSi,
    /// Serializability in real time.
    Sser,
    /// The versions that the store gave agree with what was written and read.
    Vers,
    /// An id is greater than those handed out before it was asked for.
    Idreg,
}

impl Property {
    /// Every property, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.property)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its id in the specification: `LIN`, `MR+MW`.
    pub fn id(self) -> &'static str {
        self.row().id
    }

    /// Its name: `linearizable`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What it promises, in a line.
    pub fn about(self) -> &'static str {
        self.row().about
    }

    /// Where it is defined in the literature.
    pub fn reference(self) -> &'static str {
        self.row().reference
    }

    /// What its violation is called, as the literature writes it; `None` for a model, whose
    /// violations have the names of what they break.
    pub fn anomaly(self) -> Option<&'static str> {
        Some(match self {
            Self::Thin => "thin-air read",
            Self::G1a => "G1a (aborted read)",
            Self::Fut => "future read",
            Self::Dupel => "duplicate elements",
            Self::Torn => "torn row",
            Self::Fr => "fractured read",
            Self::Inco => "incompatible order",
            Self::Lus => "lost update",
            Self::Awl => "lost acknowledged write",
            Self::Ec => "divergence",
            Self::Res => "resurrection",
            Self::Dupid => "duplicate id",
            Self::Cnt => "counter out of bounds",
            Self::Inv => "oversold stock",
            Self::Bank => "wrong total",
            Self::SetLost => "lost element",
            Self::SetStale => "stale element",
            Self::QLost => "lost message",
            Self::QDup => "duplicate delivery",
            Self::QOrd => "reordered messages",
            Self::QUnexp => "unexpected message",
            Self::QEmpty => "false empty",
            Self::Lock => "two holders of a lock",
            Self::Fence => "falling fencing token",
            Self::Leader => "split brain",
            Self::Sib => "lost or false sibling",
            Self::Int => "internal inconsistency",
            Self::G1b => "G1b (intermediate read)",
            Self::Lu => "lost update of transactions (P4)",
            Self::DirtyUpdate => "dirty update",
            Self::CyclicVersions => "cyclic versions",
            Self::G0 => "G0 (write cycle)",
            Self::G1c => "G1c (circular information flow)",
            Self::GSingle => "G-single (read skew)",
            Self::GNonadjacent => "G-nonadjacent",
            Self::G2Item => "G2-item",
            Self::G0Process => "G0-process",
            Self::G1cProcess => "G1c-process",
            Self::GSingleProcess => "G-single-process",
            Self::GNonadjacentProcess => "G-nonadjacent-process",
            Self::G2ItemProcess => "G2-item-process",
            Self::G0Realtime => "G0-realtime",
            Self::G1cRealtime => "G1c-realtime",
            Self::GSingleRealtime => "G-single-realtime",
            Self::GNonadjacentRealtime => "G-nonadjacent-realtime",
            Self::G2ItemRealtime => "G2-item-realtime",
            Self::Lf => "long fork",
            Self::Ws => "write skew",
            Self::Vers => "contradictory store versions",
            Self::Idreg => "id regression",
            _ => return None,
        })
    }

    /// Other names it is known under.
    pub fn aliases(self) -> &'static [&'static str] {
        self.row().aliases
    }

    /// Its name in one word, as machines write it: `read-your-writes`.
    pub fn word(self) -> String {
        self.name().replace(' ', "-")
    }

    /// The property of that id, name (with blanks or hyphens) or alias.
    pub fn from_name(name: &str) -> Option<Self> {
        let row = TABLE.iter().find(|row| {
            row.id.eq_ignore_ascii_case(name)
                || row.name.eq_ignore_ascii_case(name)
                || row.property.word().eq_ignore_ascii_case(name)
                || row.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
        })?;
        Some(row.property)
    }

    /// Whether it is the absence of an anomaly of transactions, which the levels of isolation comprise.
    pub fn is_anomaly_of_transactions(self) -> bool {
        (Self::Int..=Self::Ws).contains(&self)
    }

    /// The weakest levels of isolation that a violation rules out; all that are stronger go with them.
    pub fn levels_ruled_out(self) -> Vec<Self> {
        let levels: Vec<Self> = TABLE
            .iter()
            .map(|row| row.property)
            .filter(|one| one.is_level_of_isolation() && one.is_at_least(self))
            .collect();
        let is_weakest =
            |one: &Self| !levels.iter().any(|other| other != one && one.is_at_least(*other));
        levels.iter().copied().filter(is_weakest).collect()
    }

    /// Whether it is a level of isolation: a model of transactions.
    pub fn is_level_of_isolation(self) -> bool {
        (Self::Rc..=Self::Sser).contains(&self)
    }

    /// The properties that directly follow from this one.
    pub fn implies(self) -> &'static [Self] {
        self.row().implies
    }

    /// Whether a history that has this property has `other` as well.
    pub fn is_at_least(self, other: Self) -> bool {
        self == other || self.implies().iter().any(|weaker| weaker.is_at_least(other))
    }

    /// The greatest properties of a set: those that follow from no other of it.
    pub fn strongest(properties: &[Self]) -> Vec<Self> {
        properties
            .iter()
            .copied()
            .filter(|one| !properties.iter().any(|other| other != one && other.is_at_least(*one)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_names_are_unique() {
        let mut names = Vec::new();
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.property as usize, at);
            assert_eq!(Property::from_name(&row.property.word()), Some(row.property));
            for name in [row.id, row.name].iter().chain(row.aliases) {
                assert_eq!(Property::from_name(name), Some(row.property), "{name}");
                names.push(name.to_lowercase());
            }
        }
        names.sort();
        let all = names.len();
        names.dedup();
        assert!(all - names.len() <= TABLE.len(), "only an id and its own alias may coincide");
    }

    #[test]
    fn strongest_keeps_the_greatest() {
        use Property as P;
        assert_eq!(P::strongest(&[P::Thin, P::Mr, P::Sess3, P::Ryw]), [P::Sess3]);
        assert_eq!(P::strongest(&[P::Mr, P::Wfr]), [P::Mr, P::Wfr]);
    }
}
