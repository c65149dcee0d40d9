use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::eventgen::token::draw::{Draws, Purpose};

fn draw(replacement: &str, seed: u64) -> String {
    let random = Random::parse(replacement).unwrap();
    let mut out = Vec::new();
    assert!(random.write(&mut Draws::new(seed).stream(Purpose::token(0)), &mut out));
    assert!(random.language().has(&out), "{replacement}: {}", String::from_utf8_lossy(&out));
    String::from_utf8(out).unwrap()
}

#[test]
fn shapes() {
    for (replacement, pattern) in [
        ("ipv4", r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}"),
        ("ipv6", "(0|[1-9a-f][0-9a-f]{0,3})(:(0|[1-9a-f][0-9a-f]{0,3})){7}"),
        ("MAC", "[0-9a-f]{2}(:[0-9a-f]{2}){5}"),
        ("Guid", "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        ("string(20)", "[A-Za-z0-9_.~/-]{20}"),
        ("string(0)", ""),
        ("hex(9)", "[0-9A-F]{9}"),
        ("INTEGER[-3:12]", "-[123]|[0-9]|1[012]"),
        ("integer[7:7]", "7"),
        ("integer[ -5 : -5 ] of them", "-5"),
        ("integer[-9223372036854775808:9223372036854775807]", r"-?\d+"),
        ("float[0.00:1]", r"1\.0|0\.\d[1-9]?"),
        ("float[-1.5:-0.5]", r"-(1\.[0-5]|0\.[5-9])"),
        ("list[\"a\", 42, 1.50, true, \"]\"]", r"a|42|1\.50|true|\]"),
    ] {
        let pattern = Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap();
        for seed in 0..200 {
            let drawn = draw(replacement, seed);
            assert!(pattern.is_match(&drawn), "{replacement}: {drawn}");
        }
    }
}

#[test]
fn a_float_has_the_decimals_of_its_first_bound_without_trailing_zeros() {
    for (replacement, expected) in [
        ("float[1.50:1.50]", "1.5"),
        ("float[2:2]", "2.0"),
        ("float[3.1415:3.1415]", "3.1415"),
        ("float[1.000:1.000]", "1.0"),
        ("float[0.05:0.05]", "0.05"),
        ("float[-0.25:-0.25]", "-0.25"),
        ("float[0.00001:0.00001]", "0.00001"),
        ("float[123456789012.125000:123456789012.125000]", "123456789012.125"),
    ] {
        assert_eq!(draw(replacement, 1), expected, "{replacement}");
    }
}

#[test]
fn what_is_wrong_with_a_replacement_is_said() {
    for (replacement, message) in [
        ("foo", "expected ipv4"),
        ("integer[5:1]", "the first bound 5 is above"),
        ("integer[5]", "expected integer[low:high]"),
        ("integer[1:99999999999999999999]", "not a whole number"),
        ("float[2.5:1]", "the first bound 2.5 is above"),
        ("float[a:b]", "\"a\" is not a number"),
        ("float[inf:nan]", "\"inf\" is not a number"),
        ("string(x)", "expected a length"),
        ("hex(99999999999)", "expected a length"),
        ("list[]", "the list is empty"),
        ("list[a,b]", "not JSON"),
    ] {
        let error = Random::parse(replacement).unwrap_err();
        assert!(error.contains(message), "{replacement}: {error}");
    }
}

#[test]
fn values_are_drawn_evenly() {
    let random = Random::parse("integer[0:9]").unwrap();
    let mut counts = [0_u32; 10];
    for seed in 0..100_000 {
        let mut out = Vec::new();
        random.write(&mut Draws::new(seed).stream(Purpose::token(1)), &mut out);
        counts[usize::from(out[0] - b'0')] += 1;
    }
    // 10 000 each; six standard deviations are 570.
    assert!(counts.iter().all(|count| (9_400..10_600).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn any_number_fits_its_bounds(a in any::<i64>(), b in any::<i64>(), seed in any::<u64>()) {
        let (low, high) = (a.min(b), a.max(b));
        let drawn: i64 = draw(&format!("integer[{low}:{high}]"), seed).parse().unwrap();
        prop_assert!((low..=high).contains(&drawn));
    }

    #[test]
    fn any_float_fits_its_bounds(a in -1_000_000_000_i64..1_000_000_000, b in 0..1_000_000_i64, decimals in 0..6_usize, seed in any::<u64>()) {
        let scale = 10_f64.powi(decimals as i32);
        let (low, high) = (a as f64 / scale, (a + b) as f64 / scale);
        let drawn: f64 = draw(&format!("float[{low:.decimals$}:{high:.decimals$}]"), seed).parse().unwrap();
        prop_assert!(drawn >= low - 1e-9 && drawn <= high + 1e-9, "{low} {drawn} {high}");
    }

    #[test]
    fn any_replacement_is_read_or_refused(text in r#"(integer|float|string|hex|list|)[\[(]?["a0-9:. \[\](),-]{0,10}"#) {
        let _ = Random::parse(&text);
    }
}
