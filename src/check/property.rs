//! The properties and models that are checked, as a table.

use serde::{Deserialize, Serialize};

/// A property of a history, by its id in the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Property {
    /// No value is read that nobody wrote.
    Thin,
    /// No value is read whose only writers failed.
    G1a,
    /// No value is read before its write is invoked.
    Fut,
    /// Linearizability.
    Lin,
    /// Read your writes.
    Ryw,
    /// Monotonic reads.
    Mr,
    /// Monotonic writes.
    Mw,
    /// Writes follow reads.
    Wfr,
    /// Monotonic reads and monotonic writes, jointly.
    MrMw,
    /// Monotonic reads and writes follow reads, jointly.
    MrWfr,
    /// Read your writes, monotonic reads and monotonic writes, jointly.
    Sess3,
    /// All four session guarantees, jointly.
    Sess4,
    /// No two updates consume one version.
    Lus,
    /// No acknowledged write is lost.
    Awl,
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
        property: Property::Lin,
        id: "LIN",
        name: "linearizable",
        aliases: &["linearizability", "lin", "atomic"],
        about: "every operation takes effect at one instant between its call and its return",
        reference: "Herlihy and Wing 1990",
        implies: &[Property::Sess4, Property::Fut, Property::Lus, Property::Awl],
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
