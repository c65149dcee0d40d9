//! Text of any kind as a part of a URL.

/// Writes text as one segment of a path, or as one value of a query: all but the unreserved
/// characters are encoded.
pub(super) fn encode(text: &str) -> String {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    // A segment of dots alone means a folder, unless it is encoded.
    let dots = text.bytes().all(|byte| byte == b'.');
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(byte.into()),
            b'.' if !dots => encoded.push('.'),
            _ => {
                let digit = |half: u8| HEX.get(usize::from(half)).copied().unwrap_or('0');
                encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    #[test]
    fn ids_are_one_segment_of_the_path() {
        let cases = [
            ("splunk-firehose_1.2~x", "splunk-firehose_1.2~x"),
            ("a b", "a%20b"),
            ("a/b?c#d%e", "a%2Fb%3Fc%23d%25e"),
            ("a&b=c+d", "a%26b%3Dc%2Bd"),
            ("grün", "gr%C3%BCn"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a..b", "a..b"),
        ];
        for (id, encoded) in cases {
            assert_eq!(encode(id), encoded);
        }
    }

    proptest! {
        #[test]
        fn any_id_comes_back_as_it_was(id in ".*") {
            let url = Url::parse(&format!("wss://host/firehose/{0}?id={0}", encode(&id))).unwrap();
            prop_assert_eq!(&url.query_pairs().next().unwrap().1, &id);
            // This parser, unlike a server, takes encoded dots for dots.
            prop_assume!(!matches!(id.as_str(), "." | ".."));
            let segment = url.path_segments().unwrap().nth(1).unwrap().to_owned();
            // The form encoding agrees with the path's, but for the plus sign, which is not used.
            prop_assert!(!segment.contains('+'));
            let decoded = url::form_urlencoded::parse(segment.as_bytes()).next();
            prop_assert_eq!(decoded.map(|(name, _)| name.into_owned()).unwrap_or_default(), id);
        }
    }
}
