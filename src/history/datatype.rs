//! What kind of object a key is.

use crate::model::Function;

/// What kind of object a key is, judged by everything ever done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datatype {
    /// Read, written, compared and set.
    Register,
    /// Appended to; a read returns all elements in order.
    List,
    /// A text that is overwritten and appended to; a read returns the whole text.
    Text,
    /// Added to and removed from; a read returns all elements in any order.
    Set,
    /// Incremented; a read returns the sum.
    Counter,
    /// First in, first out.
    Queue,
    /// Last in, first out.
    Stack,
    /// Greatest first.
    PriorityQueue,
    /// Acquired and released.
    Lock,
    /// Hands out ids.
    Ids,
    /// Keeps concurrent values side by side.
    MultiValue,
    /// Who leads.
    Leadership,
    /// A stock of goods.
    Stock,
    /// Several of these at once: nothing can be said of such a key.
    Mixed,
}

impl Datatype {
    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::List => "list",
            Self::Text => "text",
            Self::Set => "set",
            Self::Counter => "counter",
            Self::Queue => "queue",
            Self::Stack => "stack",
            Self::PriorityQueue => "priority queue",
            Self::Lock => "lock",
            Self::Ids => "id generator",
            Self::MultiValue => "multi-value register",
            Self::Leadership => "leadership",
            Self::Stock => "stock",
            Self::Mixed => "mixed object",
        }
    }
}

/// What has been seen of a key so far: a set of functions and of shapes of read values.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent sightings")]
pub(super) struct Sightings {
    functions: u32,
    pub(super) read_list: bool,
    pub(super) read_int: bool,
    pub(super) read_text: bool,
    pub(super) read_map: bool,
    /// One integer was added more than once.
    pub(super) added_again: bool,
}

impl Sightings {
    pub(super) fn see(&mut self, function: Function) {
        self.functions |= 1 << function as u32;
    }

    /// Whether nothing was done to it but reading, and a number or nothing was read.
    fn is_read_as_number(self) -> bool {
        let is_only_read = self.functions == 1 << Function::Read as u32;
        is_only_read && !self.read_list && !self.read_text && !self.read_map
    }

    /// Whether nothing was done to it but adding.
    pub(super) fn is_only_added_to(self) -> bool {
        self.functions == 1 << Function::Add as u32
    }

    fn datatype(self) -> Datatype {
        use Function as F;
        let any =
            |functions: &[F]| functions.iter().any(|f| self.functions & (1 << *f as u32) != 0);
        let families: [(Datatype, &[F]); 12] = [
            (Datatype::Register, &[F::Write, F::Cas, F::Rmw]),
            (Datatype::List, &[F::Append]),
            (Datatype::Set, &[F::Add, F::Remove]),
            (Datatype::Counter, &[F::Increment]),
            (Datatype::Queue, &[F::Enqueue, F::Dequeue]),
            (Datatype::Stack, &[F::Push, F::Pop]),
            (Datatype::PriorityQueue, &[F::Insert, F::Poll]),
            (Datatype::Lock, &[F::Acquire, F::Release]),
            (Datatype::MultiValue, &[F::Put, F::Get]),
            (Datatype::Stock, &[F::Init, F::Buy, F::Level]),
            (Datatype::Ids, &[F::NewId]),
            // A whole bank is no register, though it is read.
            (Datatype::Mixed, &[F::InitBank, F::Transfer]),
        ];
        let mut seen =
            families.iter().filter(|(_, functions)| any(functions)).map(|(datatype, _)| *datatype);
        match (seen.next(), seen.next(), seen.next()) {
            (None, ..) if any(&[F::Leader]) => Datatype::Leadership,
            (None, ..) if self.read_list => Datatype::List,
            // The accounts of a bank, with whatever moves the money left out.
            (None, ..) if self.read_map => Datatype::Mixed,
            (None, ..) => Datatype::Register,
            (Some(Datatype::List), None, _) if self.read_text => Datatype::Text,
            (Some(Datatype::Register), Some(Datatype::List), None) if !self.read_list => {
                Datatype::Text
            }
            // Jepsen's counter workload adds where others increment. Where nobody reads, an integer
            // that is added again speaks for a counter: to a set it would do nothing.
            (Some(Datatype::Set), None, _)
                if self.read_int && !self.read_list || self.added_again =>
            {
                Datatype::Counter
            }
            (Some(one), None, _) => one,
            _ => Datatype::Mixed,
        }
    }
}

/// What each key is. Where all that is changed are counters, a key that nobody has counted with is one
/// as well, though it shows no more than a number that nobody wrote.
pub(super) fn datatypes(sightings: &[Sightings]) -> Vec<Datatype> {
    let mut datatypes: Vec<Datatype> = sightings.iter().map(|seen| seen.datatype()).collect();
    let mut changed =
        sightings.iter().zip(&datatypes).filter(|(seen, _)| !seen.is_read_as_number()).peekable();
    if changed.peek().is_some() && changed.all(|(_, datatype)| *datatype == Datatype::Counter) {
        datatypes.fill(Datatype::Counter);
    }
    datatypes
}
