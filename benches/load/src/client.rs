//! A load generator that uses little CPU time, because it shares the cores with the server that it measures: prepared
//! requests over connections that stay open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::grpc::{self, Call};
use crate::measure::median;

/// A prepared request, which is sent repeatedly.
pub enum Request {
    /// Head and body in one buffer.
    Http(Vec<u8>),
    Grpc(Call),
}

/// Address of a server.
#[derive(Clone, Copy)]
pub struct Server {
    pub http: SocketAddr,
    pub grpc: SocketAddr,
}

impl Server {
    pub fn address(&self, request: &Request) -> SocketAddr {
        match request {
            Request::Http(_) => self.http,
            Request::Grpc(_) => self.grpc,
        }
    }
}

pub(crate) async fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An HTTP request. `header` is one header line, or several separated by line ends.
pub fn request(path: &str, header: &str, body: &[u8]) -> Request {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{header}\r\ncontent-length: {length}\r\n\r\n");
    Request::Http([head.as_bytes(), body].concat())
}

pub struct Connection {
    stream: TcpStream,
    /// Receive buffer, which grows to the size of the largest reply.
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection> {
        Ok(Connection { stream: connect(address).await?, buffer: vec![0; 64 * 1024] })
    }

    /// Sends a request, waits for the complete reply and returns its body.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        let mut received = 0;
        let mut body = None;
        loop {
            if let Some((begin, end)) = body
                && received >= end
            {
                return Ok(&self.buffer[begin..end]);
            }
            let read = self.stream.read(&mut self.buffer[received..]).await?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            received += read;
            if body.is_none() {
                body = place_of_body(&self.buffer[..received])?;
            }
            let wanted = body.map_or(received + 1, |(_, end)| end);
            if self.buffer.len() < wanted {
                self.buffer.resize(wanted, 0);
            }
        }
    }
}

/// Start and end of the body, once the whole head was received.
fn place_of_body(received: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&received[..head])?;
    if text.split(' ').nth(1) != Some("200") {
        bail!("{}", String::from_utf8_lossy(received));
    }
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse())?.ok()
    };
    let length: usize = text.lines().find_map(named).context("a reply without a length")?;
    Ok(Some((head + 4, head + 4 + length)))
}

/// A connection that repeats one request.
enum Repeating<'a> {
    Http(Connection, &'a [u8]),
    Grpc(grpc::Connection, &'a Call),
}

impl Repeating<'_> {
    async fn open(address: SocketAddr, request: &Request) -> Result<Repeating<'_>> {
        Ok(match request {
            Request::Http(request) => Repeating::Http(Connection::open(address).await?, request),
            Request::Grpc(call) => Repeating::Grpc(grpc::Connection::open(address).await?, call),
        })
    }

    async fn exchange(&mut self) -> Result<()> {
        match self {
            Repeating::Http(connection, request) => connection.exchange(request).await.map(drop),
            Repeating::Grpc(connection, call) => connection.exchange(call).await,
        }
    }
}

/// Requests per second over several connections, each of which sends the next request after the reply.
pub async fn load(address: SocketAddr, request: &Request, connections: usize, time: Duration) -> Result<f64> {
    let started = Instant::now();
    let one = async || -> Result<u64> {
        let mut connection = Repeating::open(address, request).await?;
        let mut answered = 0;
        while started.elapsed() < time {
            connection.exchange().await?;
            answered += 1;
        }
        Ok(answered)
    };
    let answered = futures_util::future::try_join_all((0..connections).map(|_| one())).await?;
    Ok(answered.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64())
}

/// Median latency of a request over one connection, in microseconds.
pub async fn latency(address: SocketAddr, request: &Request, time: Duration) -> Result<f64> {
    let mut connection = Repeating::open(address, request).await?;
    // The first exchange includes the cost of connecting, and is not counted.
    connection.exchange().await?;
    let (started, mut times) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        let sent = Instant::now();
        connection.exchange().await?;
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}
