//! The page of all settings says what the table of settings says.

use super::super::settings::{Fallback, Status};
use super::*;

#[test]
fn the_reference_is_the_table() {
    let tables = settings::Theme::ALL.into_iter().map(|theme| (theme.title(), table(theme)));
    crate::reference::check("configuration.md", tables);
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
