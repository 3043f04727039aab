//! The properties and models that are checked, as a table.

use serde::{Deserialize, Serialize};

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
}

/// One row of the table.
struct Row {
    property: Property,
    id: &'static str,
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    reference: &'static str,
    /// The properties that follow from this one (edges of the lattice, without their closure).
    implies: &'static [Property],
}

const TABLE: &[Row] = &[
    Row {
        property: Property::Thin,
        id: "THIN",
        name: "no thin-air reads",
        aliases: &["thin-air", "thin"],
        about: "a value is read only if somebody tried to write it",
        reference: "Kingsbury and Alvaro 2020 (Elle)",
        implies: &[],
    },
    Row {
        property: Property::G1a,
        id: "G1a",
        name: "no aborted reads",
        aliases: &["aborted-read", "g1a"],
        about: "a value is never read if every write of it certainly failed",
        reference: "Adya 1999, section 3.1",
        implies: &[],
    },
    Row {
        property: Property::Fut,
        id: "FUT",
        name: "no future reads",
        aliases: &["future-read", "fut"],
        about: "a read does not return before the write of its value is invoked",
        reference: "Gibbons and Korach 1997",
        implies: &[],
    },
    Row {
        property: Property::Dupel,
        id: "DUPEL",
        name: "no duplicated effects",
        aliases: &["duplicate-elements", "dupel"],
        about: "one append appears once in a list",
        reference: "Kingsbury and Alvaro 2020 (Elle)",
        implies: &[],
    },
    Row {
        property: Property::Torn,
        id: "TORN",
        name: "no torn rows",
        aliases: &["torn", "torn-row"],
        about: "a read of a row shows the fields of one writer",
        reference: "ANOMALIES, section 6",
        implies: &[],
    },
    Row {
        property: Property::Fr,
        id: "FR",
        name: "no fractured reads",
        aliases: &["fractured-read", "fr"],
        about: "a transaction is seen whole or not at all",
        reference: "Bailis et al. 2014 (RAMP)",
        implies: &[],
    },
    Row {
        property: Property::Lin,
        id: "LIN",
        name: "linearizable",
        aliases: &["linearizability", "lin", "atomic"],
        about: "every operation takes effect at one instant between its call and its return",
        reference: "Herlihy and Wing 1990",
        implies: &[
            Property::Seq,
            Property::Reg,
            Property::Fut,
            Property::Lus,
            Property::Awl,
            Property::Dupel,
        ],
    },
    Row {
        property: Property::Reg,
        id: "REG",
        name: "regular",
        aliases: &["regular-register", "reg"],
        about: "a read returns a write that no later completed write hides",
        reference: "Lamport 1986",
        implies: &[Property::Fut],
    },
    Row {
        property: Property::Seq,
        id: "SEQ",
        name: "sequentially consistent",
        aliases: &["sequential", "sequential-consistency", "seq"],
        about: "one order of all operations agrees with the order of each session",
        reference: "Lamport 1979",
        implies: &[Property::CpS, Property::Cm, Property::Ccv, Property::Inco],
    },
    Row {
        property: Property::Coh,
        id: "COH",
        name: "coherent",
        aliases: &["coherence", "cache-coherence", "coh"],
        about: "the operations of each key, taken alone, are sequentially consistent",
        reference: "Lamport 1979; Goodman 1991",
        implies: &[Property::Inco],
    },
    Row {
        property: Property::Inco,
        id: "INCO",
        name: "compatible orders",
        aliases: &["incompatible-order", "inco"],
        about: "of two reads of a list one is a prefix of the other",
        reference: "Kingsbury and Alvaro 2020 (Elle)",
        implies: &[],
    },
    Row {
        property: Property::Pram,
        id: "PRAM",
        name: "pram",
        aliases: &["fifo", "pram-consistency"],
        about: "each session sees the writes of every other session in their order",
        reference: "Lipton and Sandberg 1988",
        implies: &[Property::Sess3],
    },
    Row {
        property: Property::Cc,
        id: "CC",
        name: "causally consistent",
        aliases: &["causal", "causal-consistency", "cc", "weak-causal"],
        about: "every read is explained by the writes in its causal past",
        reference: "Bouajjani et al. 2017",
        implies: &[Property::Ryw, Property::Wfr, Property::Mw],
    },
    Row {
        property: Property::Cm,
        id: "CM",
        name: "causal memory",
        aliases: &["cm", "causal-memory"],
        about: "one order of its causal past explains all reads of a session",
        reference: "Ahamad et al. 1995",
        implies: &[Property::Cc, Property::Pram, Property::Sess4],
    },
    Row {
        property: Property::Ccv,
        id: "CCv",
        name: "convergent causal consistency",
        aliases: &["causal-plus", "ccv", "causal-convergence"],
        about: "one arbitration of all writes explains every read by its causal past",
        reference: "Bouajjani et al. 2017",
        implies: &[Property::Cc, Property::Sess4],
    },
    Row {
        property: Property::Cp,
        id: "CP",
        name: "consistent prefix",
        aliases: &["prefix", "cp"],
        about: "every read shows a prefix of one sequence of writes",
        reference: "Terry 2013",
        implies: &[Property::Mw, Property::Wfr, Property::Inco],
    },
    Row {
        property: Property::CpS,
        id: "CP-S",
        name: "consistent prefix in sessions",
        aliases: &["monotonic-prefix", "cp-s"],
        about: "every read shows a prefix of one sequence of writes, growing along each session",
        reference: "Terry 2013",
        implies: &[Property::Cp, Property::MrMw, Property::MrWfr],
    },
    Row {
        property: Property::Ryw,
        id: "RYW",
        name: "read your writes",
        aliases: &["read-your-writes", "ryw"],
        about: "a session sees its own acknowledged writes",
        reference: "Terry et al. 1994",
        implies: &[Property::Thin, Property::G1a],
    },
    Row {
        property: Property::Mr,
        id: "MR",
        name: "monotonic reads",
        aliases: &["monotonic-reads", "mr"],
        about: "what a session has seen it does not unsee",
        reference: "Terry et al. 1994",
        implies: &[Property::Thin, Property::G1a],
    },
    Row {
        property: Property::Mw,
        id: "MW",
        name: "monotonic writes",
        aliases: &["monotonic-writes", "mw"],
        about: "the writes of a session take effect in the order it issued them",
        reference: "Terry et al. 1994",
        implies: &[Property::Thin, Property::G1a],
    },
    Row {
        property: Property::Wfr,
        id: "WFR",
        name: "writes follow reads",
        aliases: &["writes-follow-reads", "wfr", "session-causality"],
        about: "a write takes effect after the writes its session had read",
        reference: "Terry et al. 1994",
        implies: &[Property::Thin, Property::G1a],
    },
    Row {
        property: Property::MrMw,
        id: "MR+MW",
        name: "monotonic reads and writes",
        aliases: &["mr+mw"],
        about: "monotonic reads and monotonic writes in one view of each session",
        reference: "Terry et al. 1994",
        implies: &[Property::Mr, Property::Mw],
    },
    Row {
        property: Property::MrWfr,
        id: "MR+WFR",
        name: "monotonic reads and writes follow reads",
        aliases: &["mr+wfr"],
        about: "monotonic reads and writes follow reads in one view of each session",
        reference: "Terry et al. 1994",
        implies: &[Property::Mr, Property::Wfr],
    },
    Row {
        property: Property::Sess3,
        id: "SESS3",
        name: "session guarantees without writes follow reads",
        aliases: &["sess3", "session-3"],
        about: "read your writes, monotonic reads and monotonic writes in one view of each session",
        reference: "Terry et al. 1994",
        implies: &[Property::Ryw, Property::MrMw],
    },
    Row {
        property: Property::Sess4,
        id: "SESS4",
        name: "session guarantees",
        aliases: &["sess4", "session", "session-guarantees"],
        about: "all four session guarantees in one view of each session",
        reference: "Terry et al. 1994",
        implies: &[Property::Sess3, Property::MrWfr],
    },
    Row {
        property: Property::Lus,
        id: "LUS",
        name: "no lost updates",
        aliases: &["lost-update", "no-lost-updates", "lus"],
        about: "no two successful updates start from one version",
        reference: "Bailis et al. 2013 (HAT), Kingsbury and Alvaro 2020",
        implies: &[],
    },
    Row {
        property: Property::Awl,
        id: "AWL",
        name: "no lost acknowledged writes",
        aliases: &["durable", "durability", "no-lost-writes", "awl"],
        about: "what was acknowledged is in the final reads, or was legally overwritten",
        reference: "ANOMALIES, section 5",
        implies: &[],
    },
    Row {
        property: Property::Ec,
        id: "EC",
        name: "eventually convergent",
        aliases: &["convergence", "eventual-consistency", "ec"],
        about: "after quiescence every node gives the same answer",
        reference: "Terry et al. 1994; Burckhardt 2014",
        implies: &[],
    },
    Row {
        property: Property::Res,
        id: "RES",
        name: "no resurrected data",
        aliases: &["resurrected", "res"],
        about: "what was removed and seen gone does not come back",
        reference: "ANOMALIES, section 5",
        implies: &[],
    },
    Row {
        property: Property::Dupid,
        id: "DUPID",
        name: "unique ids",
        aliases: &["duplicate-id", "dupid"],
        about: "no id is handed out twice",
        reference: "ANOMALIES, section 7",
        implies: &[],
    },
    Row {
        property: Property::Cnt,
        id: "CNT",
        name: "counter within bounds",
        aliases: &["counter", "cnt"],
        about: "a counter shows what was surely added and nothing that could not have been",
        reference: "Jepsen, checker/counter",
        implies: &[],
    },
    Row {
        property: Property::Inv,
        id: "INV",
        name: "stock accounted for",
        aliases: &["inventory", "inv"],
        about: "nothing is sold twice, and what is left adds up",
        reference: "ANOMALIES, section 7",
        implies: &[],
    },
    Row {
        property: Property::Bank,
        id: "BANK",
        name: "conserved total",
        aliases: &["bank", "conserved"],
        about: "every snapshot of the accounts has the same total",
        reference: "Jepsen, tests.bank",
        implies: &[],
    },
    Row {
        property: Property::SetLost,
        id: "SETLOST",
        name: "no lost elements",
        aliases: &["set-lost", "setlost"],
        about: "an element added or seen stays",
        reference: "Jepsen, checker/set-full",
        implies: &[],
    },
    Row {
        property: Property::SetStale,
        id: "SETSTALE",
        name: "no stale set reads",
        aliases: &["set-stale", "setstale"],
        about: "an element that is added is seen by every later read",
        reference: "Jepsen, checker/set-full",
        implies: &[],
    },
    Row {
        property: Property::QLost,
        id: "Q-LOST",
        name: "no lost messages",
        aliases: &["queue-lost", "q-lost"],
        about: "what was enqueued comes out before the queue is found empty for good",
        reference: "Henzinger, Sezgin and Vafeiadis 2013",
        implies: &[],
    },
    Row {
        property: Property::QDup,
        id: "Q-DUP",
        name: "no duplicated messages",
        aliases: &["queue-duplicate", "q-dup"],
        about: "a message is delivered once",
        reference: "Henzinger, Sezgin and Vafeiadis 2013",
        implies: &[],
    },
    Row {
        property: Property::QOrd,
        id: "Q-ORD",
        name: "messages in order",
        aliases: &["queue-order", "q-ord"],
        about: "what was enqueued first comes out first",
        reference: "Henzinger, Sezgin and Vafeiadis 2013",
        implies: &[],
    },
    Row {
        property: Property::QUnexp,
        id: "Q-UNEXP",
        name: "no unexpected messages",
        aliases: &["queue-unexpected", "q-unexp"],
        about: "only what was enqueued comes out",
        reference: "Henzinger, Sezgin and Vafeiadis 2013",
        implies: &[],
    },
    Row {
        property: Property::QEmpty,
        id: "Q-EMPTY",
        name: "no false empties",
        aliases: &["queue-empty", "q-empty"],
        about: "a queue is found empty only when it may have been",
        reference: "Henzinger, Sezgin and Vafeiadis 2013",
        implies: &[],
    },
    Row {
        property: Property::Lock,
        id: "LOCK",
        name: "mutual exclusion",
        aliases: &["mutex", "lock"],
        about: "a lock is held by one client at a time",
        reference: "ANOMALIES, section 7",
        implies: &[],
    },
    Row {
        property: Property::Fence,
        id: "FENCE",
        name: "rising fencing tokens",
        aliases: &["fencing", "fence"],
        about: "each holder of a lock gets a greater token than those before",
        reference: "ANOMALIES, section 7",
        implies: &[],
    },
    Row {
        property: Property::Leader,
        id: "LEADER",
        name: "one leader at a time",
        aliases: &["split-brain", "leader"],
        about: "no two nodes lead in one term or at one time",
        reference: "ANOMALIES, section 7",
        implies: &[],
    },
    Row {
        property: Property::Sib,
        id: "SIB",
        name: "siblings merged",
        aliases: &["siblings", "sib"],
        about: "a multi-value register keeps what is concurrent and drops what was overwritten",
        reference: "ANOMALIES, section 7",
        implies: &[],
    },
];

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

