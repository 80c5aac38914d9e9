//! A line to the chain's node, for requests and for `WebSocket`s, that can be cut and mended.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Such a line.
pub(crate) struct NodeLine {
    port: u16,
    is_open: watch::Sender<bool>,
}

impl NodeLine {
    /// Leads to the node at this address, and is open.
    pub(crate) async fn to(node: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("there is a free port");
        let port = listener.local_addr().expect("it has an address").port();
        let node = node.trim_start_matches("http://").to_owned();
        let (is_open, seen) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carries(client, node.clone(), seen.clone()));
            }
        });
        Self { port, is_open }
    }

    /// Where it is asked.
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where it tells of new blocks.
    pub(crate) fn ws(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// Cuts off whoever is there, and whoever comes.
    pub(crate) fn is_cut(&self) {
        self.is_open.send_replace(false);
    }

    /// Leads to the node again.
    pub(crate) fn is_mended(&self) {
        self.is_open.send_replace(true);
    }
}

async fn carries(mut client: TcpStream, node: String, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(node).await else {
        return;
    };
    let cut = async {
        // Where the line itself is gone, nobody cuts it.
        if is_open.wait_for(|is_open| !*is_open).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        done = copy_bidirectional(&mut client, &mut server) => drop(done),
        () = cut => {}
    }
}
