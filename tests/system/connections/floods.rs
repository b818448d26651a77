//! Floods that are cheap for a client: the host ends each, or serves it at its own pace, with bounded memory and without
//! affecting other clients.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use system_tests::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    frame, post,
};
use system_tests::wait_until;

use super::{Place, alone};

/// The longest time to send to a host that accepts everything.
const LONGEST: Duration = Duration::from_secs(1);

/// Memory that a flood may cost, in bytes.
const MEMORY: u64 = 48 << 20;

/// The outcome of a flood.
#[derive(Debug, PartialEq)]
enum End {
    /// The host closed the connection.
    Closed,
    /// Everything was sent, or the host stopped reading.
    Taken,
}

/// Sends parts, each made from its number, and reads nothing.
fn flood(frames: &mut Frames, mut part: impl FnMut(u32) -> Vec<u8>) -> Result<End> {
    let began = Instant::now();
    frames.stream().set_write_timeout(Some(LONGEST))?;
    for number in 0.. {
        let some: Vec<u8> = (0..64).flat_map(|each| part(number * 64 + each)).collect();
        match frames.stream().write_all(&some) {
            Ok(()) if began.elapsed() < LONGEST => {}
            Ok(()) => return Ok(End::Taken),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(End::Taken),
            Err(_) => return Ok(End::Closed),
        }
    }
    Ok(End::Taken)
}

/// A kind of flood: its name, the function that makes its parts, and whether the host must close the connection.
type Kind = (&'static str, fn(u32) -> Vec<u8>, bool);

fn kinds() -> Vec<Kind> {
    fn open(number: u32) -> Vec<u8> {
        frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * number, &post("/v2/health/live", &[]))
    }
    vec![
        ("streams", open, false),
        ("rapid reset", |number| [open(number), frame(RST_STREAM, 0, 1 + 2 * number, &[0, 0, 0, 8])].concat(), true),
        ("requests in error", |number| [open(number), frame(WINDOW_UPDATE, 0, 1 + 2 * number, &[0; 4])].concat(), true),
        (
            "continuation",
            |number| match number {
                0 => frame(HEADERS, 0, 1, &post("/", &[])),
                _ => frame(CONTINUATION, 0, 1, &[&b"\0\x01x\x7e"[..], &[b'y'; 126]].concat()),
            },
            true,
        ),
        (
            "empty continuation",
            |number| if number == 0 { frame(HEADERS, 0, 1, b"") } else { frame(CONTINUATION, 0, 1, b"") },
            true,
        ),
        ("pings", |_| frame(PING, 0, 0, &[7; 8]), false),
        ("settings", |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]), false),
        (
            "empty data",
            |number| match number {
                0 => frame(HEADERS, END_HEADERS, 1, &post("/v2/models/echo/infer", &[])),
                _ => frame(DATA, 0, 1, b""),
            },
            true,
        ),
        ("window updates", |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), false),
        ("unknown frames", |_| frame(0x77, 0, 0, &[7; 1000]), false),
    ]
}

#[test]
fn floods_of_frames_cost_bounded_memory_and_no_other_client() -> Result<()> {
    let _alone = alone();
    let place = Place::with("")?;
    let quiet = place.others()?.end_after(Duration::from_secs(1))?;
    for to in [place.host.address(), &place.host.grpc] {
        for (name, part, closes) in kinds() {
            let before = place.host.memory()?;
            let others = place.others()?;
            let mut frames = Frames::connect(to)?;
            let end = flood(&mut frames, part)?;
            let grown = place.host.memory()?.saturating_sub(before);
            eprintln!("{name}: {end:?}, {grown} bytes");
            ensure!(grown < MEMORY, "{name}: {grown} bytes");
            ensure!(!closes || end == End::Closed, "{name}: the host keeps the connection open");
            others.end_after(Duration::from_millis(300))?.assert_like(&quiet);
        }
    }
    wait_until(|| Ok(place.host.metric("bulkhead_connections")? == 0))?;
    place.wait_until_nothing_is_left()
}