/// Evidence for the order of versions that the store, not the data, vouches for (specification 1.3).
/// A verdict that needs one says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assumption {
    /// E4: the writes of a session to one key are ordered as it issued them.
    WritesInSessionOrder,
    /// E5: writes to one key are ordered as they happened in real time.
    WritesInRealTimeOrder,
    /// E6: a write of a session is ordered after what the session had read of the key.
    WritesFollowReads,
}

impl Assumption {
    /// Every assumption with its name and its number in the specification.
    pub const ALL: [(Self, &str, &str); 3] = [
        (Self::WritesInSessionOrder, "writes-in-session-order", "E4"),
        (Self::WritesInRealTimeOrder, "writes-in-real-time-order", "E5"),
        (Self::WritesFollowReads, "writes-follow-reads", "E6"),
    ];

    /// Its name in a workload.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// What it takes for granted, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Self::WritesInSessionOrder => {
                "the writes of a session to one key are ordered as it issued them"
            }
            Self::WritesInRealTimeOrder => {
                "writes to one key are ordered as they happened in real time"
            }
            Self::WritesFollowReads => {
                "a write is ordered after what its session had read of the key"
            }
        }
    }

    /// The assumption of that name or number.
    pub fn from_name(name: &str) -> Option<Self> {
        let row = Self::ALL
            .iter()
            .find(|(_, own, number)| *own == name || number.eq_ignore_ascii_case(name));
        row.map(|(assumption, ..)| *assumption)
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
