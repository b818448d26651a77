//! Clients that send or read one byte a second. The host closes their connections after a timeout; until then they cost
//! bounded memory and do not affect clients of other tenants.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use system_tests::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, infer, is_closed, post,
};
use system_tests::sockets::{Wire, connect_narrow, possible};
use system_tests::wait_until;

use super::others::INFER;
use super::{Place, alone};

const STREAM: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// The timeouts that the tests set, unless they give another one.
const TIME: Duration = Duration::from_secs(3);

/// Elements of a large tensor. As JSON it is larger than the kernel's buffers of a connection.
pub(crate) const LARGE: usize = 1 << 20;

/// A client that sends `rest` one byte at a time.
pub(crate) struct Sender {
    stream: TcpStream,
    rest: Vec<u8>,
    sent: usize,
}

impl Sender {
    pub(crate) fn new(to: &str, at_once: &[u8], rest: Vec<u8>) -> Result<Sender> {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(at_once)?;
        stream.set_nonblocking(true)?;
        Ok(Sender { stream, rest, sent: 0 })
    }

    /// Sends the next byte, unless the host has closed the connection.
    pub(crate) fn is_done(&mut self) -> bool {
        if is_closed(&mut self.stream) {
            return true;
        }
        assert!(self.sent < self.rest.len(), "the host has waited for all of it");
        // Bytes that the kernel does not accept count as sent, because the host cannot read them.
        self.sent += self.stream.write(&self.rest[self.sent..][..1]).unwrap_or(1);
        false
    }
}

pub(crate) fn sender(place: &Place, number: usize) -> Result<Sender> {
    let (http, grpc) = (place.host.address(), &*place.host.grpc);
    let head = format!("POST /v2/models/echo/infer HTTP/1.1\r\nhost: test\r\n{}", place.rude_header());
    let key = format!("Bearer {}", place.rude);
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    let fields = [("te", "trailers"), ("content-type", "application/grpc"), ("authorization", &key)];
    let call = |path| frame(HEADERS, END_HEADERS, 1, &post(path, &fields));
    let message = infer("echo", "input", &[0; 400]);
    match number % 8 {
        0 => Sender::new(http, b"", head.into_bytes()),
        1 => Sender::new(http, format!("{head}content-length: 1000\r\n\r\n").as_bytes(), vec![b' '; 1000]),
        2 => {
            let chunks = b"1\r\n \r\n".repeat(100);
            Sender::new(http, format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes(), chunks)
        }
        // The host refuses the request, and still reads the rest for clients that send it regardless.
        3 => {
            let head = head.replace("echo", "nobody");
            Sender::new(http, format!("{head}content-length: 1000\r\n\r\n").as_bytes(), vec![b' '; 1000])
        }
        4 => Sender::new(http, b"", PREFACE.repeat(10)),
        5 => Sender::new(grpc, &begin, call(INFER)),
        // First all bytes of the message in one frame, then each byte in a frame of its own.
        6 => Sender::new(grpc, &[&begin[..], &call(INFER)].concat(), frame(DATA, END_STREAM, 1, &message)),
        _ => {
            let frames = message.iter().flat_map(|byte| frame(DATA, 0, 1, &[*byte])).collect();
            Sender::new(grpc, &[&begin[..], &call(STREAM)].concat(), frames)
        }
    }
}

#[test]
fn a_thousand_slow_senders_are_left_in_time_and_nobody_notices() -> Result<()> {
    let _alone = alone();
    let count = possible(1000);
    let place = Place::with("header-time = '3s'\nbody-time = '3s'\nbuffered-bytes = '64 MiB'")?;
    let quiet = place.others()?.end_after(TIME / 2)?;
    let before = place.host.memory()?;
    let mut senders = (0..count).map(|number| sender(&place, number)).collect::<Result<Vec<_>>>()?;
    ensure!(place.host.metric("bulkhead_connections")? >= count as u64 / 2, "they are there");
    let others = place.others()?;
    let began = Instant::now();
    while !senders.is_empty() {
        // HTTP/2 gets a ping after one timeout, and a second timeout to answer it.
        ensure!(began.elapsed() < TIME * 8, "{} are still there", senders.len());
        senders.retain_mut(|sender| !sender.is_done());
        std::thread::sleep(Duration::from_secs(1));
    }
    others.end()?.assert_like(&quiet);
    let grown = place.host.peak_memory()?.saturating_sub(before);
    assert!(grown < count as u64 * (64 << 10), "{grown} bytes for {count} slow senders");
    wait_until(|| Ok(place.host.metric("bulkhead_connections")? == 0))?;
    place.wait_until_nothing_is_left()
}

