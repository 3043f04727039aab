//! Random small histories of typed objects whose answers are often wrong: ids, counters, stocks,
//! accounts, rows, and sets, lists and registers that are read finally.

use rashomon::model::Random;
use serde_json::{Value as Json, json};

use crate::lines::Line;

/// A history of one kind of object.
pub(crate) type Generator = fn(&mut Random) -> Vec<Line>;

pub(crate) const GENERATORS: &[Generator] = &[ids, counter, stock, bank, rows, set, list, register];

fn ids(random: &mut Random) -> Vec<Line> {
    let count = 2 + random.below(4);
    let id = |_| {
        let id = random.below(8) as i64;
        Line::random(random, 0).does("newid", "user", json!(id))
    };
    (0..count).map(id).collect()
}

fn counter(random: &mut Random) -> Vec<Line> {
    let mut lines = Vec::new();
    let least = if random.chance(0.5) { 1 } else { -1 };
    for _ in 0..=random.below(4) {
        let by = least + random.below(3) as i64;
        lines.push(Line::random(random, 0).does("inc", "c", json!(by)));
    }
    for _ in 0..=random.below(3) {
        let value = random.below(8) as i64;
        lines.push(read(random, 8, "c", json!(value)));
    }
    lines
}

fn stock(random: &mut Random) -> Vec<Line> {
    let begin = Line { kind: "ok", invoked: 0, returned: 0, ..Line::random(random, 0) };
    let mut lines = vec![begin.does("init", "item", json!(random.below(8) as i64))];
    for _ in 0..random.below(5) {
        let amount = random.below(4) as i64;
        lines.push(Line::random(random, 1).does("buy", "item", json!(amount)));
    }
    for _ in 0..random.below(3) {
        let level = random.below(9) as i64 - 1;
        let line = read(random, 10, "item", json!(level));
        lines.push(Line { function: "level", ..line });
    }
    lines
}

fn bank(random: &mut Random) -> Vec<Line> {
    let begin = Line { kind: "ok", invoked: 0, returned: 3, ..Line::random(random, 0) };
    let mut lines = vec![begin.does("init-bank", "bank", json!({"a": 5, "b": 5}))];
    for _ in 0..=random.below(4) {
        let a = random.below(12) as i64 - 1;
        let b = if random.chance(0.8) { 10 - a } else { random.below(10) as i64 };
        lines.push(Line::random(random, 0).does("bread", "bank", json!({"a": a, "b": b})));
    }
    let transfer = json!({"from": "a", "to": "b", "amt": 3});
    lines.push(Line::random(random, 0).does("xfer", "bank", transfer));
    lines
}

fn rows(random: &mut Random) -> Vec<Line> {
    let mut lines = Vec::new();
    let tags = 1 + random.below(3) as i64;
    for tag in 1..=tags {
        let parts = json!([["w", "r.a", tag], ["w", "r.b", tag]]);
        lines.push(Line::random(random, 0).does("txn", "r", parts));
    }
    for _ in 0..=random.below(3) {
        let [a, b] = [0, 1].map(|_| random.below(tags as u64 + 1) as i64);
        let shown = |tag: i64| if tag == 0 { Json::Null } else { json!(tag) };
        let parts = json!([["r", "r.a", shown(a)], ["r", "r.b", shown(b)]]);
        lines.push(Line { function: "txn", ..read(random, 4, "r", parts) });
    }
    lines
}

fn set(random: &mut Random) -> Vec<Line> {
    let mut lines: Vec<Line> =
        (1..=3).map(|element| Line::random(random, 0).does("add", "s", json!(element))).collect();
    if random.chance(0.4) {
        lines.push(Line::random(random, 0).does("rem", "s", json!(1)));
    }
    for _ in 0..=random.below(4) {
        let seen = some_of(random, 3);
        lines.push(read(random, 4, "s", json!(seen)));
    }
    lines
}

fn list(random: &mut Random) -> Vec<Line> {
    let mut lines: Vec<Line> = (1..=3)
        .map(|element| Line::random(random, 0).does("append", "l", json!(element)))
        .collect();
    for _ in 0..=random.below(4) {
        let mut seen = some_of(random, 3);
        if random.chance(0.3) {
            random.shuffle(&mut seen);
        }
        lines.push(read(random, 4, "l", json!(seen)));
    }
    lines
}

fn register(random: &mut Random) -> Vec<Line> {
    let mut lines = Vec::new();
    for value in 1..=1 + random.below(4) as i64 {
        let line = Line::random(random, 0);
        let old = random.below(value as u64) as i64;
        let old = if old == 0 { Json::Null } else { json!(old) };
        lines.push(match random.below(3) {
            0 => line.does("w", "x", json!(value)),
            1 => line.does("rmw", "x", json!([old, value])),
            _ => line.does("cas", "x", json!([old, value])),
        });
    }
    for _ in 0..=random.below(3) {
        let value = random.below(5) as i64;
        let value = if value == 0 { Json::Null } else { json!(value) };
        lines.push(read(random, 8, "x", value));
    }
    lines
}

/// A read, final as often as not, by one of two nodes.
fn read(random: &mut Random, from: u64, key: &'static str, value: Json) -> Line {
    let line = Line::random(random, from).does("r", key, value);
    let is_final = random.chance(0.5);
    let from = if is_final { 40 } else { 0 };
    let returned = if line.kind == "info" { u64::MAX } else { line.returned + from };
    let node = Some(*random.pick(&["n1", "n2"]));
    Line { is_final, invoked: line.invoked + from, returned, node, ..line }
}

fn some_of(random: &mut Random, most: i64) -> Vec<i64> {
    (1..=most).filter(|_| random.chance(0.7)).collect()
}
