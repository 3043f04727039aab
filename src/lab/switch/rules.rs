//! What is done to packets: a text of a few lines, and the table that it becomes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// What the machine on which the lab stands is called in rules, beside the names of the nodes.
pub(super) const CONTROL: &str = "control";

/// How a packet fares that goes where a rule says. Nothing is done where all is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// How much later it arrives.
    pub(super) delay: Duration,
    /// By how much that differs at most, either way.
    pub(super) jitter: Duration,
    /// How much of a hundred is lost.
    pub(super) loss: u8,
    /// How much of a hundred arrives twice.
    pub(super) duplicate: u8,
    /// How much of a hundred is overtaken by what was sent later.
    pub(super) reorder: u8,
    /// How many kilobits a second go through; any number if 0.
    pub(super) rate_kbit: u64,
}

/// A rule, with what it has let through.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) effect: Effect,
    /// When the last packet will have gone through, if its rate is limited.
    pub(super) free: Mutex<Option<Instant>>,
}

/// The rules that are in force, sorted by link. Devices are numbered; the machine itself is 0.
#[derive(Debug)]
pub(super) struct Table {
    /// Which text it was made of.
    pub(super) generation: u64,
    devices: usize,
    cuts: BTreeSet<(usize, usize)>,
    rules: Vec<Rule>,
    /// By `from * devices + to`, which rules hold there.
    links: Vec<Vec<usize>>,
}

impl Table {
    /// No rules between so many devices.
    pub(super) fn empty(devices: usize) -> Self {
        let links = vec![Vec::new(); devices * devices];
        Self { generation: 0, devices, cuts: BTreeSet::new(), rules: Vec::new(), links }
    }

    /// Reads rules. The first line is their number, which is told when they are in force; then
    ///
    /// ```text
    /// cut n1 n2                                  nothing that n1 sends reaches n2
    /// packet n1 * 50 10 30 5 5 1000              from n1 to everyone: delay and jitter in ms; loss,
    ///                                            duplicates, reordering in percent; rate in kbit/s
    /// ```
    ///
    /// `names` are those of the devices, the machine's own first.
    pub(super) fn parse(text: &str, names: &[String]) -> Result<Self, String> {
        let mut table = Self::empty(names.len());
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        table.generation = first.trim().parse().map_err(|_| format!("`{first}` is no number"))?;
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| -> Result<u64, String> {
                words[at].parse().map_err(|_| format!("`{}` of `{line}` is no number", words[at]))
            };
            let percent = |at: usize| match number(at)? {
                share @ 0..=100 => Ok(share as u8),
                _ => Err(format!("`{}` of `{line}` is more than 100", words[at])),
            };
            match words.as_slice() {
                [] => {}
                ["cut", from, to] => {
                    for from in devices(names, from)? {
                        for to in devices(names, to)? {
                            table.cuts.insert((from, to));
                        }
                    }
                }
                ["packet", from, to, _, _, _, _, _, _] => {
                    let effect = Effect {
                        delay: Duration::from_millis(number(3)?),
                        jitter: Duration::from_millis(number(4)?),
                        loss: percent(5)?,
                        duplicate: percent(6)?,
                        reorder: percent(7)?,
                        rate_kbit: number(8)?,
                    };
                    table.rules.push(Rule { effect, free: Mutex::new(None) });
                    for from in devices(names, from)? {
                        for to in devices(names, to)? {
                            table.links[from * names.len() + to].push(table.rules.len() - 1);
                        }
                    }
                }
                _ => return Err(format!("`{line}` is no rule")),
            }
        }
        Ok(table)
    }

    /// Whether nothing goes that way.
    pub(super) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// The rules that hold on a link.
    pub(super) fn rules(&self, from: usize, to: usize) -> impl Iterator<Item = &Rule> {
        self.links[from * self.devices + to].iter().map(|at| &self.rules[*at])
    }
}

/// The numbers of the devices that a word names.
fn devices(names: &[String], word: &str) -> Result<Vec<usize>, String> {
    if word == "*" {
        return Ok((0..names.len()).collect());
    }
    let at = names.iter().position(|name| name == word);
    at.map(|at| vec![at]).ok_or_else(|| format!("nobody is called `{word}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Table, String> {
        let names = [CONTROL, "n1", "n2"].map(str::to_owned);
        Table::parse(text, &names)
    }

    #[test]
    fn rules_hold_on_the_links_they_name() {
        let table = parse("7\ncut n1 n2\npacket n2 * 50 10 30 5 4 1000\npacket * n2 1 0 0 0 0 0\n")
            .expect("good rules");
        assert_eq!(table.generation, 7);
        assert!(table.is_cut(1, 2) && !table.is_cut(2, 1) && !table.is_cut(0, 2));
        let effect = table.rules(2, 0).next().expect("the first rule").effect;
        assert_eq!(effect.delay, Duration::from_millis(50));
        assert_eq!((effect.loss, effect.duplicate, effect.reorder), (30, 5, 4));
        assert_eq!(effect.rate_kbit, 1_000);
        let count = |from, to| table.rules(from, to).count();
        assert_eq!((count(2, 0), count(2, 1), count(0, 2), count(0, 1)), (1, 1, 1, 0));
    }

    #[test]
    fn what_is_no_rule_is_said() {
        for (text, why) in [
            ("", "`` is no number"),
            ("1\ncut n1", "`cut n1` is no rule"),
            ("1\ncut n1 n9", "nobody is called `n9`"),
            ("1\npacket n1 * 0 0 101 0 0 0", "is more than 100"),
            ("1\npacket n1 * fast 0 0 0 0 0", "`fast` of"),
        ] {
            let said = parse(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
