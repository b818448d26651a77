//! Clients that disconnect at every stage of a request: their computation ends, their resources are released, and other
//! clients' responses stay correct.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use system_tests::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, infer, post,
};
use system_tests::sockets::reset;
use system_tests::wait_until;

use super::others::{INFER, request};
use super::{Place, alone};

/// Number of repetitions of each stage.
const ROUNDS: usize = 40;

/// Number of concurrent clients.
const CLIENTS: usize = 8;

/// Time that endless calls compute before their clients disconnect.
const COMPUTED: Duration = Duration::from_millis(300);

/// Less fuel than any core burns in five times `COMPUTED`. A host that charges only the beginning of a call stays far below
/// it.
const BURNT: u64 = 100_000_000;

/// The bytes that a client sends before it disconnects, the port, and whether it first waits for the beginning of the
/// reply.
pub(crate) struct Stage {
    port: Port,
    said: Vec<u8>,
    answered: bool,
}

#[derive(Clone, Copy)]
enum Port {
    Http,
    Grpc,
}

/// Requests that are cut off in each of their parts.
pub(crate) fn stages(place: &Place) -> Vec<Stage> {
    let body = request(&(0..1000).map(|number| number as f32).collect::<Vec<_>>());
    let head = format!(
        "POST /v2/models/echo/infer HTTP/1.1\r\nhost: test\r\n{}content-length: {}\r\n\r\n",
        place.rude_header(),
        body.len()
    );
    let whole = [head.as_bytes(), &body].concat();
    let http = |said: &[u8], answered| Stage { port: Port::Http, said: said.to_vec(), answered };
    let mut stages = vec![
        http(b"", false),
        http(&whole[..12], false),
        http(&whole[..50], false),
        http(&whole[..head.len() - 2], false),
        http(head.as_bytes(), false),
        http(&whole[..head.len() + body.len() / 2], false),
        http(&whole[..whole.len() - 1], false),
        http(&whole, false),
        http(&whole, true),
        // The next requests are sent before the first is answered.
        http(&[&whole[..], &whole, &whole[..60]].concat(), true),
    ];
    let key = format!("Bearer {}", place.rude);
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat();
    let plain = frame(HEADERS, END_HEADERS, 1, &post("/v2/models/echo/infer", &[("authorization", &key)]));
    let fields = [("te", "trailers"), ("content-type", "application/grpc"), ("authorization", &key)];
    let call = frame(HEADERS, END_HEADERS, 1, &post(INFER, &fields));
    let message = infer("echo", "input", &[7; 4000]);
    for (port, head, body) in [(Port::Http, plain, body), (Port::Grpc, call, message)] {
        let data = frame(DATA, END_STREAM, 1, &body);
        let half = frame(DATA, 0, 1, &body[..body.len() / 2]);
        let gone = frame(RST_STREAM, 0, 1, &8u32.to_be_bytes());
        let cuts: [(&[&[u8]], bool); 11] = [
            (&[&begin[..10]], false),
            (&[&begin[..]], false),
            (&[&begin[..], &head[..20]], false),
            (&[&begin[..], &head], false),
            (&[&begin[..], &head, &half], false),
            (&[&begin[..], &head, &data[..data.len() / 2]], false),
            (&[&begin[..], &head, &data], false),
            (&[&begin[..], &head, &data], true),
            (&[&begin[..], &head, &gone], false),
            (&[&begin[..], &head, &half, &gone], false),
            (&[&begin[..], &head, &data, &gone], false),
        ];
        stages.extend(cuts.map(|(parts, answered)| Stage { port, said: parts.concat(), answered }));
    }
    stages
}

impl Stage {
    pub(crate) fn go(&self, place: &Place, with_reset: bool) -> Result<()> {
        let to = match self.port {
            Port::Http => place.host.address(),
            Port::Grpc => &place.host.grpc,
        };
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(&self.said)?;
        if self.answered {
            stream.read_exact(&mut [0; 10])?;
        }
        if with_reset { reset(stream) } else { Ok(()) }
    }
}

#[test]
fn clients_that_go_away_at_every_stage_leave_nothing_behind() -> Result<()> {
    let _alone = alone();
    let place = Place::with("")?;
    let stages = stages(&place);
    let before = place.host.memory()?;
    let others = place.others()?;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(stage) = stages.get(number / ROUNDS) else { return Ok(()) };
                stage.go(&place, number.is_multiple_of(2))?;
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap())
    })?;
    ensure!(others.end()?.requests > 0);
    wait_until(|| Ok(place.host.metric("bulkhead_connections")? == 0))?;
    place.wait_until_nothing_is_left()?;
    let grown = place.host.peak_memory()?.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    ensure!(!place.host.log().contains("panicked"), "{}", place.host.log());
    Ok(())
}

