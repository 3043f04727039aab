//! A target whose network is that of a proxy.

use serde::Deserialize;

/// The proxy through which the nodes and their clients talk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProxyChoice {
    /// The proxy file, beside the target file. If no proxy of it runs, the run starts one and ends it.
    pub file: String,
    /// What a partition does to the connections that are there: `hold`, `reset` or `half-open`.
    pub open: Option<String>,
    /// And to those that are opened meanwhile: `hang` or `refuse`.
    pub new: Option<String>,
}
