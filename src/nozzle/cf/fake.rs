//! Peers for tests: routers on real sockets, and a scriptable Cloud Controller with its UAA.

use axum::Router;
use url::Url;

use super::http::Http;
use crate::task::Tasks;
use crate::tls::ClientTls;

/// A server that ends with this value.
pub(crate) struct Server {
    _tasks: Tasks<()>,
}

/// Serves `app` on a free port of the loopback interface.
pub(crate) async fn serve(app: Router) -> (Url, Server) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut tasks = Tasks::new();
    tasks.spawn("fake server", async move { axum::serve(listener, app).await.unwrap() });
    (url, Server { _tasks: tasks })
}

/// A client with the default TLS settings.
pub(crate) fn client() -> Http {
    crate::tls::install_provider();
    Http::new(&ClientTls::default()).unwrap()
}