/// Running and waiting calls end when their client disconnects by a close, a reset or a cancelled stream, over each
/// protocol.
#[test]
fn computation_ends_when_its_client_disconnects() -> Result<()> {
    let _alone = alone();
    let place = Place::with("")?;
    let host = &place.host;
    let others = place.others()?;
    let mut counted = 0;
    for way in [Way::Close, Way::Reset, Way::Http2Close, Way::Http2Cancel, Way::GrpcCancel] {
        // As many calls as the tenant may run at once, and some that wait.
        let calls = (0..12).map(|_| way.call(&place)).collect::<Result<Vec<_>>>()?;
        wait_until(|| Ok(host.metric("bulkhead_calls_waiting")? == 8))?;
        let (running, waiting) = (host.metric("bulkhead_calls_in_flight")?, host.metric("bulkhead_calls_waiting")?);
        ensure!((4..=7).contains(&running), "{running} {waiting}");
        std::thread::sleep(COMPUTED);
        let _still_open = way.go(calls)?;
        // Without the disconnect the calls could compute for a minute.
        place.wait_until_nothing_is_left()?;
        counted += 12;
        let abandoned = "bulkhead_requests_total{model=\"loop\",outcome=\"abandoned\",tenant=\"rude\"}";
        wait_until(|| Ok(host.metric(abandoned)? == counted))?;
    }
    // The calls that ran are charged for the fuel burnt until then, which is far below their limit.
    let labels = "{model=\"loop\",tenant=\"rude\",version=\"1.0.0\"}";
    let ran = host.metric(&format!("bulkhead_call_fuel_count{labels}"))?;
    let burnt = host.metric(&format!("bulkhead_call_fuel_sum{labels}"))?;
    ensure!(ran > 0 && burnt > BURNT && burnt < ran * 10_000_000_000, "{ran} calls burnt {burnt}");
    ensure!(others.end_after(Duration::from_millis(500))?.requests > 0);
    Ok(())
}

/// The way in which a client disconnects.
enum Way {
    Close,
    Reset,
    Http2Close,
    Http2Cancel,
    GrpcCancel,
}

impl Way {
    /// Starts a call that computes until it is stopped.
    fn call(&self, place: &Place) -> Result<TcpStream> {
        let input = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1]}]}"#;
        let key = format!("Bearer {}", place.rude);
        let (address, path) = (place.host.address(), "/v2/models/loop/infer");
        let (mut frames, id, body) = match self {
            Way::Close | Way::Reset => {
                let mut stream = TcpStream::connect(address)?;
                let (header, length) = (place.rude_header(), input.len());
                write!(
                    stream,
                    "POST {path} HTTP/1.1\r\nhost: test\r\n{header}content-length: {length}\r\n\r\n{input}"
                )?;
                return Ok(stream);
            }
            Way::Http2Close | Way::Http2Cancel => {
                let mut frames = Frames::connect(address)?;
                let id = frames.next_id();
                frames.send(HEADERS, END_HEADERS, id, &post(path, &[("authorization", &key)]))?;
                (frames, id, input.as_bytes().to_vec())
            }
            Way::GrpcCancel => {
                let mut frames = Frames::connect(&place.host.grpc)?;
                let id = frames.call(INFER, &[("authorization", &key)])?;
                (frames, id, infer("loop", "x", &[0; 4]))
            }
        };
        frames.send(DATA, END_STREAM, id, &body)?;
        Ok(frames.into_stream())
    }

    /// Disconnects. Returns the connections that stay open because only their streams are cancelled.
    fn go(&self, calls: Vec<TcpStream>) -> Result<Vec<TcpStream>> {
        match self {
            Way::Close | Way::Http2Close => Ok(Vec::new()),
            Way::Reset => calls.into_iter().try_for_each(reset).map(|()| Vec::new()),
            Way::Http2Cancel | Way::GrpcCancel => {
                let cancel = frame(RST_STREAM, 0, 1, &8u32.to_be_bytes());
                calls.iter().try_for_each(|mut call| call.write_all(&cancel))?;
                Ok(calls)
            }
        }
    }
}
