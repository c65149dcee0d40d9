//! From a name to addresses: a trait, so that tests have names of their own, and the system's way.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolving};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// The most addresses of one name that are used.
pub const ADDRESSES_MAX: usize = 32;

/// The longest wait for an answer; the system's own limit may be shorter.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a resolver hands back.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Finds the addresses of a name.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses behind `host`, each with the port to connect to.
    fn resolve(&self, host: &str, port: u16) -> Addresses;
}

/// Names as the system knows them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> Addresses {
        let host = host.to_owned();
        Box::pin(async move {
            let found = lookup_host((host, port)).await?.collect();
            Ok(only_reachable(found, has_route))
        })
    }
}

/// Asks a resolver, within bounds: at least one address and at most [`ADDRESSES_MAX`], each once,
/// always in the same order.
pub(crate) async fn ask(resolver: &dyn Resolve, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let answer = timeout(TIMEOUT, resolver.resolve(host, port));
    let mut addresses = answer.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

/// Without the addresses no packet could be sent to, such as those of IPv6 on a machine that has
/// none; all of them if that leaves nothing.
fn only_reachable(found: Vec<SocketAddr>, reachable: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
    let with_route: Vec<_> = found.iter().copied().filter(|address| reachable(*address)).collect();
    if with_route.is_empty() { found } else { with_route }
}

/// Whether the system has a route to the address. Connecting a datagram socket sends nothing.
fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}

/// A resolver as the HTTP library wants it, for endpoints that connect by name.
pub(crate) struct ByName(pub(crate) Arc<dyn Resolve>);

impl reqwest::dns::Resolve for ByName {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = Arc::clone(&self.0);
        Box::pin(async move {
            // Port 0 is for the one of the URL.
            let addresses = ask(resolver.as_ref(), name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(Vec<SocketAddr>);

    impl Resolve for Fixed {
        fn resolve(&self, _: &str, _: u16) -> Addresses {
            let addresses = self.0.clone();
            Box::pin(async move { Ok(addresses) })
        }
    }

    #[derive(Debug)]
    struct Silent;

    impl Resolve for Silent {
        fn resolve(&self, _: &str, _: u16) -> Addresses {
            Box::pin(std::future::pending())
        }
    }

    fn address(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 8088).into()
    }

    #[tokio::test]
    async fn answers_are_sorted_whole_and_bounded() {
        let all = Fixed(vec![address(3), address(1), address(3), address(2)]);
        assert_eq!(ask(&all, "hec", 8088).await.unwrap(), [address(1), address(2), address(3)]);
        let many = Fixed((0..=255).map(address).collect());
        assert_eq!(ask(&many, "hec", 8088).await.unwrap().len(), ADDRESSES_MAX);
        assert!(ask(&Fixed(Vec::new()), "hec", 8088).await.unwrap_err().to_string().contains("no address"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_is_not_waited_for_for_ever() {
        let error = ask(&Silent, "hec", 8088).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn addresses_without_a_route_are_left_out_unless_there_are_no_others() {
        let found = vec![address(1), address(2)];
        assert_eq!(only_reachable(found.clone(), |one| one == address(2)), [address(2)]);
        assert_eq!(only_reachable(found.clone(), |_| false), found);
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let found = ask(&SystemResolver, "localhost", 8088).await.unwrap();
        assert!(
            found.iter().all(|address| address.ip().is_loopback() && address.port() == 8088),
            "{found:?}"
        );
    }
}
