//! HTTP/2 frames built by hand, so that a test can send sequences that no client library would send.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// The connection preface, which a client sends first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An HTTP/2 connection of a client.
pub struct Frames {
    stream: TcpStream,
    next: u32,
}

#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub id: u32,
    pub payload: Vec<u8>,
}

impl Frames {
    pub fn connect(address: &str) -> Result<Frames> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Frames::over(stream, &[])
    }

    /// Begins a connection with these settings of the client, each given by its identifier.
    pub fn over(mut stream: TcpStream, settings: &[(u16, u32)]) -> Result<Frames> {
        let settings = settings
            .iter()
            .flat_map(|(key, value)| key.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<_>>());
        let settings = frame(SETTINGS, 0, 0, &settings.collect::<Vec<_>>());
        stream.write_all(&[PREFACE, &settings].concat())?;
        Ok(Frames { stream, next: 1 })
    }

    /// Continues a connection on which the first stream was already opened by hand.
    pub fn resume(stream: TcpStream) -> Frames {
        Frames { stream, next: 3 }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(&frame(kind, flags, id, payload))?)
    }

    /// The identifier of the next stream.
    pub fn next_id(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Begins a gRPC call and returns its stream identifier.
    pub fn call(&mut self, path: &str, more: &[(&str, &str)]) -> Result<u32> {
        let head = [("te", "trailers"), ("content-type", "application/grpc")];
        let id = self.next_id();
        self.send(HEADERS, END_HEADERS, id, &post(path, &[&head, more].concat()))?;
        Ok(id)
    }

    /// The next frame other than PING and SETTINGS, which are acknowledged here.
    pub fn receive(&mut self) -> Result<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            self.stream.read_exact(&mut payload)?;
            let (kind, flags) = (head[3], head[4]);
            match kind {
                SETTINGS | PING if flags & ACK == 0 => {
                    let same = if kind == PING { &payload[..] } else { &[] };
                    self.stream.write_all(&frame(kind, ACK, 0, same))?;
                }
                SETTINGS | PING => {}
                _ => {
                    return Ok(Frame {
                        kind,
                        flags,
                        id: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                        payload,
                    });
                }
            }
        }
    }

    /// Waits until the host enlarges the window beyond HTTP/2's initial size.
    pub fn wait_for_window(&mut self) -> Result<()> {
        while self.receive()?.kind != WINDOW_UPDATE {}
        Ok(())
    }

    pub fn wait_for_headers(&mut self) -> Result<()> {
        while self.receive()?.kind != HEADERS {}
        Ok(())
    }

    /// Reads the data of a stream until its end, and returns flow-control credit for all that was read.
    pub fn answer(&mut self, id: u32) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let frame = self.receive()?;
            ensure!(frame.kind != GOAWAY && (frame.kind != RST_STREAM || frame.id != id), "{frame:?}");
            if frame.id != id {
                continue;
            }
            if frame.kind == DATA && !frame.payload.is_empty() {
                let taken = u32::try_from(frame.payload.len())?.to_be_bytes();
                data.extend(&frame.payload);
                self.send(WINDOW_UPDATE, 0, 0, &taken)?;
                if frame.flags & END_STREAM == 0 {
                    self.send(WINDOW_UPDATE, 0, id, &taken)?;
                }
            }
            if frame.flags & END_STREAM != 0 && (frame.kind == DATA || frame.kind == HEADERS) {
                return Ok(data);
            }
        }
    }
}

pub fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
}

/// The header block of a request.
pub fn post(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let head = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")];
    let mut block = Vec::new();
    for (name, value) in head.iter().chain(more) {
        // A literal field without indexing: each text is preceded by its length.
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).ok().filter(|length| *length < 127);
            block.push(length.expect("a length of one byte"));
            block.extend(text.as_bytes());
        }
    }
    block
}

/// True if the peer has closed a non-blocking connection. Received data is discarded.
pub fn is_closed(stream: &mut TcpStream) -> bool {
    let mut some = [0; 4096];
    loop {
        match stream.read(&mut some) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return true,
        }
    }
}

/// A `ModelInfer` request with one FP32 input, in a gRPC frame.
pub fn infer(model: &str, input: &str, data: &[u8]) -> Vec<u8> {
    let shape = varint(data.len() as u64 / 4);
    let tensor = [field(1, input.as_bytes()), field(2, b"FP32"), field(3, &shape)].concat();
    let message = [field(1, model.as_bytes()), field(5, &tensor), field(7, data)].concat();
    [&[0][..], &u32::try_from(message.len()).expect("a short message").to_be_bytes(), &message].concat()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push((value & 0x7f) as u8);
    bytes
}
