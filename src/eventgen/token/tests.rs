use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::compile::Compiled;
use super::draw::Draws;
use super::*;
use crate::eventgen::config::Rates;
use crate::eventgen::testing;

/// Files of values.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("plain", "aa\n1\nb1a\n"),
        ("blank", "x\n\ny\n"),
        ("empty", ""),
        ("rows", "a,1\nb\n\"c,c\",3\n"),
        ("names", "alice,10,paris\nbob,20,rome\ncarol,30,oslo\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
});

fn config(pattern: &str, kind: ReplacementKind, replacement: &str) -> TokenConfig {
    TokenConfig { number: Some(0), ..implied(kind, pattern, replacement) }
}

fn tokens(configs: &[TokenConfig]) -> (Tokens, Vec<Problem>) {
    let folder = FOLDER.path().to_owned();
    let mut sample = testing::sample("s", &[]);
    (sample.working_dir, sample.sample_dir) = (folder.clone(), folder);
    sample.rates = Rates { hour_of_day: Some([0.5; 24]), day_of_week: Some([3.0; 7]), ..Rates::default() };
    let mut problems = Vec::new();
    let settings = Settings { sample: &sample, tokens: configs, files: &ValueFiles::default() };
    (Tokens::new(&settings, &mut problems), problems)
}

/// 2024-01-15 12:00:01.234567 UTC.
const AT: UnixNanos = UnixNanos(1_705_320_001_234_567_000);

fn facts(seed: u64) -> EventFacts {
    EventFacts { draws: Draws::new(seed), time: AT, replay_time: UnixNanos(AT.0 + 3_600_000_000_000) }
}

/// Some events of a text, token by token.
fn applied(configs: &[TokenConfig], text: &str, events: u64) -> Vec<String> {
    let (tokens, problems) = tokens(configs);
    assert_eq!(problems, []);
    let mut counts = tokens.load_counts(&mut Vec::new());
    let mut scratch = Scratch::default();
    (0..events).map(|seed| tokens.apply(text, &facts(seed), &mut counts, &mut scratch).text).collect()
}

use ReplacementKind as Kind;

