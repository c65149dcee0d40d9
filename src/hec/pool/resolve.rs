//! From a name to addresses: a trait, so that tests have names of their own, and the system's way.

use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
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

/// What a resolver found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// At least one and at most [`ADDRESSES_MAX`], each once, always in the same order.
    pub(crate) addresses: Vec<SocketAddr>,
    /// How many more there are.
    pub(crate) left_out: usize,
}

/// Asks a resolver, within bounds.
///
/// Of too many addresses each process uses the same ones as long as they are there, and other processes
/// use others, so that all together use all.
pub(crate) async fn ask(resolver: &dyn Resolve, host: &str, port: u16) -> io::Result<Found> {
    static CHOICE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let answer = timeout(TIMEOUT, resolver.resolve(host, port));
    let addresses = answer.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    bounded(addresses, &CHOICE)
}

fn bounded(mut addresses: Vec<SocketAddr>, choice: &RandomState) -> io::Result<Found> {
    addresses.sort_unstable();
    addresses.dedup();
    let left_out = addresses.len().saturating_sub(ADDRESSES_MAX);
    if left_out > 0 {
        addresses.sort_by_cached_key(|address| choice.hash_one(address));
        addresses.truncate(ADDRESSES_MAX);
        addresses.sort_unstable();
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(Found { addresses, left_out })
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
            let found = ask(resolver.as_ref(), name.as_str(), 0).await?;
            Ok(Box::new(found.addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

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
        let found = ask(&all, "hec", 8088).await.unwrap();
        assert_eq!(found, Found { addresses: [1, 2, 3].map(address).to_vec(), left_out: 0 });
        let many = Fixed((0..=255).map(address).collect());
        let found = ask(&many, "hec", 8088).await.unwrap();
        assert_eq!((found.addresses.len(), found.left_out), (ADDRESSES_MAX, 256 - ADDRESSES_MAX));
        assert!(found.addresses.is_sorted());
        assert_eq!(ask(&many, "hec", 8088).await.unwrap(), found, "the same each time");
        assert!(ask(&Fixed(Vec::new()), "hec", 8088).await.unwrap_err().to_string().contains("no address"));
    }

    #[test]
    fn of_too_many_addresses_each_process_uses_others_and_keeps_to_them() {
        let all = |without: Option<u8>| -> Vec<_> {
            (0..=255).filter(|last| Some(*last) != without).map(address).collect()
        };
        let mut used = HashSet::new();
        for _ in 0..100 {
            let process = RandomState::new();
            let mut chosen = bounded(all(None), &process).unwrap().addresses;
            used.extend(chosen.iter().copied());
            // One goes: its place is taken, and no other changes.
            let gone = chosen.remove(7);
            let SocketAddr::V4(gone) = gone else { unreachable!() };
            let next = bounded(all(Some(gone.ip().octets()[3])), &process).unwrap().addresses;
            assert!(chosen.iter().all(|address| next.contains(address)));
        }
        // That one of 256 is in none of a hundred choices of 32 happens once in 600,000 times.
        assert!(used.len() > 250, "{}", used.len());
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
            found.addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 8088),
            "{found:?}"
        );
    }
}
