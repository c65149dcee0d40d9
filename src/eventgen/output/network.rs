//! Lines over TCP, datagrams over UDP.
//!
//! A connection is kept for as long as its peer keeps it, unless `maxQueueLength` is set: then, as
//! in the original, each write of so many events has a connection of its own. A peer that is away
//! is tried again for some seconds; then the batch is lost and counted, and the next one tries anew.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::{sleep, timeout};

use super::lines::{Ending, lines, put};
use super::settings::Settings;
use super::{lost, ready};
use crate::eventgen::config::SampleConfig;
use crate::eventgen::event::Batch;
use crate::eventgen::plugin::{Nature, Output, OutputError, OutputFuture};

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A peer that takes nothing for so long is gone.
const WRITE_MAX: Duration = Duration::from_secs(60);
/// Pauses between attempts to connect.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(5),
];

/// Where to, as `<prefix>DestinationHost` and `<prefix>DestinationPort` say.
#[derive(Clone, Debug)]
struct Destination {
    host: String,
    port: u16,
}

impl Destination {
    fn new(sample: &SampleConfig, prefix: &str) -> Result<Self, String> {
        let settings = Settings(sample);
        let host = settings.text(&format!("{prefix}DestinationHost")).unwrap_or("127.0.0.1").to_owned();
        let name = format!("{prefix}DestinationPort");
        let expected = "a port from 1 to 65535";
        match settings.number(&name, 3333, expected)? {
            0 => Err(settings.wrong(&name, "0", expected)),
            port => Ok(Self { host, port }),
        }
    }

    fn error(&self, events: usize, what: &str, error: &io::Error) -> OutputError {
        lost(events, format!("{what} {}:{}: {error}", self.host, self.port))
    }
}

/// The output `tcpout`.
#[derive(Debug)]
pub(super) struct Tcp {
    destination: Destination,
    keep: bool,
    connection: Option<TcpStream>,
    scratch: Vec<u8>,
}

impl Tcp {
    pub(super) fn new(sample: &SampleConfig) -> Result<Self, String> {
        Ok(Self {
            destination: Destination::new(sample, "tcp")?,
            keep: sample.max_queue_length.is_none(),
            connection: None,
            scratch: Vec::new(),
        })
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), OutputError> {
        let destination = &self.destination;
        let kept = self.connection.take().filter(is_open);
        let mut connection = match kept {
            Some(connection) => connection,
            None => connect(destination)
                .await
                .map_err(|error| destination.error(batch.len(), "connecting to", &error))?,
        };
        let text = lines(batch, Ending::Trimmed, &mut self.scratch);
        let written = within(WRITE_MAX, connection.write_all(text)).await;
        written.map_err(|error| destination.error(batch.len(), "writing to", &error))?;
        if self.keep {
            self.connection = Some(connection);
            return Ok(());
        }
        close(connection).await;
        Ok(())
    }
}

impl Output for Tcp {
    fn nature(&self) -> Nature {
        Nature::Waiting
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(self.send(batch))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        let connection = self.connection.take();
        Box::pin(async move {
            if let Some(connection) = connection {
                close(connection).await;
            }
            Ok(())
        })
    }
}

/// Whether the peer has not closed it. What it sends is read and thrown away.
fn is_open(connection: &TcpStream) -> bool {
    let mut ignored = [0; 1024];
    // Bounded: a peer that talks without end is not waited for.
    for _ in 0..64 {
        match connection.try_read(&mut ignored) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
    true
}

async fn connect(destination: &Destination) -> io::Result<TcpStream> {
    let mut pauses = PAUSES.iter();
    loop {
        let attempt = within(CONNECT_MAX, TcpStream::connect((&*destination.host, destination.port))).await;
        match (attempt, pauses.next()) {
            (Ok(connection), _) => return Ok(connection),
            (Err(error), None) => return Err(error),
            (Err(_), Some(pause)) => sleep(*pause).await,
        }
    }
}

/// Sends the end. If the peer is gone already there is nothing left to do.
async fn close(mut connection: TcpStream) {
    let _ = within(CONNECT_MAX, connection.shutdown()).await;
}

async fn within<T>(time: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, what).await.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing for {} s", time.as_secs())))
    })
}

/// The output `udpout`.
#[derive(Debug)]
pub(super) struct Udp {
    destination: Destination,
    socket: Option<UdpSocket>,
    scratch: Vec<u8>,
}

impl Udp {
    pub(super) fn new(sample: &SampleConfig) -> Result<Self, String> {
        Ok(Self { destination: Destination::new(sample, "udp")?, socket: None, scratch: Vec::new() })
    }

