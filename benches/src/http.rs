//! The whole host over HTTP against a bare axum handler that echoes the same bodies: the same load, the same machine, in
//! turn.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::routing::post;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::Options;
use crate::measure::{Comparison, median};

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

const TITLE: &str = "Digits over HTTP, 16 connections, the load generator on the same cores";

pub async fn compare(options: &Options, comparisons: &mut Vec<Comparison>) -> Result<()> {
    if !options.wants(TITLE) {
        return Ok(());
    }
    let host = Host::start(options, &options.models).await?;
    let echo = start_echo()?;
    let picture = crate::stages::a_picture()?;
    let request = Arc::new(request("/v2/models/digits/infer", "content-type: image/png", &picture));
    let (mut ours, mut other) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(load(host.address, &request).await?);
        other.push(load(echo, &request).await?);
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

pub struct Host {
    pub address: SocketAddr,
    _process: Child,
}

impl Host {
    pub async fn start(options: &Options, models: &Path) -> Result<Host> {
        let mut command = Command::new(&options.host);
        command.args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--log-level",
            "warn",
            "--dev",
            "--models",
        ]);
        let mut process = command.arg(models).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line).await?;
        let addresses: serde_json::Value = serde_json::from_str(&line)?;
        let address = addresses["http"].as_str().context("no address")?.parse()?;
        Ok(Host { address, _process: process })
    }
}

/// In a runtime of its own, with a thread per core, as the host has.
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

pub fn request(path: &str, header: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{header}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Requests per second over some connections that each send the next request when they have their answer.
async fn load(address: SocketAddr, request: &Arc<Vec<u8>>) -> Result<f64> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(one_connection(address, request.clone()))).collect();
    let mut answered = 0;
    for task in tasks {
        answered += task.await??;
    }
    Ok(answered as f64 / started.elapsed().as_secs_f64())
}

async fn one_connection(address: SocketAddr, request: Arc<Vec<u8>>) -> Result<u64> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.get_ref().set_nodelay(true)?;
    let end = Instant::now() + ROUND;
    let mut answered = 0;
    while Instant::now() < end {
        send(&mut stream, &request).await?;
        read_reply(&mut stream).await?;
        answered += 1;
    }
    Ok(answered)
}

pub async fn send(stream: &mut BufReader<TcpStream>, request: &[u8]) -> Result<()> {
    Ok(stream.write_all(request).await?)
}

pub async fn read_reply(stream: &mut BufReader<TcpStream>) -> Result<()> {
    let mut length = 0;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if !line.contains(" 200 ") {
        bail!("{line}");
    }
    while line.trim() != "" {
        line.clear();
        stream.read_line(&mut line).await?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(())
}