/// Clients that ask for large replies and read one byte a second of them.
#[test]
fn slow_readers_hold_bounded_memory_and_are_left_in_time() -> Result<()> {
    let _alone = alone();
    let place = Place::with("header-time = '3s'\nreply-time = '6s'\nbuffered-bytes = '48 MiB'")?;
    let host = &place.host;
    let quiet = place.others()?.end_after(TIME / 2)?;
    let before = host.memory()?;
    let others = place.others()?;
    let tensor = numbers(LARGE);
    let mut readers = std::thread::scope(|scope| {
        let ask = |number| match number % 2 {
            0 => ask_over_http(&place, &tensor),
            _ => ask_over_grpc(&place, &tensor),
        };
        let asking: Vec<_> = (0..24).map(|number| scope.spawn(move || ask(number))).collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect::<Result<Vec<_>>>()
    })?;
    // Requests beyond the tenant's share of the buffers are refused, and no other client's are.
    wait_until(|| {
        Ok(host.metric("bulkhead_requests_total{model=\"echo\",outcome=\"overloaded\",tenant=\"rude\"}")? > 0)
    })?;
    let began = Instant::now();
    // The connections of the well-behaved clients stay.
    while host.metric("bulkhead_connections")? > 3 {
        ensure!(began.elapsed() < TIME * 8, "they are still there");
        for stream in &mut readers {
            stream.set_nonblocking(true)?;
            let _ = stream.read(&mut [0]);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    others.end()?.assert_like(&quiet);
    let grown = host.peak_memory()?.saturating_sub(before);
    eprintln!("slow readers: {grown} bytes");
    // Besides the buffered replies, the running requests and their results need memory.
    assert!(grown < (48 << 20) * 3, "{grown} bytes");
    place.wait_until_nothing_is_left()
}

/// Over HTTP/2 a client can answer every ping and still never read the reply of one stream.
#[test]
fn a_reply_that_is_not_taken_ends_the_connection() -> Result<()> {
    let place = Place::with("header-time = '1s'\nreply-time = '3s'")?;
    let mut frames = Frames::resume(ask_over_grpc(&place, &numbers(LARGE))?);
    let began = Instant::now();
    while let Ok(frame) = frames.receive() {
        ensure!(frame.kind != RST_STREAM, "{frame:?}");
        ensure!(began.elapsed() < TIME * 4, "it is still there");
    }
    assert!(began.elapsed() > TIME / 2, "{:?}", began.elapsed());
    assert!(began.elapsed() < TIME * 4, "{:?}", began.elapsed());
    place.wait_until_nothing_is_left()
}

pub(crate) fn numbers(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| (number as f32 * 1.000_1).to_le_bytes()).collect()
}

/// Sends the tensor as bytes, and gets the reply as JSON text.
pub(crate) fn ask_over_http(place: &Place, tensor: &[u8]) -> Result<TcpStream> {
    let input = format!(
        r#"{{"name":"input","datatype":"FP32","shape":[{LARGE}],"parameters":{{"binary_data_size":{}}}}}"#,
        tensor.len()
    );
    let json = format!(r#"{{"inputs":[{input}]}}"#);
    let headers = format!("{}inference-header-content-length: {}\r\n", place.rude_header(), json.len());
    let mut wire = Wire::over(connect_narrow(place.host.address())?);
    wire.post("/v2/models/echo/infer", &headers, &[json.as_bytes(), tensor].concat())?;
    Ok(wire.into_stream())
}

/// Sends the tensor over gRPC and never enlarges the window for the reply.
fn ask_over_grpc(place: &Place, tensor: &[u8]) -> Result<TcpStream> {
    let mut frames = Frames::over(connect_narrow(&place.host.grpc)?, &[])?;
    frames.wait_for_window()?;
    let id = frames.call(INFER, &[("authorization", &format!("Bearer {}", place.rude))])?;
    // As much as the host accepts before it has read anything.
    let message = infer("echo", "input", &tensor[..200_000]);
    for (part, last) in message.chunks(16_000).zip((0..message.len().div_ceil(16_000)).rev()) {
        frames.send(DATA, if last == 0 { END_STREAM } else { 0 }, id, part)?;
    }
    Ok(frames.into_stream())
}

/// Requests of a stream whose responses are not read do not keep their slots.
#[test]
fn a_stream_that_nobody_reads_holds_no_place() -> Result<()> {
    let place = Place::with("reply-time = '2m'\nheader-time = '2m'")?;
    let mut frames = Frames::over(TcpStream::connect(&place.host.grpc)?, &[(4, 100)])?;
    let id = frames.call(STREAM, &[("authorization", &format!("Bearer {}", place.rude))])?;
    for number in 0..8u8 {
        frames.send(DATA, 0, id, &infer("echo", "input", &[number; 4000]))?;
    }
    // The first requests are computed although their response cannot be sent yet; later ones wait without a slot.
    let done = "bulkhead_requests_total{model=\"echo\",outcome=\"ok\",tenant=\"rude\"}";
    wait_until(|| Ok(place.host.metric(done)? >= 1))?;
    wait_until(|| Ok(place.host.metric("bulkhead_calls_in_flight")? == 0))?;
    Ok(())
}

/// A client may send a stream's requests long before the host processes them: they wait, and all are answered.
#[test]
fn requests_of_a_stream_wait_for_their_turn() -> Result<()> {
    let place = Place::with("")?;
    let mut frames = Frames::connect(&place.host.grpc)?;
    frames.wait_for_window()?;
    let id = frames.call(STREAM, &[("authorization", &format!("Bearer {}", place.rude))])?;
    for number in 0..3500u32 {
        frames.send(DATA, 0, id, &infer("echo", "input", &number.to_le_bytes()))?;
    }
    frames.send(DATA, END_STREAM, id, b"")?;
    frames.answer(id)?;
    ensure!(place.host.metric("bulkhead_requests_total{model=\"echo\",outcome=\"ok\",tenant=\"rude\"}")? == 3500);
    Ok(())
}
