use proptest::prelude::*;

use super::*;

/// All matches, group 1 if it took part, else the whole.
fn places(pattern: &str, text: &str) -> Vec<(usize, usize)> {
    let pattern = Pattern::new(pattern).unwrap();
    let mut places = Vec::new();
    pattern.for_each(text, &mut pattern.finder(), |found| {
        let range = found.group.unwrap_or(found.whole);
        places.push((range.start, range.end));
    });
    places
}

#[test]
fn python_spellings_match_as_in_python() {
    type Places = &'static [(usize, usize)];
    let cases: &[(&str, &str, Places)] = &[
        (r"\d{4}-\d\d", "on 2024-01 and 2023-12", &[(3, 10), (15, 22)]),
        (r#"{"a": (\d+)}"#, r#"x {"a": 15} y"#, &[(8, 10)]),
        ("a{,2}b", "aaab", &[(1, 4)]),
        ("a{,}b", "aaab", &[(0, 4)]),
        ("x{a}", "x{a}", &[(0, 4)]),
        ("[[a]+", "[a[", &[(0, 3)]),
        ("[]x]+", "]x", &[(0, 2)]),
        ("[a&&b]+", "a&b", &[(0, 3)]),
        ("[+--]+", "+,-.", &[(0, 3)]),
        (r"[\w-]+", "a-b c", &[(0, 3), (4, 5)]),
        (r"[\b]", "\x08", &[(0, 1)]),
        (r"\<b\>", "<b>", &[(0, 3)]),
        (r"\ \/\-\@\'\é", " /-@'é", &[(0, 7)]),
        (r"end$", "the end\n", &[(4, 7)]),
        (r"end$", "the end\nend", &[(8, 11)]),
        (r"end\Z", "the end\n", &[]),
        (r"(?m)d$", "d\nd\n", &[(0, 1), (2, 3)]),
        (r"a(?#comment)b", "ab", &[(0, 2)]),
        (r"a(?i)B", "AB", &[(0, 2)]),
        (
            r"(?x) a # text ( here
            b",
            "ab",
            &[(0, 2)],
        ),
        (r"(?x)[ #]", "# ", &[(0, 1), (1, 2)]),
        (r"(?P<q>['x]).(?P=q)", "'a' xbx 'cx", &[(0, 1), (4, 5)]),
        (r"(a)\1", "aa", &[(0, 1)]),
        (r"(a)\10?", "aa0", &[]),
        (r"\0\x41\u0042\103", "\0ABC", &[(0, 4)]),
        (r"(?<=user=)\w+(?=;)", "user=bob; user=al", &[(5, 8)]),
        (r"(?<!\d)7", "77 7", &[(0, 1), (3, 4)]),
        (r"(?a)\w+", "né", &[(0, 1)]),
        (r"\w+", "né", &[(0, 3)]),
        (r"k=(\d+)?;", "a k=5; k=;", &[(4, 5), (7, 10)]),
        ("a*", "baac", &[(0, 0), (1, 3), (3, 3), (4, 4)]),
        ("^", "ab", &[(0, 0)]),
        ("(?i:a)b", "Ab aB", &[(0, 2)]),
        ("(?:a|b)+?", "ab", &[(0, 1), (1, 2)]),
        ("a++b", "aab", &[(0, 3)]),
    ];
    for (pattern, text, expected) in cases {
        let expected: Vec<_> = expected.to_vec();
        match *pattern {
            // Group 10 does not exist: an error, as in Python.
            r"(a)\10?" => assert!(Pattern::new(pattern).is_err()),
            _ => assert_eq!(places(pattern, text), expected, "{pattern} in {text:?}"),
        }
    }
}

#[test]
fn what_is_no_pattern_is_named_with_its_place() {
    let cases = [
        ("((", Some(2), "missing )"),
        ("a)", Some(1), "unbalanced"),
        ("[ab", Some(0), "unterminated character set"),
        ("*.log", Some(0), "nothing to repeat"),
        ("a**", Some(2), "multiple repeat"),
        (r"\q", Some(0), r"bad escape \q"),
        (r"a\", Some(1), "end of pattern"),
        (r"\x4", Some(0), "hexadecimal"),
        ("[z-a]", Some(3), "bad character range"),
        ("(?y)", Some(0), "unknown extension"),
        (r"\w{100000}", None, "size"),
    ];
    for (pattern, offset, message) in cases {
        let error = Pattern::new(pattern).unwrap_err();
        assert!(error.message.contains(message), "{pattern}: {error}");
        assert_eq!(error.offset, offset, "{pattern}: {error}");
    }
}

#[test]
fn a_search_without_end_ends() {
    let pattern = Pattern::new(r"(?=(a+)+b)c").unwrap();
    assert!(!pattern.is_match(&"a".repeat(4000)));
}

#[test]
fn every_line_has_an_end_with_multi_line() {
    let pattern = Pattern::multi_line(r"^\d+$").unwrap();
    let mut found = Vec::new();
    pattern.for_each("1\nx\n22\n", &mut pattern.finder(), |m| found.push(m.whole));
    assert_eq!(found, [0..1, 4..6]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_a_pattern_or_an_error(text in r"[\\\[\](){}?*+|^$.a-c0-9&~<>=!:#P \-]{0,24}", haystack in "[abc0-9 \n]{0,20}") {
        if let Ok(pattern) = Pattern::new(&text) {
            let mut last = 0;
            pattern.for_each(&haystack, &mut pattern.finder(), |found| {
                assert!(found.whole.start >= last && found.whole.end <= haystack.len());
                last = found.whole.end;
            });
        }
    }

    #[test]
    fn an_escaped_text_finds_itself(text in r"\PC{1,12}") {
        let escaped: String = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("\\{c}") })
            .collect();
        let pattern = Pattern::new(&escaped).unwrap();
        let haystack = format!("..{text}..");
        let found = pattern.find(&haystack, 0, &mut pattern.finder()).unwrap();
        prop_assert_eq!(&haystack[found.whole], text.as_str());
    }
}
