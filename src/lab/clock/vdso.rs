//! The kernel's page of code in a process (the vDSO), read and written by the file that is the
//! process's memory.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use crate::lab::clock::code::{ANSWERS, CODE, INDEX, KEEPER, MAGIC, SLOTS};

/// A jump to a place up to 2 GiB away.
const JUMP: usize = 5;

/// The vDSO as the kernel made it, with where the questions for the time begin in it, and where there
/// is room for answers of our own.
pub(super) struct Original {
    image: Vec<u8>,
    entries: [usize; 3],
    room: usize,
}

impl Original {
    /// That of this process: all processes of one machine word have the same.
    pub(super) fn read() -> Result<Self, String> {
        if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
            return Err("the clock of a process can be changed on Linux on x86_64 only".to_owned());
        }
        let image = Vdso::open("self")?.image;
        let symbols = symbols(&image).ok_or("the vDSO of this kernel cannot be read")?;
        let mut entries = [0; 3];
        for (entry, (name, _)) in entries.iter_mut().zip(ANSWERS) {
            let found = symbols.iter().find(|(symbol, _)| symbol == name);
            *entry = found.ok_or_else(|| format!("the vDSO of this kernel has no {name}"))?.1;
        }
        // The pages are filled with zeros; a line of the cache stays between.
        let used = image.iter().rposition(|byte| *byte != 0).unwrap_or_default();
        let room = (used + 1).next_multiple_of(64);
        if room + CODE.len() > image.len() {
            return Err("the vDSO of this kernel has no room left".to_owned());
        }
        Ok(Self { image, entries, room })
    }

    /// The bytes that a thread must not stand in while they change: the beginnings of the entries,
    /// their first byte excepted, and our own code.
    fn delicate(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let entries = self.entries.into_iter().map(|entry| entry + 1..entry + JUMP);
        entries.chain(std::iter::once(self.room..self.room + CODE.len()))
    }
}

/// The vDSO of a process.
pub(super) struct Vdso {
    memory: File,
    start: u64,
    image: Vec<u8>,
}

impl Vdso {
    /// That of a process by its id, or `self`.
    pub(super) fn open(process: &str) -> Result<Self, String> {
        let because = |error: &io::Error| match error.kind() {
            io::ErrorKind::NotFound => format!("there is no process {process}"),
            io::ErrorKind::PermissionDenied => {
                format!("no access to process {process}: its clock can be changed by root only")
            }
            _ => format!("cannot read the memory of process {process}: {error}"),
        };
        let maps = fs::read_to_string(format!("/proc/{process}/maps"));
        let maps = maps.map_err(|error| because(&error))?;
        let range = maps.lines().find(|line| line.ends_with("[vdso]")).and_then(|line| {
            let (start, end) = line.split_whitespace().next()?.split_once('-')?;
            let number = |text| u64::from_str_radix(text, 16).ok();
            Some((number(start)?, number(end)?))
        });
        let (start, end) = range.ok_or_else(|| {
            format!("process {process} has no vDSO; a kernel thread, or one that has ended?")
        })?;
        let writes = process != "self";
        let memory =
            OpenOptions::new().read(true).write(writes).open(format!("/proc/{process}/mem"));
        let memory = memory.map_err(|error| because(&error))?;
        let mut image = vec![0; (end - start) as usize];
        memory.read_exact_at(&mut image, start).map_err(|error| because(&error))?;
        Ok(Self { memory, start, image })
    }

    /// Whether our answers are in it.
    pub(super) fn is_patched(&self, original: &Original) -> bool {
        self.image.get(original.room..original.room + MAGIC.len()) == Some(&MAGIC[..])
    }

    /// Whether it is nothing but the kernel's.
    pub(super) fn is_original(&self, original: &Original) -> bool {
        self.image == original.image
    }

    /// Whether it is the kernel's but for our answers. It is not in a process of 32 bits.
    pub(super) fn is_known(&self, original: &Original) -> bool {
        let same = |range: std::ops::Range<usize>| {
            self.image.get(range.clone()) == original.image.get(range)
        };
        let mut from = 0;
        let mut entries = original.entries;
        entries.sort_unstable();
        for entry in entries {
            if !same(from..entry) {
                return false;
            }
            from = entry + JUMP;
        }
        same(from..original.room)
    }

