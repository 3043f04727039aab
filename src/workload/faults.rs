//! What the file says of faults: what they do, to whom, and when.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use crate::generate::{Begins, FaultPlan, Inject, Nodes, SHAPES, Shape};
use crate::model::{Channel, Lost, Nanos, NodeFault, Packet, Skew};
use crate::workload::file::{self, File, Text};
use crate::workload::plan::{Mention, Reader, list};
use crate::workload::words::{Percent, Written};

impl Reader<'_> {
    pub(super) fn faults(&mut self, file: &File) -> Vec<FaultPlan> {
        let mut names: Vec<&str> = Vec::new();
        for fault in &file.fault {
            let Some(name) = &fault.name else { continue };
            if names.contains(&name.get_ref().as_str()) {
                self.complain(name.span(), "two faults have this name");
            }
            names.push(name.get_ref());
        }
        let plans = file.fault.iter().filter_map(|fault| self.fault(fault, file));
        plans.collect()
    }

    fn fault(&mut self, fault: &file::Fault, file: &File) -> Option<FaultPlan> {
        let begins = self.begins(fault, file)?;
        let lasts = written(fault.lasts.as_ref());
        let offset = written(fault.offset.as_ref()).unwrap_or_default();
        if let (Begins::Every(every), Some(place)) = (&begins, &fault.every)
            && let Some(lasts) = lasts.filter(|lasts| lasts >= every)
        {
            let message = format!("the next would begin before this one ends, after {lasts}");
            self.complain(place.span(), message);
        }
        if let (None, Some(place)) = (lasts, span(fault.every.as_ref()).or(span(fault.at.as_ref())))
        {
            let message = "a fault that comes again needs `for`: how long it lasts";
            self.complain(place, message);
        }
        let main = file.phases.main.get_ref().0;
        let first = match &begins {
            Begins::At(times) => times.first().copied().unwrap_or_default(),
            _ => Nanos(0),
        };
        let needs = first + offset + lasts.unwrap_or_default();
        if main > Nanos(0) && (needs > main || first + offset >= main) {
            let message = format!("never happens: it needs {needs} of a main phase of {main}");
            let mut diagnostic = self.source.diagnostic(fault.inject.span(), message);
            diagnostic.help =
                Some("make `phases.main` longer, or `offset` and `for` shorter".into());
            self.wrong.push(diagnostic);
        }
        let flap = written(fault.flap.as_ref());
        if let (Some(each), Some(place)) = (flap, &fault.flap)
            && (each == Nanos(0) || lasts.is_some_and(|lasts| each >= lasts))
        {
            self.complain(place.span(), "expected more than nothing and less than `for`");
        }
        let inject = self.inject(fault)?;
        Some(FaultPlan { inject, begins, lasts, offset, flap })
    }

    fn begins(&mut self, fault: &file::Fault, file: &File) -> Option<Begins> {
        let said = [
            span(fault.every.as_ref()),
            span(fault.at.as_ref()),
            fault.after.as_ref().map(Spanned::span),
        ];
        if let [_, second, ..] = &said.into_iter().flatten().collect::<Vec<_>>()[..] {
            self.complain(second.clone(), "expected one of `every`, `at` and `after`");
        }
        if let Some(every) = &fault.every {
            return Some(every.get_ref().0.0.clone());
        }
        if let Some(at) = &fault.at {
            let times: Vec<Nanos> = at.get_ref().iter().map(|time| time.0).collect();
            if times.is_empty() || !times.is_sorted_by(|a, b| a < b) {
                self.complain(at.span(), "expected times, each later than the one before it");
            }
            return Some(Begins::At(times));
        }
        let Some(after) = &fault.after else { return Some(Begins::Once) };
        let name = |other: &file::Fault| other.name.as_ref().map(|name| name.get_ref().clone());
        let place = file.fault.iter().position(|one| name(one).as_ref() == Some(after.get_ref()));
        if place.is_none() {
            let names: Vec<String> = file.fault.iter().filter_map(name).collect();
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            match &known[..] {
                [] => self.complain(after.span(), "no fault has this `name`, nor any"),
                _ => self.unknown("fault", after.get_ref(), after.span(), &known),
            }
        }
        place.map(Begins::After)
    }

    fn inject(&mut self, fault: &file::Fault) -> Option<Inject> {
        let name = fault.inject.get_ref().as_str();
        self.mentions.faults.push(Mention::new(&fault.inject, Vec::new()));
        self.misplaced(name, fault);
        if name == "partition" {
            let Some(shape) = &fault.shape else {
                let known: Vec<&str> = SHAPES.iter().map(|row| row.name).collect();
                let message = format!("a partition needs a `shape`, one of {}", list(&known));
                self.complain(fault.inject.span(), message);
                return None;
            };
            return Some(Inject::Partition(self.shape(shape)?, self.channel(fault)));
        }
        let what = match name {
            "kill" => NodeFault::Kill,
            "pause" => NodeFault::Pause,
            "disk-full" => NodeFault::DiskFull,
            "power-loss" => NodeFault::PowerLoss,
            "skew" => NodeFault::Skew(self.skew(fault)?),
            "packet" => NodeFault::Packet(self.packet(fault)?),
            "throttle" => {
                let cpu = fault.cpu.as_ref();
                let cpu = self.needed(fault, cpu, "`cpu`: `cpu = \"10%\"`")?;
                NodeFault::Throttle(cpu.0.0)
            }
            "memory" => {
                let limit = fault.limit.as_ref();
                let limit = self.needed(fault, limit, "`limit`: `limit = \"64MB\"`")?;
                NodeFault::Memory(limit.0.0)
            }
            "truncate" => NodeFault::Truncate {
                file: self.pattern(fault),
                bytes: *self.needed(fault, fault.bytes.as_ref(), "`bytes`: `bytes = 100`")?,
            },
            "bitflip" => NodeFault::BitFlip {
                file: self.pattern(fault),
                bits: *self.needed(fault, fault.bits.as_ref(), "`bits`: `bits = 1`")?,
            },
            "disconnect" => NodeFault::Disconnect(self.lost(fault)),
            command => NodeFault::Command(Arc::from(command)),
        };
        Some(Inject::Nodes(self.nodes(fault), what))
    }

    /// Complains of what this fault does not take.
    fn misplaced(&mut self, name: &str, fault: &file::Fault) {
        let mut only = |takers: &[&str], key: &str, place: Option<Range<usize>>| {
            if let (false, Some(place)) = (takers.contains(&name), place) {
                self.complain(place, format!("`{name}` takes no `{key}`"));
            }
        };
        only(&["partition"], "shape", span(fault.shape.as_ref()));
        only(&["partition"], "channel", span(fault.channel.as_ref()));
        only(&["partition"], "flap", span(fault.flap.as_ref()));
        only(&["disconnect"], "lost", span(fault.lost.as_ref()));
        only(&["skew"], "by", span(fault.by.as_ref()));
        only(&["skew"], "drift", span(fault.drift.as_ref()));
        only(&["skew"], "strobe", span(fault.strobe.as_ref()));
        only(&["packet"], "delay", span(fault.delay.as_ref()));
        only(&["packet"], "jitter", span(fault.jitter.as_ref()));
        only(&["packet"], "loss", span(fault.loss.as_ref()));
        only(&["packet"], "duplicate", span(fault.duplicate.as_ref()));
        only(&["packet"], "reorder", span(fault.reorder.as_ref()));
        only(&["packet"], "rate", span(fault.rate.as_ref()));
        only(&["throttle"], "cpu", span(fault.cpu.as_ref()));
        only(&["memory"], "limit", span(fault.limit.as_ref()));
        only(&["truncate", "bitflip"], "file", span(fault.file.as_ref()));
        only(&["truncate"], "bytes", span(fault.bytes.as_ref()));
        only(&["bitflip"], "bits", span(fault.bits.as_ref()));
        if let ("partition", Some(nodes)) = (name, &fault.nodes) {
            self.complain(nodes.span(), "`partition` takes no `nodes`");
        }
    }

    fn needed<'a, T>(
        &mut self,
        fault: &file::Fault,
        value: Option<&'a Spanned<T>>,
        needs: &str,
    ) -> Option<&'a T> {
        if value.is_none() {
            let message = format!("{} needs {needs}", fault.inject.get_ref());
            self.complain(fault.inject.span(), message);
        }
        value.map(Spanned::get_ref)
    }

    fn skew(&mut self, fault: &file::Fault) -> Option<Skew> {
        let skew = Skew {
            offset_ms: fault.by.as_ref().map_or(0, |by| by.get_ref().0.0),
            drift_ppm: fault.drift.as_ref().map_or(0, |drift| drift.get_ref().0.0),
            strobe_ms: written(fault.strobe.as_ref()).map_or(0, millis),
        };
        if skew.offset_ms == 0 && skew.drift_ppm == 0 {
            let message = "a skew needs `by`, `drift` or both: `by = \"500ms\"`";
            self.complain(fault.inject.span(), message);
            return None;
        }
        Some(skew)
    }

    fn packet(&mut self, fault: &file::Fault) -> Option<Packet> {
        let percent = |written: &Option<Spanned<Written<Percent>>>| {
            written.as_ref().map_or(0, |percent| percent.get_ref().0.0)
        };
        let packet = Packet {
            delay_ms: written(fault.delay.as_ref()).map_or(0, millis),
            jitter_ms: written(fault.jitter.as_ref()).map_or(0, millis),
            loss: percent(&fault.loss),
            duplicate: percent(&fault.duplicate),
            reorder: percent(&fault.reorder),
            rate_kbit: fault.rate.as_ref().map_or(0, |rate| rate.get_ref().0.0),
        };
        if packet == Packet::default() {
            let message = "packet needs one of `delay`, `jitter`, `loss`, `duplicate`, `reorder` and \
                           `rate`, more than nothing: `delay = \"50ms\"`";
            self.complain(fault.inject.span(), message);
            return None;
        }
        if packet.jitter_ms > packet.delay_ms {
            let place = span(fault.jitter.as_ref()).unwrap_or_default();
            self.complain(place, "more than `delay`: nothing arrives before it was sent");
        }
        Some(packet)
    }

    /// Which files.
    fn pattern(&mut self, fault: &file::Fault) -> Arc<str> {
        let text = fault.file.as_ref().map_or("*", |file| file.get_ref().as_str());
        if let (true, Some(file)) = (text.starts_with('/') || text.contains(".."), &fault.file) {
            self.complain(
                file.span(),
                "a pattern below the data directory of the node is expected",
            );
        }
        Arc::from(text)
    }

    /// The one channel that is to be cut, if the fault names one.
    fn channel(&mut self, fault: &file::Fault) -> Option<Channel> {
        let written = fault.channel.as_ref()?;
        let channel = Channel::from_name(written.get_ref());
        if channel.is_none() {
            let known = Channel::ALL.map(Channel::name);
            self.unknown("channel", written.get_ref(), written.span(), &known);
        }
        channel
    }

    /// What is lost between nodes and the clients that are cut off.
    fn lost(&mut self, fault: &file::Fault) -> Lost {
        let Some(written) = &fault.lost else { return Lost::All };
        Lost::from_name(written.get_ref()).unwrap_or_else(|| {
            let known = Lost::ALL.map(Lost::name);
            self.unknown("loss", written.get_ref(), written.span(), &known);
            Lost::All
        })
    }

    fn nodes(&mut self, fault: &file::Fault) -> Nodes {
        let Some(written) = &fault.nodes else { return Nodes::One };
        match written.get_ref() {
            file::Names::List(names) => {
                if names.is_empty() {
                    self.complain(written.span(), "a fault of no node does nothing");
                }
                Nodes::Named(names.iter().map(|name| self.mention(name, Vec::new())).collect())
            }
            file::Names::Word(word) => {
                let nodes = Nodes::from_name(word);
                match &nodes {
                    Nodes::Named(_) => {
                        let name = Text::new(written.span(), word.clone());
                        self.mention(&name, Nodes::WORDS.iter().map(|(word, _)| *word).collect());
                    }
                    Nodes::Random(0) => {
                        self.complain(written.span(), "a fault of no node does nothing");
                    }
                    _ => {}
                }
                nodes
            }
        }
    }

    fn shape(&mut self, written: &Spanned<file::Shape>) -> Option<Shape> {
        match written.get_ref() {
            file::Shape::Word(word) => {
                let shape = Shape::from_name(word);
                if shape.is_none() {
                    let known: Vec<&str> = SHAPES.iter().map(|row| row.name).collect();
                    self.unknown("shape", word, written.span(), &known);
                }
                shape
            }
            file::Shape::Groups(groups) => {
                let mut seen: Vec<&str> = Vec::new();
                for node in groups.iter().flatten() {
                    if seen.contains(&node.get_ref().as_str()) {
                        let message = format!("`{}` is in two groups", node.get_ref());
                        self.complain(node.span(), message);
                    }
                    seen.push(node.get_ref());
                }
                if groups.len() < 2 {
                    self.complain(written.span(), "expected two groups at least");
                }
                let group = |group: &Vec<Text>| {
                    group.iter().map(|node| self.mention(node, Vec::new())).collect()
                };
                Some(Shape::Groups(groups.iter().map(group).collect()))
            }
        }
    }
}

fn span<T>(written: Option<&Spanned<T>>) -> Option<Range<usize>> {
    written.map(Spanned::span)
}

fn written(written: Option<&Spanned<Written<Nanos>>>) -> Option<Nanos> {
    written.map(|written| written.get_ref().0)
}

fn millis(time: Nanos) -> u64 {
    time.0 / 1_000_000
}