/// Pipelined requests whose replies the client does not read.
#[test]
fn pipelined_requests_wait_for_their_answers_to_be_read() -> Result<()> {
    let _alone = alone();
    let place = Place::with("reply-time = '2s'\nheader-time = '2s'")?;
    let mut stream = TcpStream::connect(place.host.address())?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let (before, some) = (place.host.memory()?, b"GET /openapi.json HTTP/1.1\r\nhost: test\r\n\r\n".repeat(1000));
    let others = place.others()?;
    let mut sent = 0;
    while stream.write_all(&some).is_ok() {
        sent += some.len();
        ensure!(sent < 1 << 30, "the host accepts requests without end, although no reply is read");
    }
    let grown = place.host.memory()?.saturating_sub(before);
    eprintln!("{sent} bytes of requests: {grown} bytes");
    ensure!(grown < MEMORY, "{grown} bytes");
    others.end()?;
    wait_until(|| Ok(place.host.metric("bulkhead_connections")? == 0))
}

/// Streams beyond the bound are refused one by one; those within it are answered.
#[test]
fn streams_beyond_the_bound_are_refused() -> Result<()> {
    let place = Place::with("")?;
    let mut frames = Frames::connect(place.host.address())?;
    let path = post("/v2/models/echo/infer", &[("authorization", &format!("Bearer {}", place.rude))]);
    let ids: Vec<u32> = (0..300).map(|_| frames.next_id()).collect();
    for id in &ids {
        frames.send(HEADERS, END_HEADERS, *id, &path)?;
    }
    let mut refused = 0;
    while refused < 300 - 128 {
        let frame = frames.receive()?;
        ensure!(frame.kind != GOAWAY, "{frame:?}");
        // REFUSED_STREAM tells the client that a retry is safe.
        refused += usize::from(frame.kind == RST_STREAM && frame.payload == [0, 0, 0, 7]);
    }
    let body = super::others::request(&[7.0]);
    frames.send(DATA, END_STREAM, ids[127], &body)?;
    ensure!(String::from_utf8(frames.answer(ids[127])?)?.contains("\"data\":[7"));
    Ok(())
}

/// More header fields than any real request has are refused over each protocol, with status 431 where the protocol allows a
/// reply.
#[test]
fn header_fields_without_end_are_refused() -> Result<()> {
    let place = Place::with("")?;
    let many: String = (0..60).map(|number| format!("x-{number}: {}\r\n", "y".repeat(1000))).collect();
    let mut wire = system_tests::sockets::Wire::connect(place.host.address())?;
    ensure!(wire.ask("/v2/models/echo/infer", &many, b"")?.0 == 431);
    let value = "y".repeat(120);
    let fields: Vec<(&str, &str)> = (0..400).map(|_| ("x-field", &*value)).collect();
    for to in [place.host.address(), &place.host.grpc] {
        let mut frames = Frames::connect(to)?;
        let block = post("/v2/health/live", &fields);
        let id = frames.next_id();
        let mut parts = block.chunks(16_000).peekable();
        let first = parts.next().unwrap_or_default();
        frames.send(HEADERS, END_STREAM, id, first)?;
        while let Some(part) = parts.next() {
            frames.send(CONTINUATION, if parts.peek().is_none() { END_HEADERS } else { 0 }, id, part)?;
        }
        let mut frame = frames.receive()?;
        while frame.kind == WINDOW_UPDATE {
            frame = frames.receive()?;
        }
        // `:status` by its index in HPACK's static table, and 431 in Huffman code.
        let told = frame.kind == HEADERS && frame.payload == [0x48, 0x83, 0x69, 0x90, 0xff];
        ensure!(told || frame.kind == RST_STREAM || frame.kind == GOAWAY, "{frame:?}");
    }
    Ok(())
}
