//! Paths of value files as replacements write them: `path`, `path:column`, `$NAME/path`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::values::Source;

/// Reads `path` or `path:column` (from 1). Relative paths start from `working_dir`.
///
/// A segment `$NAME` or `${NAME}` stands for the variable. One that is spelt like a variable without a sign does as
/// well, if there is no such file otherwise.
pub(super) fn source(replacement: &str, working_dir: &Path, variables: &BTreeMap<String, String>) -> Source {
    let replacement = replacement.trim();
    let with_column = replacement.rsplit_once(':').and_then(|(path, column)| {
        let column = column.trim().parse().ok().filter(|column| *column > 0)?;
        Some((path, Some(column)))
    });
    let (path, column) = with_column.unwrap_or((replacement, None));
    let resolve = |bare: bool| working_dir.join(substitute(path, variables, bare));
    let mut resolved = resolve(false);
    if !resolved.exists() {
        let other = resolve(true);
        if other.exists() {
            resolved = other;
        }
    }
    // However it is spelt, one file is one source.
    Source { path: fs::canonicalize(&resolved).unwrap_or(resolved), column }
}

fn substitute(path: &str, variables: &BTreeMap<String, String>, bare: bool) -> PathBuf {
    let segments = path.split('/').map(|segment| {
        let name = match segment.strip_prefix('$') {
            Some(name) => name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name),
            None if bare => segment,
            None => return segment,
        };
        variables.get(name).map_or(segment, String::as_str)
    });
    segments.collect::<Vec<_>>().join("/").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_and_variables() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(temporary.path()).unwrap();
        let root = folder.to_str().unwrap();
        fs::create_dir(folder.join("samples")).unwrap();
        fs::write(folder.join("samples/two.list"), "two\n").unwrap();
        let variables = [("MYROOT", root), ("SUBDIR", "samples"), ("two.list", "gone")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        for (replacement, path, column) in [
            ("samples/two.list", "samples/two.list", None),
            ("./samples/../samples//two.list", "samples/two.list", None),
            ("samples/two.list:2", "samples/two.list", Some(2)),
            ("samples/two.list:0", "samples/two.list:0", None),
            ("c:/x.list", "c:/x.list", None),
            ("$MYROOT/samples/two.list", "samples/two.list", None),
            ("${MYROOT}/SUBDIR/b:1", "SUBDIR/b", Some(1)),
            ("$OTHER/b", "$OTHER/b", None),
        ] {
            let expected = Source { path: folder.join(path), column };
            assert_eq!(source(replacement, &folder, &variables), expected, "{replacement}");
        }
        // Spelt like a variable, and there is no such folder.
        let bare = [("SUBDIR".to_owned(), "samples".to_owned())].into();
        let found = source(&format!("{root}/SUBDIR/two.list"), Path::new("/"), &bare);
        assert_eq!(found.path, folder.join("samples/two.list"));
    }
}
