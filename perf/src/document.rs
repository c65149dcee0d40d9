//! Tables into the documents that have marks for them.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

/// Puts a text between `<!-- perf/run: NAME -->` and `<!-- end -->`.
///
/// # Errors
/// The file has no such marks.
pub fn replace(path: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let document = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let replaced = replaced(&document, name, text);
    let missing = || format!("{}: no marks <!-- perf/run: {name} --> and <!-- end -->", path.display());
    Ok(fs::write(path, replaced.with_context(missing)?)?)
}

fn replaced(document: &str, name: &str, text: &str) -> Option<String> {
    let mark = format!("<!-- perf/run: {name} -->\n");
    let (before, rest) = document.split_once(&mark)?;
    let (_, after) = rest.split_once("<!-- end -->")?;
    Some(format!("{before}{mark}{}\n<!-- end -->{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_part_of_a_document_changes() {
        let document = "a\n<!-- perf/run: x -->\nold\n<!-- end -->\nb\n<!-- perf/run: y -->\n<!-- end -->\n";
        let expected = "a\n<!-- perf/run: x -->\nnew\n<!-- end -->\nb\n<!-- perf/run: y -->\n<!-- end -->\n";
        assert_eq!(replaced(document, "x", "new\n\n").unwrap(), expected);
        assert_eq!(replaced(document, "z", "new"), None);
    }
}
