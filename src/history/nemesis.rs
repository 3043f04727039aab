//! Pairs the beginnings and ends of faults where a history does not number them.

use crate::history::{Builder, Malformed};
use crate::model::{FaultEvent, FaultId, Nanos, Value};

/// A line of the nemesis.
pub(super) struct NemesisLine<'a> {
    pub(super) index: Option<u32>,
    pub(super) time: Nanos,
    pub(super) name: &'a str,
    pub(super) value: Value,
    /// The number of the fault, if the line says it.
    pub(super) id: Option<FaultId>,
    /// Whether it begins here, if the line says it.
    pub(super) begins: Option<bool>,
}

/// Words that end a fault: alone every open one, before or after a dash the one of that name.
const ENDS: [&str; 7] = ["stop", "heal", "recover", "resume", "restart", "end", "undo"];

/// Turns lines of the nemesis into faults with a beginning and an end.
///
/// A line that says neither `fault` nor `begins` is judged by its name: `stop-partition` ends what
/// `start-partition` or `partition` began, a bare `stop`, `heal`, … ends everything, and every other
/// name begins a fault. Jepsen writes each line twice, before and after; the second one of a pair
/// is passed over.
#[derive(Default)]
pub(super) struct Nemesis {
    /// The open faults.
    open: Vec<(FaultId, String)>,
    /// The name of a line whose second half may follow.
    half: Option<String>,
    last_id: u32,
}

impl Nemesis {
    pub(super) fn line(
        &mut self,
        builder: &mut Builder,
        line: NemesisLine<'_>,
    ) -> Result<(), Malformed> {
        let NemesisLine { index, time, name, value, id, begins } = line;
        if let Some(begins) = begins {
            self.last_id = self.last_id.max(id.map_or(self.last_id, |id| id.0));
            let event = FaultEvent { id, begins, name: name.into(), value };
            return builder.fault(index, time, &event);
        }
        if self.half.as_deref() == Some(name) {
            self.half = None;
            return builder.skip(index, time);
        }
        self.half = Some(name.to_owned());
        let event =
            |id, begins, name: &str, value| FaultEvent { id, begins, name: name.into(), value };
        match Ended::by(name) {
            Ended::Nothing => {
                self.last_id += 1;
                let id = FaultId(self.last_id);
                let bare = name.strip_prefix("start-").unwrap_or(name);
                self.open.push((id, bare.to_owned()));
                builder.fault(index, time, &event(Some(id), true, bare, value))
            }
            ended => {
                builder.skip(index, time)?;
                let is_meant = |(_, open): &(FaultId, String)| match ended {
                    Ended::Named(name) => name == open,
                    _ => true,
                };
                for (id, _) in self.open.iter().filter(|open| is_meant(open)) {
                    builder.fault_ends(time, *id);
                }
                self.open.retain(|open| !is_meant(open));
                Ok(())
            }
        }
    }
}

/// What a line of this name ends.
enum Ended<'a> {
    Nothing,
    Everything,
    Named(&'a str),
}

impl<'a> Ended<'a> {
    fn by(name: &'a str) -> Self {
        let named = |word: &&str| {
            let before = name.strip_prefix(word).and_then(|rest| rest.strip_prefix('-'));
            let after = || name.strip_suffix(word).and_then(|rest| rest.strip_suffix('-'));
            before.or_else(after)
        };
        if ENDS.contains(&name) {
            return Self::Everything;
        }
        ENDS.iter().find_map(named).map_or(Self::Nothing, Self::Named)
    }
}
