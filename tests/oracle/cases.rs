//! How many random cases a test compares.

/// So many, or as many as the environment variable `RASHOMON_CASES` asks for.
pub(crate) fn cases(usual: u64) -> u64 {
    std::env::var("RASHOMON_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
