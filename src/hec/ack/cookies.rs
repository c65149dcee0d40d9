//! The cookies of one lane: what a load balancer uses to send its requests to one server.
//!
//! All requests of a lane go to one host, below one path, so domain and path say nothing. Pure.

use std::collections::BTreeSet;

use http::HeaderValue;

/// The most cookies kept.
const COOKIES_MAX: usize = 16;

/// The most bytes of one.
const COOKIE_BYTES_MAX: usize = 4096;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar {
    /// Name and value, in order of coming.
    cookies: Vec<(String, String)>,
    /// Whose values change although the server stays the same, as those of some balancers do with each reply.
    restless: BTreeSet<String>,
}

impl Jar {
    pub(super) fn is_empty(&self) -> bool {
        self.cookies.is_empty()
    }

    /// The value of the header `Cookie`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        if self.is_empty() {
            return None;
        }
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut header = HeaderValue::try_from(pairs.join("; ")).ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Names of cookies that a reply replaces or ends, but for those known to mean nothing by it.
    pub(super) fn changes(&self, set: &[HeaderValue]) -> Vec<String> {
        set.iter()
            .filter_map(parse)
            .filter(|(name, value)| {
                let known = self.cookies.iter().find(|(known, _)| known == name);
                known.is_some_and(|(_, known)| Some(known) != value.as_ref())
            })
            .map(|(name, _)| name)
            .filter(|name| !self.restless.contains(name))
            .collect()
    }

    /// These changed, and the server stayed the same.
    pub(super) fn mean_nothing(&mut self, names: Vec<String>) {
        self.restless.extend(names);
        while self.restless.len() > COOKIES_MAX {
            self.restless.pop_first();
        }
    }

    /// Takes over what a reply sets.
    pub(super) fn set(&mut self, set: &[HeaderValue]) {
        for (name, value) in set.iter().filter_map(parse) {
            let at = self.cookies.iter().position(|(known, _)| *known == name);
            match (at, value) {
                (Some(at), Some(value)) => self.cookies[at].1 = value,
                (Some(at), None) => drop(self.cookies.remove(at)),
                (None, Some(value)) if self.cookies.len() < COOKIES_MAX => self.cookies.push((name, value)),
                (None, _) => {}
            }
        }
    }
}

/// Name and value; no value if the cookie is to be forgotten.
fn parse(header: &HeaderValue) -> Option<(String, Option<String>)> {
    let text = header.to_str().ok().filter(|text| text.len() <= COOKIE_BYTES_MAX)?;
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return None;
    }
    let ends = parts.filter_map(|part| part.split_once('=')).any(|(attribute, value)| {
        let age = || value.trim().parse::<i64>();
        attribute.trim().eq_ignore_ascii_case("max-age") && age().is_ok_and(|age| age <= 0)
            // The way to end one that all use: any date of the first year of the epoch.
            || attribute.trim().eq_ignore_ascii_case("expires") && value.contains("1970")
    });
    Some((name.to_owned(), (!ends && !value.is_empty()).then(|| value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cookies: &[&str]) -> Vec<HeaderValue> {
        cookies.iter().map(|cookie| HeaderValue::from_str(cookie).unwrap()).collect()
    }

    fn header(jar: &Jar) -> Option<String> {
        jar.header().map(|header| header.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_are_kept_replaced_and_ended() {
        let mut jar = Jar::default();
        assert_eq!(header(&jar), None);
        jar.set(&set(&["node=a; Path=/; HttpOnly", "AWSALB = x ", "odd", "=y", "empty="]));
        assert_eq!(header(&jar).unwrap(), "node=a; AWSALB=x");
        jar.set(&set(&["node=b; Max-Age=60"]));
        assert_eq!(header(&jar).unwrap(), "node=b; AWSALB=x");
        jar.set(&set(&["node=b; max-age=0", "AWSALB=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]));
        assert!(jar.is_empty());
    }

    #[test]
    fn a_change_is_one_of_a_value_that_was_sent() {
        let mut jar = Jar::default();
        assert!(jar.changes(&set(&["node=a"])).is_empty(), "it is new");
        jar.set(&set(&["node=a", "other=1"]));
        assert!(jar.changes(&set(&["node=a; Path=/x", "third=3"])).is_empty());
        assert_eq!(jar.changes(&set(&["node=b", "other=; Max-Age=0"])), ["node", "other"]);
        jar.mean_nothing(vec!["node".to_owned()]);
        assert_eq!(jar.changes(&set(&["node=c", "other=2"])), ["other"]);
    }

    #[test]
    fn there_is_no_end_of_cookies_but_for_us() {
        let mut jar = Jar::default();
        for n in 0..100 {
            jar.set(&set(&[&format!("c{n}=1")]));
        }
        jar.set(&[HeaderValue::from_bytes(b"x=\xff").unwrap()]);
        jar.set(&set(&[&format!("c0={}", "y".repeat(COOKIE_BYTES_MAX))]));
        assert_eq!(jar.cookies.len(), COOKIES_MAX);
        assert_eq!(jar.cookies[0].1, "1");
    }
}
