//! Stand-in until the pipeline file arrives.

/// The known key that looks most like this one.
pub fn nearest_key(_key: &str) -> Option<String> {
    None
}
