//! Which files a target names, and where samples are by default; variables in paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Request;
use super::finding::{Finding, Level};

/// The files of a conf.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// From the weakest to the strongest, as they are to be shown; they start at the working directory.
    pub(super) files: Vec<PathBuf>,
    /// Where samples are if no setting says it.
    pub(super) sample_dir: PathBuf,
}

/// The layers of an app, from the weakest to the strongest.
const LAYERS: [&str; 2] = ["default", "local"];

/// Finds the files of a target.
pub(super) fn locate(request: &Request) -> Result<Located, Finding> {
    let target = request.working_dir.join(&request.target);
    if target.is_file() {
        let folder = target.parent().unwrap_or(&request.working_dir);
        let sample_dir = clean(&folder.join("../samples"));
        return Ok(Located { sample_dir, files: vec![request.target.clone()] });
    }
    if target.is_dir() {
        return app(request, &request.target);
    }
    let shown = request.target.display();
    match request.variables.get("SPLUNK_HOME") {
        Some(home) => {
            let folder = Path::new(home).join("etc/apps").join(&request.target);
            if request.working_dir.join(&folder).is_dir() {
                return app(request, &folder);
            }
            let message = format!("{shown} is no file, no folder, and no app under {home}/etc/apps");
            Err(Finding::new(Level::Error, message))
        }
        None => Err(Finding::new(Level::Error, format!("{shown} is no file and no folder"))
            .help("the name of an app is only looked up if SPLUNK_HOME is set")),
    }
}

fn app(request: &Request, folder: &Path) -> Result<Located, Finding> {
    let files: Vec<_> = LAYERS
        .iter()
        .map(|layer| folder.join(layer).join("eventgen.conf"))
        .filter(|file| request.working_dir.join(file).is_file())
        .collect();
    if files.is_empty() {
        let message =
            format!("{} has neither default/eventgen.conf nor local/eventgen.conf", folder.display());
        return Err(Finding::new(Level::Error, message));
    }
    Ok(Located { files, sample_dir: clean(&request.working_dir.join(folder).join("samples")) })
}

/// Takes `x/..` and `.` out of a path, unless `x` is a link to elsewhere.
pub(super) fn clean(path: &Path) -> PathBuf {
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink());
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match (component, cleaned.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) if !is_link(&cleaned) => {
                cleaned.pop();
            }
            _ => cleaned.push(component),
        }
    }
    cleaned
}

/// Puts variables in the place of `$NAME` and `${NAME}`.
///
/// # Errors
/// The name of a variable that is not set.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let body = &rest[dollar + 1..];
        let braced = body.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
        let (name, after) = braced.unwrap_or((&body[..end], &body[end..]));
        match variables.get(name) {
            _ if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) => {
                out.push('$');
                rest = body;
                continue;
            }
            Some(value) => out.push_str(value),
            None => return Err(name.to_owned()),
        }
        rest = after;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(root: &Path, target: &str) -> Request {
        let variables = [("SPLUNK_HOME".to_owned(), root.join("splunk").display().to_string())];
        Request {
            target: target.into(),
            working_dir: root.into(),
            variables: variables.into(),
            ..Request::default()
        }
    }

    #[test]
    fn files_folders_and_apps() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in ["app/default/eventgen.conf", "app/local/eventgen.conf", "x.conf", "empty/x"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        let in_splunk = root.join("splunk/etc/apps/mine/local");
        fs::create_dir_all(&in_splunk).unwrap();
        fs::write(in_splunk.join("eventgen.conf"), "").unwrap();
        let found = |target: &str| {
            let located = locate(&request(root, target)).unwrap();
            let relative = |path: &PathBuf| path.strip_prefix(root).unwrap_or(path).display().to_string();
            (located.files.iter().map(relative).collect::<Vec<_>>().join(" "), relative(&located.sample_dir))
        };
        let app = ("app/default/eventgen.conf app/local/eventgen.conf".to_owned(), "app/samples".to_owned());
        assert_eq!(found("app"), app);
        assert_eq!(found("app/"), app);
        assert_eq!(found("./app").1, app.1);
        let one = ("app/default/eventgen.conf".to_owned(), "app/samples".to_owned());
        assert_eq!(found("app/default/eventgen.conf"), one);
        assert_eq!(found("mine").1, "splunk/etc/apps/mine/samples");
        for (target, why) in [("nope", "no app under"), ("empty", "neither default/eventgen.conf nor")] {
            let finding = locate(&request(root, target)).unwrap_err();
            assert!(finding.message.contains(why), "{finding}");
        }
        let outside = Request { variables: BTreeMap::new(), ..request(root, "nope") };
        assert!(locate(&outside).unwrap_err().help.unwrap().contains("SPLUNK_HOME"));
    }

    #[test]
    fn variables_in_paths() {
        let variables = BTreeMap::from([("HOME_1".to_owned(), "/h".to_owned())]);
        for (text, want) in [
            ("$HOME_1/x", "/h/x"),
            ("${HOME_1}x", "/hx"),
            ("a/$HOME_1", "a//h"),
            ("plain", "plain"),
            ("5$ $1", "5$ $1"),
            ("a$", "a$"),
        ] {
            assert_eq!(expand(text, &variables), Ok(want.to_owned()), "{text}");
        }
        assert_eq!(expand("$NOPE/x", &variables), Err("NOPE".to_owned()));
        assert_eq!(expand("${NOPE}/x", &variables), Err("NOPE".to_owned()));
    }
}
