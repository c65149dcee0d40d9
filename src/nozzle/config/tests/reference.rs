//! The page of all settings says what the table of settings says.

use super::super::settings::{Fallback, Status};
use super::*;

/// `docs/configuration.md` has the table of each theme between two marks; with `UPDATE_DOCS` set in
/// the environment this test writes them.
#[test]
fn the_reference_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = fs::read_to_string(path).unwrap();
    let mut expected = String::new();
    let mut rest = page.as_str();
    for theme in settings::Theme::ALL {
        let begin = format!("<!-- settings: {} -->\n", theme.title());
        let (before, after) = rest.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
        let (_, after) = after.split_once("<!-- end -->").unwrap();
        expected += &format!("{before}{begin}{}<!-- end -->", table(theme));
        rest = after;
    }
    expected += rest;
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, &expected).unwrap();
        return;
    }
    assert!(page == expected, "docs/configuration.md is out of date: run this test with UPDATE_DOCS=1");
}

fn table(theme: settings::Theme) -> String {
    let mut table = match theme {
        settings::Theme::Unused => {
            "| Setting | Flag | Was | Why it has no effect |\n|---|---|---|---|\n".to_owned()
        }
        _ => "| Setting | Flag | Default | Meaning |\n|---|---|---|---|\n".to_owned(),
    };
    for setting in settings::all().filter(|setting| setting.theme == theme) {
        let (name, flag, meaning) = (setting.name, setting.flag(), setting.meaning);
        let default = match setting.fallback {
            Fallback::Value(text) => format!("`{text}`"),
            other => other.text().to_owned(),
        };
        table += &match setting.status {
            Status::Unused(why) => format!("| `{name}` | `--{flag}` | {meaning} | {} |\n", sentence(why)),
            Status::Mapped(how) => {
                format!(
                    "| `{name}` | `--{flag}` | {default} | {meaning}. *Not as in the Go nozzle:* {how}. |\n"
                )
            }
            Status::Kept | Status::Ours => format!("| `{name}` | `--{flag}` | {default} | {meaning}. |\n"),
        };
    }
    table
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect::<String>() + ".")
        .unwrap_or_default()
}
