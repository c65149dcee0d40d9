//! A way through an HTTP proxy: `CONNECT host:port`, after which the connection is the peer's.

use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::end::{End, peer_text};
use crate::causes::chain;
use crate::proxy::Proxy;

/// The longest wait for the proxy's answer; it has to reach the peer first.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Asks the proxy at the other end of `socket` for a tunnel to `address` (`host:port`).
///
/// # Errors
/// The proxy refuses, does not answer, or is none.
pub(super) async fn open<S>(socket: &mut BufReader<S>, proxy: &Proxy, address: &str) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let fail = |cause: String| End::Connect {
        address: address.to_owned(),
        cause: format!("the proxy {} {cause}", proxy.address()),
    };
    let asked = async {
        socket.write_all(&request(proxy, address)).await?;
        socket.flush().await?;
        read_head(socket).await
    };
    let head = match timeout(ANSWER_TIMEOUT, asked).await {
        Err(_) => return Err(fail(format!("gave no answer within {} s", ANSWER_TIMEOUT.as_secs()))),
        Ok(Err(error)) => return Err(fail(format!("broke the connection: {}", chain(&error)))),
        Ok(Ok(head)) => head,
    };
    let Some((status, words)) = status(&head) else {
        return Err(fail("did not answer in HTTP".to_owned()));
    };
    let complete = head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n");
    match status {
        status if status.is_success() && complete => Ok(()),
        status if status.is_success() => Err(fail("did not end its answer".to_owned())),
        // It could not reach the peer, which may heal.
        status if status.is_server_error() => Err(fail(format!("could not open a tunnel: {words}"))),
        _ => Err(End::Proxy { proxy: proxy.address(), address: address.to_owned(), cause: words }),
    }
}

fn request(proxy: &Proxy, address: &str) -> Vec<u8> {
    let mut request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n").into_bytes();
    if let Some(value) = proxy.authorization() {
        request.extend([b"Proxy-Authorization: ", value.as_bytes(), b"\r\n"].concat());
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// Reads up to the blank line, and nothing of what comes after it.
async fn read_head<S: AsyncRead + Unpin>(socket: &mut BufReader<S>) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    loop {
        let begin = head.len();
        let left = HEAD_BYTES_MAX - begin;
        (&mut *socket).take(left as u64).read_until(b'\n', &mut head).await?;
        match head.get(begin..).unwrap_or_default() {
            b"\r\n" | b"\n" if begin > 0 => return Ok(head),
            line if line.ends_with(b"\n") => {}
            // Cut off, or too long: what there is may tell why.
            _ => return Ok(head),
        }
    }
}

/// The status of an answer, and its status line as the proxy's words.
fn status(head: &[u8]) -> Option<(StatusCode, String)> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut words = line.strip_prefix("HTTP/1.")?.splitn(3, ' ');
    let code = words.nth(1)?.trim();
    Some((code.parse().ok()?, peer_text(line.split_once(' ')?.1)))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What becomes of an answer, and what the peer says after it.
    async fn ask(proxy: &str, answer: &[u8]) -> (Result<(), End>, String, Vec<u8>) {
        let (near, mut far) = duplex(64 * 1024);
        far.write_all(answer).await.unwrap();
        far.shutdown().await.unwrap();
        let mut socket = BufReader::new(near);
        let opened = open(&mut socket, &Proxy::parse(proxy).unwrap(), "api.example:443").await;
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.unwrap();
        drop(socket);
        let mut asked = String::new();
        far.read_to_string(&mut asked).await.unwrap();
        (opened, asked, rest)
    }

    #[tokio::test]
    async fn the_peer_begins_where_the_answer_ends() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\n",
            "HTTP/1.1 200\n\n",
        ] {
            let (opened, asked, rest) = ask("proxy:3128", format!("{head}\r\npeer").as_bytes()).await;
            assert!(opened.is_ok(), "{opened:?}");
            assert_eq!(asked, "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n");
            assert_eq!(rest, b"\r\npeer", "{head:?}");
        }
    }

    #[tokio::test]
    async fn credentials_are_sent_and_not_told() {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
        let (opened, asked, _) = ask("http://user:s3cr3t@proxy:3128", refusal).await;
        assert!(asked.contains("\r\nProxy-Authorization: Basic dXNlcjpzM2NyM3Q=\r\n\r\n"), "{asked}");
        let end = opened.unwrap_err();
        let said = format!("{end} {end:?}");
        assert!(!said.contains("s3cr3t") && !said.contains("dXNl"), "{said}");
    }

    #[tokio::test]
    async fn refusals_follow_the_table() {
        let long = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &[b'x'; 2 * HEAD_BYTES_MAX]].concat();
        let cases: [(&[u8], &str, &str); 8] = [
            (
                b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
                "proxy",
                "407 Proxy Authentication Required",
            ),
            (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno!", "proxy", "403 Forbidden"),
            (b"HTTP/1.1 502 Bad \x1b[31mGateway\r\n\r\n", "connect", "tunnel: 502 Bad  [31mGateway"),
            (b"HTTP/1.1 999999 What\r\n\r\n", "connect", "did not answer in HTTP"),
            (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "connect", "did not answer in HTTP"),
            (b"", "connect", "did not answer in HTTP"),
            (b"HTTP/1.1 200 OK\r\nVia: x\r\n", "connect", "did not end its answer"),
            (&long, "connect", "did not end its answer"),
        ];
        for (answer, label, words) in cases {
            let (opened, ..) = ask("proxy:3128", answer).await;
            let end = opened.unwrap_err();
            assert_eq!(end.label(), label, "{end}");
            let said = end.to_string();
            assert!(said.contains(words) && said.contains("proxy:3128"), "{said}");
        }
    }
}
