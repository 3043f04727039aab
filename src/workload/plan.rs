//! What the file says of clients, keys, operations, faults and phases, as the generator takes it.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;

use crate::generate::{
    BankPlan, Body, ClientPlan, Family, Field, KeyChoice, KeyPlan, Last, OPERATIONS, Operation,
    OperationRow, Part, Phases, Plan, Rate, Routing, StockPlan, WorkerNumber, Writers,
};
use crate::model::{Function, Nanos, did_you_mean};
use crate::workload::diagnostic::Diagnostic;
use crate::workload::file::{self, File, Text};
use crate::workload::source::Source;
use crate::workload::words::{Length, Speed, Written};

/// The name of a node or of a command: what is none of the words known in its place.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) name: Arc<str>,
    pub(super) span: Range<usize>,
    pub(super) words: Vec<&'static str>,
}

impl Mention {
    pub(super) fn new(text: &Text, words: Vec<&'static str>) -> Self {
        Self { name: Arc::from(text.get_ref().as_str()), span: text.span(), words }
    }
}

/// What a plan leaves to its target to have.
#[derive(Clone, Debug, Default)]
pub(super) struct Mentions {
    pub(super) nodes: Vec<Mention>,
    pub(super) faults: Vec<Mention>,
    pub(super) operations: Vec<Mention>,
}

/// The plan, and what it leaves to its target. What is wrong goes to `wrong`.
pub(super) fn plan(file: &File, source: &Source, wrong: &mut Vec<Diagnostic>) -> (Plan, Mentions) {
    let fields = (*file.keys.fields.get_ref()).max(1);
    let mut reader = Reader { source, wrong, mentions: Mentions::default(), fields };
    let plan = Plan {
        clients: reader.clients(&file.clients),
        keys: reader.keys(file),
        operations: reader.operations(file),
        bank: reader.bank(file),
        stock: reader.stock(file),
        faults: reader.faults(file),
        budget: file.limits.broken.as_ref().map(|broken| broken.get_ref().0),
        worker: WorkerNumber::default(),
        phases: reader.phases(&file.phases),
    };
    let has_queue =
        || plan.operations.iter().flat_map(Operation::rows).any(|row| row.family == Family::Queue);
    if let (Last::Drains, [first, ..], false) =
        (plan.phases.last, &file.phases.finals[..], has_queue())
    {
        reader.complain(first.span(), "there is no queue to drain: no operation is `enqueue`");
    }
    (plan, reader.mentions)
}

pub(super) struct Reader<'a> {
    pub(super) source: &'a Source,
    pub(super) wrong: &'a mut Vec<Diagnostic>,
    pub(super) mentions: Mentions,
    /// How many fields a key has.
    fields: u32,
}

