//! A workload as a table that can be changed and written again.

use serde::Deserialize;
use toml::{Table, Value};

use crate::workload::{Workload, overrides};

/// What a file has, in the order in which people write it.
const ORDER: [&str; 11] = [
    "name",
    "about",
    "clients",
    "keys",
    "bank",
    "operation",
    "fault",
    "limits",
    "phases",
    "expect",
    "target",
];

impl Workload {
    /// All that it says, the changes of its scenario and of overrides made.
    pub fn table(&self) -> Table {
        let statements = overrides::statements(&self.source).unwrap_or_default();
        let mut table = overrides::parse(&self.source, &statements)
            .ok()
            .and_then(|table| Table::deserialize(toml::de::Deserializer::from(table)).ok())
            .expect("a workload was read from it");
        table.insert("name".to_owned(), self.name.clone().into());
        table.insert("about".to_owned(), self.about.clone().into());
        table
    }
}

/// The text of a workload file that says what `table` says.
pub fn written(table: &Table) -> String {
    let others = table.keys().map(String::as_str).filter(|key| !ORDER.contains(key));
    let mut text = String::new();
    for key in ORDER.into_iter().chain(others) {
        // An empty list would stand behind the header of another section.
        let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
        let Some(value) = table.get(key).filter(|value| !is_empty(value)) else { continue };
        let part = Table::from_iter([(key.to_owned(), value.clone())]).to_string();
        if part.starts_with('[') {
            text.push('\n');
        }
        text.push_str(&part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_says_what_the_table_says() {
        let text = "target.store = \"raft\"\nfault = []\nname = \"x\"\n[[operation]]\ndo = \"add\"\n[[operation]]\ndo = \"read\"\n";
        let table: Table = text.parse().expect("it is TOML");
        let expected = "name = \"x\"\n\n[[operation]]\ndo = \"add\"\n\n[[operation]]\ndo = \"read\"\n\n[target]\nstore = \"raft\"\n";
        assert_eq!(written(&table), expected);
    }
}
