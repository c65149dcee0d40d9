//! Where events go: one [`Output`] for each sample, made from its settings.
//!
//! | name | what it writes |
//! |---|---|
//! | `stdout` | texts without trailing blanks, a line each |
//! | `modinput` | XML of Splunk's modular inputs on standard output |
//! | `file`, `spool` | texts, a newline after each; `file` rotates |
//! | `devnull`, `counter` | nothing, and counts by day |
//! | `tcpout`, `udpout` | lines on a connection, datagrams |
//! | `httpevent`, `metric_httpevent` | events and metrics to HEC |
//! | `loggregator` | envelopes of a simulated foundation |
//!
//! What several samples may share (a file, a HEC, a foundation) is made once for equal settings and
//! lives as long as one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::plugin::{MakeOutput, Output, OutputError, OutputFuture, Registry};

mod counter;
mod devnull;
mod file;
mod hec;
mod json;
mod lines;
mod loggregator;
mod modinput;
mod network;
mod settings;
mod stdout;

pub use self::loggregator::given as loggregator_into;

/// Adds every output there is.
pub fn register(registry: &mut Registry) {
    let files = file::Files::default();
    let clients = hec::Clients::default();
    let foundations = loggregator::Foundations::default();
    let (spooled, metrics) = (files.clone(), clients.clone());
    let outputs: [(&str, MakeOutput); 11] = [
        ("stdout", Arc::new(|_| boxed(stdout::Stdout::default()))),
        ("modinput", Arc::new(|_| boxed(modinput::Modinput::default()))),
        ("file", Arc::new(move |sample| boxed(file::File::new(sample, &files)?))),
        ("spool", Arc::new(move |sample| boxed(file::File::spool(sample, &spooled)?))),
        ("devnull", Arc::new(|_| boxed(devnull::Devnull))),
        ("counter", Arc::new(|sample| boxed(counter::Counter::new(sample)))),
        ("tcpout", Arc::new(|sample| boxed(network::Tcp::new(sample)?))),
        ("udpout", Arc::new(|sample| boxed(network::Udp::new(sample)?))),
        ("httpevent", Arc::new(move |sample| boxed(hec::Hec::new(sample, &clients)?))),
        ("metric_httpevent", Arc::new(move |sample| boxed(hec::Hec::metrics(sample, &metrics)?))),
        ("loggregator", Arc::new(move |sample| boxed(loggregator::Loggregator::new(sample, &foundations)?))),
    ];
    for (name, make) in outputs {
        registry.outputs.insert(name.to_owned(), make);
    }
}

fn boxed(output: impl Output + 'static) -> Result<Box<dyn Output>, String> {
    Ok(Box::new(output))
}

/// A write that ended where it was called.
fn ready<'a>(result: Result<(), OutputError>) -> OutputFuture<'a> {
    Box::pin(std::future::ready(result))
}

/// An error of this batch: nothing of it was written.
fn lost(events: usize, message: String) -> OutputError {
    OutputError { message, lost: events as u64, closed: false }
}

/// Things that samples with equal settings have in common.
#[derive(Debug)]
struct Common<K, V>(Arc<Mutex<BTreeMap<K, Weak<V>>>>);

impl<K, V> Clone for Common<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Default for Common<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Ord, V> Common<K, V> {
    /// The thing for these settings; made if there is none.
    fn get<E>(&self, key: K, make: impl FnOnce(&K) -> Result<V, E>) -> Result<Arc<V>, E> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = all.get(&key).and_then(Weak::upgrade) {
            return Ok(there);
        }
        let made = Arc::new(make(&key)?);
        all.insert(key, Arc::downgrade(&made));
        Ok(made)
    }
}
