//! Which connections go through a proxy.

use super::fault::cut;
use super::parse;
use super::reader::Reader;
use super::settings::input::{HTTP_PROXY, HTTPS_PROXY, NO_PROXY};
use crate::proxy::ProxySettings;
use crate::proxy::bypass::Bypass;

pub(super) fn read(reader: &mut Reader) -> Option<ProxySettings> {
    let secure = reader.optional(&HTTPS_PROXY, parse::proxy);
    let plain = reader.optional(&HTTP_PROXY, parse::proxy);
    let list = reader.optional(&NO_PROXY, parse::text);
    let (bypass, unusable) = Bypass::parse(list?.as_deref().unwrap_or_default());
    for entry in unusable {
        // Other programs read the variable as well; what one of them means by it stops nothing.
        let entry = cut(&entry);
        reader.warn(&NO_PROXY, format!("{entry} is ignored: it is no host, address or network"));
    }
    Some(ProxySettings { secure: secure?, plain: plain?, bypass })
}
