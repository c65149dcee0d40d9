//! The times `autotimestamp` looks for unless `autotimestamps` says otherwise.

/// Regular expressions and the formats of what they match; longer forms before those they contain.
/// A group is the part that is replaced.
pub(super) const USUAL: &[(&str, &str)] = &[
    (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{1,6}", "%Y-%m-%d %H:%M:%S.%f"),
    (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2},\d{1,6}", "%Y-%m-%d %H:%M:%S,%f"),
    (r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", "%Y-%m-%d %H:%M:%S"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{1,6}", "%Y-%m-%dT%H:%M:%S.%f"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2},\d{1,6}", "%Y-%m-%dT%H:%M:%S,%f"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", "%Y-%m-%dT%H:%M:%S"),
    (r"\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}", "%Y/%m/%d %H:%M:%S"),
    (r"\d{1,2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2}:\d{1,6}", "%d/%b/%Y:%H:%M:%S:%f"),
    (r"\d{1,2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2}", "%d/%b/%Y:%H:%M:%S"),
    (r"\d{1,2}/\w{3}/\d{4} \d{2}:\d{2}:\d{2}:\d{1,6}", "%d/%b/%Y %H:%M:%S:%f"),
    (r"\d{1,2}/\w{3}/\d{4} \d{2}:\d{2}:\d{2}", "%d/%b/%Y %H:%M:%S"),
    (r",(\d{2}/\d{2}/\d{4} \d{2}:\d{2}:\d{2} [AP]M),", "%m/%d/%Y %I:%M:%S %p"),
    (r"\d{1,2}/\d{1,2}/\d{4} \d{2}:\d{2}:\d{2} [AP]M", "%m/%d/%Y %I:%M:%S %p"),
    (r"\d{1,2}/\d{1,2}/\d{4} \d{2}:\d{2}:\d{2}", "%m/%d/%Y %H:%M:%S"),
    (r"\d{1,2}/\d{1,2}/\d{2} \d{2}:\d{2}:\d{2}", "%m/%d/%y %H:%M:%S"),
    (r"\d{1,2}-\d{1,2}-\d{4} \d{2}:\d{2}:\d{2}", "%m-%d-%Y %H:%M:%S"),
    (r"\w{3} \w{3} +\d{1,2} \d{2}:\d{2}:\d{2} \d{4}", "%a %b %d %H:%M:%S %Y"),
    (r"\w{3} \w{3} +\d{1,2} \d{4} \d{2}:\d{2}:\d{2}", "%a %b %d %Y %H:%M:%S"),
    (r"\w{3} \w{3} +\d{1,2} \d{2}:\d{2}:\d{2}", "%a %b %d %H:%M:%S"),
    (r"\w{3} +\d{1,2} \d{4} \d{2}:\d{2}:\d{2}", "%b %d %Y %H:%M:%S"),
    (r"\w{3} +\d{1,2} \d{2}:\d{2}:\d{2}", "%b %d %H:%M:%S"),
    (r#""timestamp": ?"?(\d{10})"#, "%s"),
    (r#""created": ?"?(\d{10})"#, "%s"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixNanos;
    use crate::eventgen::pattern::Pattern;
    use crate::eventgen::time::Zone;
    use crate::eventgen::time::parse::TimeParser;

    #[test]
    fn each_usual_time_is_found_whole() {
        for (text, time) in [
            ("2012-09-14 16:30:20 first", "2012-09-14 16:30:20"),
            ("2012-09-14 16:30:20.072 x", "2012-09-14 16:30:20.072"),
            ("2012-09-14 16:30:20,072 x", "2012-09-14 16:30:20,072"),
            ("2012-09-14T16:30:20.072 fourth", "2012-09-14T16:30:20.072"),
            ("[2012-09-14T16:30:20]", "2012-09-14T16:30:20"),
            ("14/Sep/2012:16:30:20 second", "14/Sep/2012:16:30:20"),
            ("14/Sep/2012 16:30:20:072", "14/Sep/2012 16:30:20:072"),
            ("09/14/2012 16:30:20 fifth", "09/14/2012 16:30:20"),
            ("a,09/14/2012 04:30:20 PM,b", "09/14/2012 04:30:20 PM"),
            ("09/14/12 16:30:20", "09/14/12 16:30:20"),
            ("09-14-2012 16:30:20", "09-14-2012 16:30:20"),
            ("Sep 14 16:30:20 third", "Sep 14 16:30:20"),
            ("Fri Sep 14 16:30:20 2012", "Fri Sep 14 16:30:20 2012"),
            ("Fri Sep  4 16:30:20", "Fri Sep  4 16:30:20"),
            (r#"{"timestamp": "1347640220"}"#, "1347640220"),
            (r#"{"created": 1347640220}"#, "1347640220"),
        ] {
            let found = USUAL.iter().find_map(|(pattern, format)| {
                let pattern = Pattern::new(pattern).unwrap();
                let found = pattern.find(text, 0, &mut pattern.finder())?;
                Some((&text[found.group.unwrap_or(found.whole)], *format))
            });
            let (found, format) = found.unwrap_or_else(|| panic!("nothing in {text}"));
            assert_eq!(found, time, "{text}");
            let parser = TimeParser::compile(format, &Zone::utc()).unwrap();
            assert!(parser.parse(found, UnixNanos(0)).is_some(), "{format} {found}");
        }
    }
}
