//! Rows of integers, as the levels of isolation keep reads and writes.

/// Items in rows, as a compressed sparse row.
#[derive(Clone, Debug)]
pub(super) struct Rows<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { starts: vec![0], items: Vec::new() }
    }
}

impl<T: Copy + Default> Rows<T> {
    /// Sorts pairs of a row and an item into `rows` rows, stably.
    pub(super) fn sorted(rows: usize, pairs: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut starts = vec![0_u32; rows + 1];
        for (row, _) in pairs.clone() {
            starts[row as usize + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut items = vec![T::default(); *starts.last().unwrap_or(&0) as usize];
        for (row, item) in pairs {
            let place = &mut next[row as usize];
            items[*place as usize] = item;
            *place += 1;
        }
        Self { starts, items }
    }
}

impl<T> Rows<T> {
    /// Adds to the row that is not yet closed.
    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Ends a row.
    pub(super) fn close(&mut self) {
        self.starts.push(self.items.len() as u32);
    }

    /// Ends a row in ascending order.
    pub(super) fn close_sorted(&mut self)
    where
        T: Ord,
    {
        let start = *self.starts.last().expect("there is always a first") as usize;
        self.items[start..].sort_unstable();
        self.close();
    }

    pub(super) fn open_row(&self) -> &[T] {
        &self.items[*self.starts.last().expect("there is always a first") as usize..]
    }

    /// The items of a row.
    pub(super) fn row(&self, row: u32) -> &[T] {
        let row = row as usize;
        &self.items[self.starts[row] as usize..self.starts[row + 1] as usize]
    }

    /// How many items there are.
    pub(super) fn total(&self) -> usize {
        self.items.len()
    }
}
