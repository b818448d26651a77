//! TCP connections for tests: in large numbers, from chosen addresses, with small receive buffers, or ended by a reset.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// Open files to reserve for everything other than connections, in this process and in the host.
const OTHER_FILES: usize = 1000;

/// The number of connections that this process can open and that the host accepts from one address, at most `wanted`. A
/// smaller number is printed.
pub fn possible(wanted: usize) -> usize {
    let most = getrlimit(Resource::Nofile).maximum;
    // If this fails, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most });
    let files = getrlimit(Resource::Nofile).current.and_then(|files| files.try_into().ok()).unwrap_or(usize::MAX);
    let count = wanted.min(files.saturating_sub(OTHER_FILES) / 10 * 7);
    assert!(count >= 100, "{files} open files are too few for tests of many connections: raise ulimit -Hn");
    if count < wanted {
        eprintln!("only {count} connections instead of {wanted}: the hard limit of open files is {files}");
    }
    count
}

/// Time that a test waits for the host before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Connects from a given local address.
pub fn connect_from(address: Ipv4Addr, to: &str) -> Result<TcpStream> {
    connect(to, |socket| socket.bind(&SocketAddr::from((address, 0)).into()))
}

/// Connects with a small receive buffer, so that the kernel accepts little data before the test reads.
pub fn connect_narrow(to: &str) -> Result<TcpStream> {
    connect(to, |socket| socket.set_recv_buffer_size(4096))
}

fn connect(to: &str, prepare: impl FnOnce(&Socket) -> std::io::Result<()>) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    prepare(&socket)?;
    socket.connect(&to.parse::<SocketAddr>()?.into())?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Closes the connection with a reset instead of an orderly end.
pub fn reset(stream: TcpStream) -> Result<()> {
    Ok(Socket::from(stream).set_linger(Some(Duration::ZERO))?)
}

/// A connection of HTTP/1.1 that stays open.
pub struct Wire(BufReader<TcpStream>);

impl Wire {
    pub fn connect(to: &str) -> Result<Wire> {
        connect(to, |_| Ok(())).map(Wire::over)
    }

    pub fn over(stream: TcpStream) -> Wire {
        Wire(BufReader::with_capacity(1024, stream))
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }

    pub fn into_stream(self) -> TcpStream {
        self.0.into_inner()
    }

    pub fn ask(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        self.post(path, headers, body)?;
        self.reply()
    }

    /// Posts a request. Each line of `headers` ends with `\r\n`.
    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<()> {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\n{headers}content-length: {length}\r\n\r\n");
        Ok(self.stream().write_all(&[head.as_bytes(), body].concat())?)
    }

    /// Reads a reply, which must have a `content-length`.
    pub fn reply(&mut self) -> Result<(u16, Vec<u8>)> {
        let status = self.line()?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = Some(value.trim().parse()?);
            }
        }
        let mut body = vec![0; length.context("no length")?];
        self.0.read_exact(&mut body)?;
        Ok((status.split(' ').nth(1).context("no status")?.parse()?, body))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the connection was closed");
        }
        Ok(line.trim_end().to_owned())
    }
}
