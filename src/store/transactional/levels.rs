//! The levels of isolation, as a table: what a transaction sees, and what its commit is asked.

use crate::store::transactional::Bug;

/// What the reads of a transaction see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum View {
    /// One snapshot of the primary, no older than the transaction.
    Latest,
    /// One snapshot of the copy at the node that was asked, as old as that copy is.
    Copy,
    /// Each read for itself what the primary has committed by then.
    EachRead,
    /// Each read for itself what the primary has been told by then, committed or not.
    Uncommitted,
}

/// Which rows must not have changed since the snapshot when a transaction commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Check {
    /// None.
    Nothing,
    /// Those it writes: the first committer wins.
    Written,
    /// Those it has read: optimistic concurrency control (Kung and Robinson 1981).
    Read,
}

/// A level of isolation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Level {
    /// What transactions that write see.
    pub(super) writers: View,
    /// What transactions that only read see.
    pub(super) readers: View,
    pub(super) check: Check,
    /// Whether a write locks its row until the end of its transaction.
    pub(super) locks: bool,
    /// Whether a node shows its own commits before those that came earlier from others.
    pub(super) early: bool,
}

const fn level(writers: View, readers: View, check: Check) -> Level {
    let locks = matches!(writers, View::EachRead | View::Uncommitted);
    Level { writers, readers, check, locks, early: false }
}

/// Every level, by the word for it.
///
/// Snapshots of copies are why `serializable` is not strict and why neither it nor
/// `snapshot-isolation` lets a session see its own writes unless sessions carry tokens.
pub(in crate::store) const LEVELS: &[(&str, Level)] = &[
    ("strict-serializable", level(View::Latest, View::Latest, Check::Read)),
    ("serializable", level(View::Latest, View::Copy, Check::Read)),
    ("strong-snapshot-isolation", level(View::Latest, View::Latest, Check::Written)),
    ("snapshot-isolation", level(View::Latest, View::Copy, Check::Written)),
    (
        "parallel-snapshot-isolation",
        Level { early: true, ..level(View::Copy, View::Copy, Check::Written) },
    ),
    ("prefix-consistency", level(View::Latest, View::Copy, Check::Nothing)),
    ("read-committed", level(View::EachRead, View::EachRead, Check::Nothing)),
    ("read-uncommitted", level(View::Uncommitted, View::Uncommitted, Check::Nothing)),
];

impl Level {
    /// What is really done with this bug planted; the error says what the bug needs.
    pub(super) fn with(self, bug: Bug) -> Result<Self, &'static str> {
        let reads_copies = self.readers == View::Copy && !self.early;
        Ok(match bug {
            Bug::WriteSkew if self.check == Check::Read => Self { check: Check::Written, ..self },
            Bug::WriteSkew | Bug::Phantom if self.check != Check::Read => {
                return Err("needs a serializable level, which asks what was read");
            }
            Bug::LostUpdate if self.check == Check::Nothing => {
                return Err("needs a level that asks whether rows have changed");
            }
            Bug::NonRepeatableRead if self.locks => {
                return Err("needs a level that promises a snapshot");
            }
            Bug::NonRepeatableRead => {
                Self { writers: View::EachRead, readers: View::EachRead, ..self }
            }
            Bug::DirtyRead if self.readers == View::EachRead => {
                Self { writers: View::Uncommitted, readers: View::Uncommitted, ..self }
            }
            Bug::DirtyRead => return Err("needs isolation = \"read-committed\""),
            Bug::DirtyWrite if self.locks => Self { locks: false, ..self },
            Bug::DirtyWrite => return Err("needs a level that locks: read-(un)committed"),
            Bug::StaleSnapshot if self.readers == View::Latest => {
                Self { readers: View::Copy, ..self }
            }
            Bug::StaleSnapshot => return Err("needs a strict or strong level"),
            Bug::LongFork if reads_copies => Self { early: true, ..self },
            Bug::LongFork => return Err("needs a level that reads copies in one order"),
            // The others change what is done with a commit or a token, whatever the level.
            _ => self,
        })
    }
}
