//! The English names of months and days of the week.

/// From January.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// From Sunday.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The first three letters, which is how all of them are abbreviated.
pub(super) fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// The place of a name or its abbreviation, in any case.
pub(super) fn position(names: &[&str], word: &str) -> Option<usize> {
    names.iter().position(|name| {
        name.eq_ignore_ascii_case(word)
            || short(name).eq_ignore_ascii_case(word)
            // The one month that many abbreviate with four letters.
            || (*name == "September" && word.eq_ignore_ascii_case("sept"))
    })
}
