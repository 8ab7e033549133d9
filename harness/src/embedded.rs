//! The files of `scenarios/`, built into the command so that an installed `imspec` works anywhere. What they
//! mean is the business of [`crate::bundled`] and the modules below it.

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// Octets of a bundled file; the path is relative to `scenarios/`, with `/` between its parts.
pub fn file(path: &str) -> Option<&'static [u8]> {
    let at = FILES
        .binary_search_by_key(&path, |(known, _)| *known)
        .ok()?;
    FILES.get(at).map(|(_, octets)| *octets)
}

/// Text of a bundled file.
pub fn text(path: &str) -> Option<&'static str> {
    std::str::from_utf8(file(path)?).ok()
}

/// Path and text of every bundled scenario, in the order of paths.
pub fn scenarios() -> impl Iterator<Item = (&'static str, &'static str)> {
    below("suite/")
        .filter(|(path, _)| is_yaml(path))
        .filter_map(|(path, octets)| Some((path, std::str::from_utf8(octets).ok()?)))
}

/// Every bundled file below a folder, in the order of paths.
pub fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FILES
        .iter()
        .copied()
        .filter(move |(path, _)| path.starts_with(folder))
}

fn is_yaml(path: &str) -> bool {
    std::path::Path::new(path)
        .extension()
        .is_some_and(|e| e == "yaml" || e == "yml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_sorted_so_that_a_search_finds_them() {
        assert!(FILES.is_sorted_by_key(|(path, _)| *path));
        assert!(text("requirements.yaml").is_some());
        assert!(file("no such file").is_none());
    }
}
