//! What a node finds again after it was killed.

/// How many bytes a record counts for.
pub(super) const RECORD_BYTES: u64 = 1_024;

/// A journal of records: what was synced survives a kill, the rest does not.
///
/// The unsynced tail is lost whole: torn records and reordered writes are not modelled.
#[derive(Clone, Debug)]
pub struct Disk<R> {
    records: Vec<R>,
    synced: usize,
}

impl<R> Default for Disk<R> {
    fn default() -> Self {
        Self { records: Vec::new(), synced: 0 }
    }
}

impl<R> Disk<R> {
    /// Everything written, oldest first.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// Writes a record at the end; a kill loses it until [`sync`](Self::sync).
    pub fn append(&mut self, record: R) {
        self.records.push(record);
    }

    /// Whether everything written so far is durable.
    pub fn is_synced(&self) -> bool {
        self.synced == self.records.len()
    }

    /// Makes everything written so far durable.
    pub fn sync(&mut self) {
        self.synced = self.records.len();
    }

    /// Takes the last records away, synced or not, until so many are left.
    pub fn truncate(&mut self, left: usize) {
        self.records.truncate(left);
        self.synced = self.synced.min(left);
    }

    /// The process died: loses the unsynced tail. Returns how many records that were.
    pub fn crash(&mut self) -> usize {
        let lost = self.records.len() - self.synced;
        self.records.truncate(self.synced);
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_what_was_not_synced() {
        let mut disk = Disk::default();
        disk.append(1);
        disk.append(2);
        disk.sync();
        disk.append(3);
        assert_eq!(disk.records(), [1, 2, 3]);
        assert_eq!(disk.crash(), 1);
        assert_eq!(disk.records(), [1, 2]);
        assert_eq!(disk.crash(), 0);
    }
}