    async fn send(&mut self, batch: &Batch) -> Result<(), OutputError> {
        let destination = &self.destination;
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => bind(destination)
                .await
                .map_err(|error| destination.error(batch.len(), "sending to", &error))?,
        };
        let mut failed = 0;
        let mut first = None;
        for event in batch.iter() {
            self.scratch.clear();
            put(event.text, Ending::Trimmed, &mut self.scratch);
            // Nobody listening shows at a later datagram: that one has to be sent again.
            let mut result = socket.send(&self.scratch).await;
            if result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                result = socket.send(&self.scratch).await;
            }
            if let Err(error) = result {
                failed += 1;
                first.get_or_insert(error);
            }
        }
        self.socket = Some(socket);
        match first {
            None => Ok(()),
            Some(error) => Err(destination.error(failed, "sending to", &error)),
        }
    }
}

impl Output for Udp {
    fn nature(&self) -> Nature {
        Nature::Waiting
    }

    fn write<'a>(&'a mut self, batch: &'a Batch) -> OutputFuture<'a> {
        Box::pin(self.send(batch))
    }

    fn finish(&mut self) -> OutputFuture<'_> {
        ready(Ok(()))
    }
}

async fn bind(destination: &Destination) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((&*destination.host, destination.port)).await? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::eventgen::testing::{batch, sample};

    async fn received(listener: &TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_connection_is_kept_unless_writes_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut sample = sample("s", &[("tcpDestinationPort", &port)]);
        let mut tcp = Tcp::new(&sample).unwrap();
        let send = async {
            tcp.write(&batch(&["one  \n"])).await.unwrap();
            tcp.write(&batch(&["two\n"])).await.unwrap();
            tcp.finish().await.unwrap();
        };
        let (text, ()) = tokio::join!(received(&listener), send);
        assert_eq!(text, "one\ntwo\n");

        sample.max_queue_length = NonZeroUsize::new(1);
        let mut tcp = Tcp::new(&sample).unwrap();
        for line in ["one\n", "two\n"] {
            let batch = batch(&[line]);
            let (text, sent) = tokio::join!(received(&listener), tcp.write(&batch));
            sent.unwrap();
            assert_eq!(text, line);
        }
    }

    #[tokio::test]
    async fn a_connection_the_peer_has_closed_is_not_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let mut tcp = Tcp::new(&sample("s", &[("tcpDestinationPort", &port)])).unwrap();
        let accept = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
        };
        let first = batch(&["one\n"]);
        let ((), sent) = tokio::join!(accept, tcp.write(&first));
        sent.unwrap();
        tcp.connection.as_ref().unwrap().readable().await.unwrap();
        let send = async {
            tcp.write(&batch(&["two\n"])).await.unwrap();
            tcp.finish().await.unwrap();
        };
        let (text, ()) = tokio::join!(received(&listener), send);
        assert_eq!(text, "two\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_away_is_tried_again_and_the_loss_is_counted() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port().to_string()
        };
        let mut tcp = Tcp::new(&sample("s", &[("tcpDestinationPort", &port)])).unwrap();
        let start = tokio::time::Instant::now();
        let error = tcp.write(&batch(&["one\n", "two\n"])).await.unwrap_err();
        assert_eq!((error.lost, error.closed), (2, false));
        assert!(error.message.starts_with(&format!("connecting to 127.0.0.1:{port}: ")), "{error}");
        assert!(start.elapsed() >= PAUSES.iter().sum::<Duration>());
    }

    #[tokio::test]
    async fn each_event_is_a_datagram() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port().to_string();
        let mut udp = Udp::new(&sample("s", &[("udpDestinationPort", &port)])).unwrap();
        let large = "x".repeat(70_000);
        let error = udp.write(&batch(&["one \n", &large, "two"])).await.unwrap_err();
        assert_eq!((error.lost, error.closed), (1, false));
        for expected in ["one\n", "two\n"] {
            let mut datagram = [0; 100];
            let length = socket.recv(&mut datagram).await.unwrap();
            assert_eq!(&datagram[..length], expected.as_bytes());
        }
    }

    #[test]
    fn ports_are_checked() {
        for port in ["0", "65536", "x"] {
            let error = Tcp::new(&sample("s", &[("tcpDestinationPort", port)])).unwrap_err();
            assert_eq!(error, format!("tcpDestinationPort = {port:?}: expected a port from 1 to 65535"));
        }
    }
}
