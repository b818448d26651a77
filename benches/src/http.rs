//! The whole host over HTTP compared with a bare axum handler that echoes the same bodies, alternately under the same load
//! on the same machine.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::routing::post;
use bulkhead_load::client::{load, request};
use bulkhead_load::measure::{Comparison, median};
use tokio::net::TcpListener;

use crate::Options;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

const TITLE: &str = "Digits over HTTP, 16 connections, the load generator on the same cores";

pub(crate) async fn compare(options: &Options, comparisons: &mut Vec<Comparison>) -> Result<()> {
    if !options.wants(TITLE) {
        return Ok(());
    }
    let host = options.program.start().await?;
    let echo = start_echo()?;
    let picture = crate::stages::a_picture()?;
    let request = request("/v2/models/digits/infer", "content-type: image/png", &picture);
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load(host.server.http, &request, CONNECTIONS, ROUND).await?);
        other.push(load(echo, &request, CONNECTIONS, ROUND).await?);
    }
    comparisons.push(Comparison {
        what: TITLE,
        ours: ("bulkhead: PNG in, label out", median(ours)),
        other: ("a bare axum handler that echoes the body", median(other)),
        unit: "requests/s",
        aim: None,
    });
    Ok(())
}

/// Starts the echo server in a runtime of its own with one thread per core, like the host's.
fn start_echo() -> Result<SocketAddr> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            send.send(listener.local_addr()?)?;
            let echo = Router::new().route("/v2/models/digits/infer", post(async |body: bytes::Bytes| body));
            axum::serve(listener, echo).await?;
            Ok(())
        })
    });
    Ok(receive.recv()?)
}