#[test]
fn one_value_is_put_in_the_place_of_every_match() {
    for (tokens, text, expected) in [
        (
            vec![(r"user=(\w+)", Kind::Static, "Z")],
            "user=bob x user=al\nnouser=d",
            "user=Z x user=Z\nnouser=Z",
        ),
        (vec![(r"k=(\d+)?;", Kind::Static, "9")], "a k=5; b k=; c", "a k=9; b 9 c"),
        (vec![("a", Kind::Static, "b"), ("b", Kind::Static, "cc")], "ab", "cccc"),
        (vec![("a", Kind::Static, "")], "bab", "bb"),
        (vec![("^", Kind::Static, "> ")], "bab", "> bab"),
        (vec![("$", Kind::Static, ".")], "bab\n", "bab.\n."),
        (vec![(r"(\w)(?=(z))", Kind::Static, "-")], "azbz", "-z-z"),
        (vec![("x", Kind::Random, "integer[7:7]"), (r"\d", Kind::Static, "d")], "x1x", "ddd"),
        (vec![("@t", Kind::Timestamp, "%H:%M:%S.%f")], "@t|@t", "12:00:01.234567|12:00:01.234567"),
        (vec![("@t", Kind::ReplayTimestamp, "%H:%M")], "@t", "13:00"),
        (vec![(r"\d+[:-]\d+", Kind::ReplayTimestamp, r#"["%H:%M", "%m-%d"]"#)], "at 11-07", "at 01-15"),
        (vec![(r"\d+[:-]\d+", Kind::ReplayTimestamp, r#"["%H:%M", "%m-%d"]"#)], "at 11:07", "at 13:00"),
        (vec![("@t", Kind::Timestamp, r#"["%H"]"#)], "@t", r#"["12"]"#),
        (vec![("@r", Kind::Rated, "integer[100:100]")], "@r", "150"),
        (vec![("@r", Kind::Rated, "float[10.00:10.00]")], "@r", "15.0"),
        (vec![("@r", Kind::Rated, "float[0.33:0.33]")], "@r", "0.5"),
        (vec![("@r", Kind::Rated, "hex(0)")], "@r.", "."),
    ] {
        let configs: Vec<_> =
            tokens.iter().map(|(pattern, kind, value)| config(pattern, *kind, value)).collect();
        assert_eq!(applied(&configs, text, 1), [expected], "{text:?} {tokens:?}");
    }
}

#[test]
fn the_columns_of_a_file_come_from_one_row() {
    for kind in [Kind::MvFile, Kind::File] {
        let configs =
            [config("@n", kind, "names:1"), config("@x", kind, "names"), config("@c", kind, "names:3")];
        let events = applied(&configs, "@n/@c @n", 60);
        let rows = ["alice/paris alice", "bob/rome bob", "carol/oslo carol"];
        assert!(events.iter().all(|event| rows.contains(&event.as_str())), "{events:?}");
        assert!(rows.iter().all(|row| events.iter().any(|event| event == row)));
    }
}

#[test]
fn a_cell_a_row_does_not_have_leaves_the_text() {
    let events = applied(&[config("@(n)", Kind::MvFile, "rows:2")], "<@n>", 60);
    let expected = ["<@1>", "<@n>", "<@3>"];
    assert!(events.iter().all(|event| expected.contains(&event.as_str())), "{events:?}");
    assert!(expected.iter().all(|one| events.iter().any(|event| event == one)));
}

#[test]
fn lines_in_order_and_numbers_go_on_from_event_to_event() {
    let configs = [config("@s", Kind::SeqFile, "plain"), config("@i", Kind::IntegerId, "-1")];
    assert_eq!(applied(&configs, "@s @i @i", 4), ["aa -1 -1", "1 0 0", "b1a 1 1", "aa 2 2"]);
}

#[test]
fn what_cannot_be_made_is_left_out_and_told() {
    let configs = [
        config("((", Kind::Static, "x"),
        config("a", Kind::Random, "foo"),
        config("b", Kind::Random, "integer[5:1]"),
        config("c", Kind::File, "nope"),
        config("d", Kind::File, "empty"),
        config("e", Kind::MvFile, "names:9"),
        config("f", Kind::IntegerId, "one"),
        config("g", Kind::Static, "!"),
    ];
    let (tokens, problems) = tokens(&configs);
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens.setting(0), Some(7));
    assert_eq!(tokens.apply("abcdefg", &facts(1), &mut [], &mut Scratch::default()).text, "abcdef!");
    for (problem, expected) in problems.iter().zip([
        "token.0.token = \"((\" is not a regular expression: missing ), unterminated subpattern; the token is left out",
        "token.0.replacement = \"foo\" cannot be used: expected ipv4",
        "cannot be used: the first bound 5 is above the second one, 1; the text it would replace stays",
        "nope cannot be read",
        "empty is empty",
        "names has a column 9",
        "expected a whole number to start from",
    ]) {
        assert!(problem.message.contains(expected), "{}", problem.message);
    }
    assert_eq!(problems.len(), 7);
}

#[test]
fn places_follow_the_text() {
    let configs =
        [config("@a", Kind::Static, "xyz"), config("@b", Kind::Static, ""), config("y", Kind::Static, "++")];
    let (tokens, _) = tokens(&configs);
    let applied = tokens.apply("@b1@a2@b3", &facts(1), &mut [], &mut Scratch::default());
    assert_eq!(applied.text, "1x++z23");
    // The first value was changed by the third token, so what is left of it is no value any more.
    let shown: Vec<_> =
        applied.places.iter().map(|place| (place.start, &applied.text[place.clone()])).collect();
    assert_eq!(shown, [(0, ""), (2, "++"), (6, "")]);
    assert_eq!(applied.matched, [0, 1, 2]);
}

#[test]
fn tokens_that_cannot_meet_are_settled() {
    let stamp = || config(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", Kind::Timestamp, "%Y-%m-%d %H:%M:%S");
    let line = "2012-09-14 16:30:20 ip=1.2.3.4 n=17 user=##user## id=##id## end\n";
    for (configs, unsettled) in [
        (
            vec![
                stamp(),
                config(r"(\d+\.\d+\.\d+\.\d+)", Kind::Random, "ipv4"),
                config(r"n=(\d+)", Kind::Random, "integer[1:99]"),
            ],
            3,
        ),
        (
            vec![
                config("##user##", Kind::Random, r#"list["a","b"]"#),
                config("##id##", Kind::Random, "guid"),
            ],
            2,
        ),
        (vec![config(r"\bip\b", Kind::Random, "hex(4)"), config(r"\b\w+=##id", Kind::Random, "guid")], 2),
        (
            vec![
                config("end$", Kind::Random, "hex(4)"),
                config("^2", Kind::Static, "3"),
                config(r"\Aip", Kind::Static, ""),
            ],
            3,
        ),
        // A number may stand in what was put in.
        (vec![stamp(), config(r"\d+", Kind::Random, "integer[1:9]"), config("x", Kind::Static, "y")], 1),
        (vec![config("##user##", Kind::Random, "string(3)"), config("[a-z]+", Kind::Static, "x")], 1),
        // Whether the line ends with it depends on what is put in behind it.
        (vec![config("\n", Kind::Random, "string(0)"), config("d$", Kind::Static, "x")], 1),
        // Look-around is not analysed.
        (vec![config("##id##", Kind::Random, "guid"), config("(?<=user=)##user##", Kind::Static, "x")], 1),
        (
            vec![
                config("(?<=user=)##user##", Kind::Static, "x"),
                config("(?<=id=)##id##", Kind::Static, "x"),
            ],
            2,
        ),
    ] {
        let (tokens, problems) = tokens(&configs);
        assert_eq!(problems, []);
        let shown = format!("{:?}", configs.iter().map(|config| &config.pattern).collect::<Vec<_>>());
        assert_eq!(compile::first_unsettled(&tokens, line), unsettled, "{shown}");
    }
}

fn any_token() -> impl Strategy<Value = TokenConfig> {
    let patterns = prop::sample::select(vec![
        "@a", "@b", "a", "[a-c]+", r"\d+", r"(\d)b", "^", "$", r"\b\w", "x*", "(?<=1)a", "b$", "a(?=b)",
        r"\d{2}", ".", "a|ab", "(a)?b", r"\B", r"^[^ ]+", "\n", "(?m)^", "(?m)a$", r"\w\b", "[^a]b", "é",
        r"(1)|(a)", r"\s", "", "1a|a1", r"a\Z",
    ]);
    let values = prop::sample::select(vec![
        (Kind::Static, ""),
        (Kind::Static, "a"),
        (Kind::Static, "1b@a"),
        (Kind::Static, "b\n"),
        (Kind::Random, "integer[0:12]"),
        (Kind::Random, "integer[-1:1]"),
        (Kind::Random, "float[0.5:1.5]"),
        (Kind::Random, r#"list["", "a", "b1", "@b"]"#),
        (Kind::Random, r#"list["é", "\n"]"#),
        (Kind::Random, "string(0)"),
        (Kind::Random, "string(2)"),
        (Kind::Random, "hex(1)"),
        (Kind::Random, "mac"),
        (Kind::Rated, "integer[0:9]"),
        (Kind::Timestamp, "%H:%M"),
        (Kind::Timestamp, "%b"),
        (Kind::Timestamp, "%z"),
        (Kind::ReplayTimestamp, r#"["%H", "%m"]"#),
        (Kind::File, "plain"),
        (Kind::File, "blank"),
        (Kind::MvFile, "rows:1"),
        (Kind::MvFile, "rows:2"),
        (Kind::SeqFile, "plain"),
        (Kind::SeqFile, "rows:2"),
        (Kind::IntegerId, "9"),
    ]);
    (patterns, values).prop_map(|(pattern, (kind, value))| config(pattern, kind, value))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn compiled_lines_give_the_same_text_as_tokens_one_by_one(
        configs in prop::collection::vec(any_token(), 1..5),
        lines in prop::collection::vec(r"[@ab1é ]{0,10}\n?", 1..4),
        seeds in prop::collection::vec(any::<u64>(), 1..6),
    ) {
        let (plain, _) = tokens(&configs);
        let compiled = Compiled::new(tokens(&configs).0, lines.iter().map(String::as_str)).unwrap();
        let mut counts = [plain.load_counts(&mut Vec::new()), plain.load_counts(&mut Vec::new())];
        let mut scratches = [Scratch::default(), Scratch::default()];
        for seed in seeds {
            for (number, line) in lines.iter().enumerate() {
                let expected = plain.apply(line, &facts(seed), &mut counts[0], &mut scratches[0]).text;
                let mut text = b"before".to_vec();
                compiled.write(number, &facts(seed), &mut counts[1], &mut scratches[1], &mut text);
                prop_assert_eq!(String::from_utf8(text).unwrap(), format!("before{expected}"), "{:?} {:?}", line, configs);
                prop_assert_eq!(&counts[0], &counts[1]);
            }
        }
    }

    #[test]
    fn places_hold_values(configs in prop::collection::vec(any_token(), 1..4), line in r"[@ab1é ]{0,10}\n", seed in any::<u64>()) {
        let (tokens, _) = tokens(&configs);
        let mut counts = tokens.load_counts(&mut Vec::new());
        let applied = tokens.apply(&line, &facts(seed), &mut counts, &mut Scratch::default());
        for pair in applied.places.windows(2) {
            prop_assert!(pair[0].start <= pair[1].start);
        }
        for place in &applied.places {
            prop_assert!(applied.text.get(place.clone()).is_some(), "{:?} in {:?}", place, applied.text);
        }
    }
}

#[test]
fn a_host_is_rewritten_by_lines_of_a_file() {
    let sample = {
        let mut sample = testing::sample("s", &[]);
        sample.working_dir = FOLDER.path().to_owned();
        sample
    };
    let settings = Settings { sample: &sample, tokens: &[], files: &ValueFiles::default() };
    let host = HostToken::new(&settings, &config(r"^(\w+)", Kind::File, "names:1")).unwrap();
    assert_eq!(host.len(), 3);
    assert_eq!(host.rewrite("old.example", 1).as_deref(), Some("bob.example"));
    assert_eq!(host.rewrite(".example", 1), None);
    assert_eq!(host.rewrite("old", 3), None);
    let error = HostToken::new(&settings, &config("x", Kind::File, "nope")).err().unwrap();
    assert!(error.message.contains("nope cannot be read"), "{}", error.message);
}