impl Reader<'_> {
    pub(super) fn complain(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.wrong.push(self.source.diagnostic(span, message.into()));
    }

    /// `what` is none of the words known in its place.
    pub(super) fn unknown(&mut self, what: &str, word: &str, span: Range<usize>, known: &[&str]) {
        let message = format!("unknown {what} `{word}`, expected one of {}", list(known));
        let help = did_you_mean(word, known.iter().copied());
        self.wrong.push(self.source.diagnostic(span, message).with_help(help));
    }

    pub(super) fn mention(&mut self, name: &Text, words: Vec<&'static str>) -> Arc<str> {
        let mention = Mention::new(name, words);
        let name = mention.name.clone();
        self.mentions.nodes.push(mention);
        name
    }

    fn clients(&mut self, clients: &file::Clients) -> ClientPlan {
        let routing = match clients.routing.as_ref().map(|text| (text.get_ref().as_str(), text)) {
            None | Some(("roam", _)) => Routing::Roam,
            Some(("sticky", _)) => Routing::Sticky,
            Some(("primary", _)) => Routing::Primary,
            Some((_, node)) => Routing::Node(self.mention(node, vec!["roam", "sticky", "primary"])),
        };
        let rate = match clients.rate.0 {
            Speed::Max => Rate::Max,
            Speed::PerSecond(rate) => Rate::PerSecond(rate, clients.spacing.0),
        };
        ClientPlan { count: clients.count.0, routing, rate }
    }

    fn keys(&mut self, file: &File) -> KeyPlan {
        let keys = &file.keys;
        let count = *keys.count.get_ref();
        if !(1..=1_000_000).contains(&count) {
            self.complain(keys.count.span(), "expected between 1 and 1000000 keys");
        }
        let writers = keys.writers.get_ref().0;
        let transactions = file.operation.get_ref().iter().any(|o| o.function.get_ref() == "txn");
        if writers == Writers::One && transactions {
            self.complain(
                keys.writers.span(),
                "a `txn` writes several keys at once, so no key can have a writer of its own",
            );
        }
        let fields = *keys.fields.get_ref();
        if !(1..=64).contains(&fields) {
            self.complain(keys.fields.span(), "expected between 1 and 64 fields");
        }
        let singles = file.operation.get_ref().iter().any(|o| o.function.get_ref() != "txn");
        if fields > 1 && singles {
            self.complain(keys.fields.span(), "only a `txn` knows the fields of keys");
        }
        let writes = keys.writes.as_ref().map(|writes| *writes.get_ref());
        if let (Some(0), Some(zero)) = (writes, &keys.writes) {
            self.complain(zero.span(), "a key that takes no writes is of no use");
        }
        KeyPlan {
            count,
            choose: keys.choose.0,
            writers,
            prefix: keys.prefix.clone(),
            fields,
            writes,
        }
    }

    fn bank(&mut self, file: &File) -> BankPlan {
        let bank = &file.bank;
        let accounts = *bank.accounts.get_ref();
        if !(2..=1_000).contains(&accounts) {
            self.complain(bank.accounts.span(), "expected between 2 and 1000 accounts");
        }
        if *bank.amount.get_ref() == 0 {
            self.complain(bank.amount.span(), "a transfer of nothing moves nothing");
        }
        self.set_up(file, "transfer", "banks");
        BankPlan {
            accounts,
            balance: i64::from(*bank.balance.get_ref()),
            amount: i64::from(*bank.amount.get_ref()),
            overdraft: bank.overdraft,
        }
    }

    fn stock(&mut self, file: &File) -> StockPlan {
        let stock = &file.stock;
        if *stock.amount.get_ref() == 0 {
            self.complain(stock.amount.span(), "a purchase of nothing takes nothing");
        }
        self.set_up(file, "buy", "stocks");
        StockPlan {
            level: i64::from(*stock.level.get_ref()),
            amount: i64::from(*stock.amount.get_ref()),
        }
    }

    /// Keys that are set up before the run have to be few, and to stay.
    fn set_up(&mut self, file: &File, name: &str, what: &str) {
        let keys = &file.keys;
        let mut functions = file.operation.get_ref().iter().map(|operation| &operation.function);
        let Some(function) = functions.find(|function| function.get_ref() == name) else { return };
        let rotates = matches!(keys.choose.0, KeyChoice::Rotate(_)) || keys.writes.is_some();
        if rotates || *keys.count.get_ref() > 1_000 {
            let message =
                format!("{what} are set up before the run: at most 1000 keys, none that gives way");
            self.complain(function.span(), message);
        }
    }

    fn operations(&mut self, file: &File) -> Vec<Operation> {
        let mut operations = Vec::new();
        let mut family = None;
        for written in file.operation.get_ref() {
            let Some(operation) = self.operation(written) else { continue };
            for row in operation.rows().filter(|row| row.family != Family::Any) {
                let (first, name) = *family.get_or_insert((row.family, row.function.name()));
                if first != row.family {
                    let message = format!(
                        "`{}` after `{name}`: a key cannot be two kinds of object",
                        row.function.name()
                    );
                    self.complain(written.function.span(), message);
                }
            }
            let keys = (*file.keys.count.get_ref()).max(1);
            if operation.width() > keys as usize {
                let message = format!("needs {} different keys of {keys}", operation.width());
                self.complain(written.function.span(), message);
            }
            operations.push(operation);
        }
        let reads = operations.iter().any(|operation| operation.function == Function::Read);
        let mut names = file.operation.get_ref().iter().map(|operation| &operation.function);
        if let (false, Some(cas)) = (reads, names.find(|name| *name.get_ref() == "cas")) {
            let message = "`cas` needs `read` beside it to learn what it may expect";
            self.complain(cas.span(), message);
        }
        if file.operation.get_ref().is_empty() {
            self.complain(file.operation.span(), "expected at least one operation");
        }
        operations
    }

    fn operation(&mut self, written: &file::Operation) -> Option<Operation> {
        let weight = written.weight.as_ref().map_or(1, |weight| *weight.get_ref());
        if let (0, Some(zero)) = (weight, &written.weight) {
            self.complain(zero.span(), "an operation of weight 0 is never chosen; leave it out");
        }
        let name = &written.function;
        let Some(row) = operation_row(name.get_ref()) else {
            let known: Vec<&str> = OPERATIONS.iter().map(|row| row.function.name()).collect();
            self.unknown("operation", name.get_ref(), name.span(), &known);
            return None;
        };
        self.mentions.operations.push(Mention::new(name, Vec::new()));
        let misplaced = [("body", &written.body), ("any", &written.any)];
        if row.function != Function::Txn {
            for (key, list) in misplaced {
                if let Some(list) = list {
                    self.complain(list.span(), format!("only a `txn` has a `{key}`"));
                }
            }
        }
        if let (None, Some(length)) = (&written.any, &written.length) {
            self.complain(length.span(), "only a `txn` of `any` operations has a `length`");
        }
        let body = match (&written.body, &written.any) {
            _ if row.function != Function::Txn => Body::NONE,
            (None, None) => {
                self.complain(name.span(), "a `txn` needs a body: `body = [\"read k1\"]`");
                Body::NONE
            }
            (Some(body), None) => Body::Parts(self.body(body)),
            (None, Some(any)) => {
                let length = written.length.as_ref().map_or(Length(1, 4), |one| one.get_ref().0);
                self.any(any, length)
            }
            (Some(_), Some(any)) => {
                self.complain(any.span(), "a `txn` has a `body` or does `any`, not both");
                Body::NONE
            }
        };
        Some(Operation { function: row.function, weight, body })
    }

    fn any(&mut self, any: &Spanned<Vec<Text>>, Length(shortest, longest): Length) -> Body {
        if any.get_ref().is_empty() {
            self.complain(any.span(), "expected one micro-operation at least");
        }
        let mut functions = Vec::new();
        for text in any.get_ref() {
            functions.extend(self.single(text.get_ref().trim(), text));
        }
        Body::Random { functions, shortest, longest }
    }

    /// The micro-operation of that name.
    fn single(&mut self, name: &str, text: &Text) -> Option<Function> {
        let row = operation_row(name).filter(|row| row.is_single());
        if row.is_none() {
            let known = OPERATIONS.iter().filter(|row| row.is_single());
            let known: Vec<&str> = known.map(|row| row.function.name()).collect();
            self.unknown("micro-operation", name, text.span(), &known);
        }
        row.map(|row| row.function)
    }

    fn body(&mut self, body: &Spanned<Vec<Text>>) -> Vec<Part> {
        let mut variables: Vec<&str> = Vec::new();
        let mut parts = Vec::new();
        if body.get_ref().is_empty() || body.get_ref().len() > 64 {
            self.complain(body.span(), "expected 1 to 64 micro-operations");
            return parts;
        }
        for text in body.get_ref() {
            let Some((name, key)) = text.get_ref().trim().split_once(char::is_whitespace) else {
                self.complain(text.span(), "expected an operation and a key, like `read k1`");
                continue;
            };
            let Some(function) = self.single(name.trim(), text) else { continue };
            let (key, field) = key.trim().split_once('.').unwrap_or((key.trim(), "0"));
            let field = match field {
                "*" => Field::All,
                "?" => Field::Any,
                number => match number.parse() {
                    Ok(number) if number < self.fields => Field::Number(number),
                    _ => {
                        let fields = self.fields;
                        let message = format!(
                            "no field `{field}` of {fields}, expected a number from 0, `*` or `?`"
                        );
                        self.complain(text.span(), message);
                        continue;
                    }
                },
            };
            let at = variables.iter().position(|known| *known == key);
            let at = at.unwrap_or_else(|| {
                variables.push(key);
                variables.len() - 1
            });
            parts.push(Part { function, key: at, field });
        }
        parts
    }

    fn phases(&mut self, phases: &file::Phases) -> Phases {
        if phases.main.get_ref().0 == Nanos(0) {
            self.complain(phases.main.span(), "a run without a main phase does nothing");
        }
        let mut last = Last::Nothing;
        for text in &phases.finals {
            match text.get_ref().as_str() {
                "read" => last = Last::Reads,
                "drain" => last = Last::Drains,
                other => {
                    let known = ["read", "drain"];
                    self.unknown("final operation", other, text.span(), &known);
                }
            }
        }
        if let ([_, second, ..], false) = (&phases.finals[..], last == Last::Nothing) {
            self.complain(second.span(), "a run is ended in one way");
        }
        let or = |written: &Option<Written<Nanos>>, default: Nanos| {
            written.as_ref().map_or(default, |written| written.0)
        };
        Phases {
            warmup: or(&phases.warmup, Nanos(0)),
            main: phases.main.get_ref().0,
            recovery: or(&phases.recovery, Nanos(0)),
            quiesce: or(&phases.quiesce, Nanos::from_millis(5_000)),
            settle: or(&phases.settle, Nanos::from_millis(1_000)),
            last,
        }
    }
}

fn operation_row(name: &str) -> Option<&'static OperationRow> {
    Function::from_name(name).and_then(OperationRow::of)
}

/// Words in backticks, with commas.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