    /// Puts our answers in. No thread of the process may run meanwhile.
    pub(super) fn patch(&mut self, original: &Original) -> io::Result<()> {
        self.write(original.room, &CODE)?;
        for (entry, (_, answer)) in original.entries.iter().zip(ANSWERS) {
            let distance = (original.room + answer) as i32 - (entry + JUMP) as i32;
            let mut jump = [0xe9, 0, 0, 0, 0];
            jump[1..].copy_from_slice(&distance.to_le_bytes());
            self.write(*entry, &jump)?;
        }
        Ok(())
    }

    /// Puts the kernel's answers back. No thread of the process may run meanwhile.
    pub(super) fn restore(&mut self, original: &Original) -> io::Result<()> {
        for entry in original.entries {
            self.write(entry, &original.image[entry..entry + JUMP])?;
        }
        self.write(original.room, &[0; CODE.len()])
    }

    /// Whether a thread that stands there would be hurt by [`Vdso::patch`] or [`Vdso::restore`].
    pub(super) fn is_delicate(&self, original: &Original, instruction: u64) -> bool {
        let Some(at) = instruction.checked_sub(self.start) else { return false };
        original.delicate().any(|range| range.contains(&(at as usize)))
    }

    /// The offset in nanoseconds, and who changes it.
    pub(super) fn offset(&self, original: &Original) -> io::Result<(i64, u64)> {
        let mut data = [0; KEEPER + 8];
        self.memory.read_exact_at(&mut data, self.start + original.room as u64)?;
        let number =
            |at: usize| i64::from_le_bytes(data[at..at + 8].try_into().expect("eight bytes"));
        let slot = usize::from(data[INDEX] & 1);
        Ok((number(SLOTS + 8 * slot), number(KEEPER) as u64))
    }

    /// Changes the offset while the process runs: the slot that nobody reads is filled, then chosen.
    pub(super) fn set_offset(&mut self, original: &Original, nanos: i64) -> io::Result<()> {
        let mut index = [0];
        let at = self.start + (original.room + INDEX) as u64;
        self.memory.read_exact_at(&mut index, at)?;
        let slot = 1 - (index[0] & 1);
        self.write(original.room + SLOTS + 8 * usize::from(slot), &nanos.to_le_bytes())?;
        self.write(original.room + INDEX, &[slot])
    }

    /// Says who changes the offset from now on.
    pub(super) fn set_keeper(&mut self, original: &Original, keeper: u64) -> io::Result<()> {
        self.write(original.room + KEEPER, &keeper.to_le_bytes())
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(bytes, self.start + at as u64)?;
        self.image[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// The functions of an ELF image of 64 bits: name and place. What is found is what its dynamic
/// section says, for a vDSO need not have sections.
fn symbols(image: &[u8]) -> Option<Vec<(String, usize)>> {
    const LOAD: u32 = 1;
    const DYNAMIC: u32 = 2;
    const HASH: u64 = 4;
    const STRINGS: u64 = 5;
    const SYMBOLS: u64 = 6;
    let wide = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?));
    // Class 2: 64 bits.
    (image.get(..5)? == b"\x7fELF\x02").then_some(())?;
    let (headers, size, count) = (wide(32)? as usize, half(54)? as usize, half(56)? as usize);
    let (mut base, mut dynamic) = (0, None);
    for header in (0..count).map(|at| headers + at * size) {
        match word(header)? {
            LOAD => base = wide(header + 16)?.wrapping_sub(wide(header + 8)?),
            DYNAMIC => dynamic = Some(wide(header + 8)? as usize),
            _ => {}
        }
    }
    let (mut hash, mut strings, mut table) = (None, None, None);
    let mut entry = dynamic?;
    loop {
        let (tag, value) = (wide(entry)?, wide(entry + 8)?.wrapping_sub(base) as usize);
        match tag {
            0 => break,
            HASH => hash = Some(value),
            STRINGS => strings = Some(value),
            SYMBOLS => table = Some(value),
            _ => {}
        }
        entry += 16;
    }
    // The hash table has a chain for each symbol; without it, the strings follow the symbols.
    let (strings, table) = (strings?, table?);
    let count = match hash {
        Some(hash) => word(hash + 4)? as usize,
        None => strings.checked_sub(table)? / 24,
    };
    let mut found = Vec::new();
    for symbol in (0..count).map(|at| table + at * 24) {
        let name = image.get(strings + word(symbol)? as usize..)?;
        let end = name.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&name[..end]).into_owned();
        found.push((name, wide(symbol + 8)?.wrapping_sub(base) as usize));
    }
    Some(found)
}
