//! The workload that tests change by overrides, and what reading one gives.

use std::sync::Arc;

use rashomon::workload::{Diagnostic, Workload};

/// A workload that tests change by overrides.
pub(crate) const BASE: &str = r#"name = "base"

[clients]
count = 5
rate = 400

[keys]
count = 4

[[operation]]
do = "write"

[[operation]]
do = "read"
weight = 2

[[fault]]
inject = "partition"
shape = "halves"
every = "2s"
for = "1s"

[[fault]]
inject = "kill"
nodes = "minority"
every = "3s"
for = "1s"
offset = "500ms"

[phases]
warmup = "1s"
main = "10s"
recovery = "1s"
quiesce = "2s"
final = ["read"]

[expect]
hold = ["linearizable"]

[target]
store = "primary-replica"
"#;

/// The base file or another with these overrides.
pub(crate) fn parse(text: &str, overrides: &[(&str, &str)]) -> Result<Workload, Vec<Diagnostic>> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let overrides: Vec<_> = overrides.iter().map(own).collect();
    Workload::parse("base.toml", text, &overrides)
}

/// A file that must be right.
pub(crate) fn workload(text: &str, overrides: &[(&str, &str)]) -> Workload {
    parse(text, overrides).unwrap_or_else(|wrong| panic!("{}", rendered(&wrong)))
}

/// What a user would see.
pub(crate) fn rendered(wrong: &[Diagnostic]) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// n1, n2, …
pub(crate) fn nodes(count: usize) -> Vec<Arc<str>> {
    (1..=count).map(|number| Arc::from(format!("n{number}"))).collect()
}
