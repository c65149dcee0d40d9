//! Tables in the pages of `docs/` that are made of the code. Only for tests.

use std::fs;

/// The page has the table of each theme, by its title, between two marks. With `UPDATE_DOCS` set in the environment they
/// are written, else they have to be there already.
pub(crate) fn check(page: &str, tables: impl IntoIterator<Item = (&'static str, String)>) {
    let path = format!("{}/docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap();
    let (mut expected, mut rest) = (String::new(), text.as_str());
    for (title, table) in tables {
        let begin = format!("<!-- settings: {title} -->\n");
        let (before, after) = rest.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
        let (_, after) = after.split_once("<!-- end -->").unwrap();
        expected += &format!("{before}{begin}{table}<!-- end -->");
        rest = after;
    }
    expected += rest;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(&path, &expected).unwrap();
    }
    assert!(text == expected, "docs/{page} is out of date: run this test with UPDATE_DOCS=1");
}
