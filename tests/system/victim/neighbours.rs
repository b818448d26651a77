//! The neighbours, as a table: each misbehaves in one way, as often and with as many clients as its tenant may.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use system_tests::sockets::connect_narrow;
use system_tests::{Draft, Publisher, Reply};

use crate::connections::{Place, dropped, slow};
use crate::hostile_graphs;

/// Clients of a neighbour that calls: as many as its tenant's calls at once.
const CLIENTS: usize = 4;

/// Connections of a neighbour that is slow.
const SLOW: usize = 16;

/// Time between two bytes of a slow connection.
const BETWEEN: Duration = Duration::from_millis(100);

pub(super) struct Neighbour {
    pub(super) name: &'static str,
    conduct: Conduct,
}

enum Conduct {
    /// Calls a model without a pause. Each call ends with this code, or with none if it succeeds.
    Calls { model: &'static str, code: &'static str },
    /// Sends the requests of these cases of `tests/hostile/graphs`, one after the other.
    Graphs(&'static [&'static str]),
    /// Sends requests of these shapes to those graphs, which are within the limits of a call.
    HeavyGraphs(&'static [(&'static str, &'static [u64])]),
    /// Does something else until the given time, and returns how often.
    Other(fn(&Place, Instant) -> Result<u64>),
}

/// The first is the honest one, with which the others are compared.
pub(super) const NEIGHBOURS: [Neighbour; 17] = [
    calls("honest", "echo", ""),
    calls("endless loop", "loop", "limit_fuel"),
    calls("host calls: reads", "read-flood", "limit_fuel"),
    calls("host calls: handles", "handle-bomb", "plugin_trap"),
    calls("host calls: random", "random-flood", "limit_fuel"),
    calls("host calls: logs", "log-flood", "limit_log"),
    calls("print flood", "print-flood", "limit_log"),
    calls("memory", "memory-bomb", "limit_memory"),
    graphs("dear operators", &["lrn", "average-pool", "max-pool", "lstm-steps"]),
    Neighbour { name: "heavy graphs", conduct: Conduct::HeavyGraphs(HEAVY) },
    graphs("bodies of Scan and If", &["scan-of-memory", "scan-of-products", "branch-of-memory", "branch-of-products"]),
    graphs("empty, vast tensors", &["transpose-empty", "softmax-empty", "max-pool-empty", "reduce-empty"]),
    Neighbour { name: "slow readers", conduct: Conduct::Other(read_slowly) },
    Neighbour { name: "slow senders", conduct: Conduct::Other(send_slowly) },
    Neighbour { name: "trials without an end", conduct: Conduct::Other(upload) },
    Neighbour { name: "trials that succeed", conduct: Conduct::Other(upload_good) },
    Neighbour { name: "dropped connections", conduct: Conduct::Other(drop_connections) },
];

const HEAVY: &[(&str, &[u64])] =
    &[("lrn", &[1, 4000, 1, 8]), ("lstm-steps", &[5000, 1, 64]), ("scan-of-products", &[50, 1])];

const fn calls(name: &'static str, model: &'static str, code: &'static str) -> Neighbour {
    Neighbour { name, conduct: Conduct::Calls { model, code } }
}

const fn graphs(name: &'static str, cases: &'static [&'static str]) -> Neighbour {
    Neighbour { name, conduct: Conduct::Graphs(cases) }
}

impl Neighbour {
    /// Misbehaves until this time. Returns how many requests or connections that took.
    pub(super) fn misbehave(&self, place: &Place, end: Instant) -> Result<u64> {
        match self.conduct {
            Conduct::Calls { model, code } => {
                let input = if model == "echo" { "input" } else { "x" };
                crowd(end, |_| ended_with(place.host.call(&place.rude, model, input)?, code))
            }
            Conduct::Graphs(cases) => {
                let request = |name: &&'static str| {
                    let case = hostile_graphs::case(name)?;
                    Ok((*name, hostile_graphs::request(&case.shape).to_string(), case.expect.code))
                };
                send(place, end, &cases.iter().map(request).collect::<Result<Vec<_>>>()?)
            }
            Conduct::HeavyGraphs(shapes) => {
                let request =
                    |(name, shape): &(_, &[u64])| (*name, hostile_graphs::request(shape).to_string(), String::new());
                send(place, end, &shapes.iter().map(request).collect::<Vec<_>>())
            }
            Conduct::Other(act) => act(place, end),
        }
    }
}

/// Sends these bodies to these models, one after the other, until this time; each reply has the code beside it.
fn send(place: &Place, end: Instant, requests: &[(&str, String, String)]) -> Result<u64> {
    crowd(end, |number| {
        let (name, body, code) = &requests[number % requests.len()];
        let url = format!("{}/v2/models/{name}/infer", place.host.url);
        ended_with(place.host.ask("POST", &url, &place.rude, "application/json", body.as_bytes())?, code)
    })
}

/// An error unless the reply has this code, or is a refusal because the tenant does too much.
fn ended_with(reply: Reply, code: &str) -> Result<()> {
    if code.is_empty() && reply.status == 200 || matches!(reply.status, 429 | 503) {
        return Ok(());
    }
    // The call limits of this test are lower than those of the cases, and with several neighbours a call gets less of the
    // cores, so that another limit may be the first.
    let body = reply.json();
    let got = body["code"].as_str().unwrap_or_default();
    let other_limit = matches!(got, "limit_fuel" | "limit_time");
    ensure!(got == code || other_limit, "expected \"{code}\", got {}: {}", reply.status, reply.body);
    Ok(())
}

/// Repeats an act with some clients at once until this time. The acts are numbered.
fn crowd(end: Instant, act: impl Fn(usize) -> Result<()> + Sync) -> Result<u64> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let client = || -> Result<()> {
            while Instant::now() < end {
                act(next.fetch_add(1, Ordering::Relaxed))?;
            }
            Ok(())
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap())
    })?;
    Ok(next.into_inner() as u64)
}

/// Gives the neighbour's tenant the models that it misbehaves with.
pub(super) fn move_in(place: &Place) -> Result<()> {
    let publisher = Publisher::new("hostile");
    publisher.trust(&place.host, &json!({ "imports": ["logging"] }))?.ok()?;
    let misdeeds = ["read-flood", "handle-bomb", "print-flood", "memory-bomb"];
    let mut drafts: Vec<Draft> =
        misdeeds.iter().map(|misdeed| Draft::hostile(&format!("hostile/{misdeed}"), "1.0.0", misdeed)).collect();
    let logs = Draft::stage("hostile/log-flood", "1.0.0", "hostile_logger", "message = 'all work and no play'");
    drafts.push(logs.replace("component =", "imports = [\"logging\"]\ncomponent ="));
    let (manifest, files) = system_tests::hostile("random-flood")?;
    drafts.push(Draft::new(&manifest).file("component.wasm", std::fs::read(files.first().context("a component")?)?));
    drafts.push(Draft::stage("hostile/streamer", "1.0.0", "hostile_streamer", "then = 'go-on'"));
    for neighbour in &NEIGHBOURS {
        let Conduct::Graphs(cases) = neighbour.conduct else { continue };
        for name in cases {
            let graph = std::fs::read(hostile_graphs::folder().join(name).join("graph.onnx"))?;
            drafts.push(Draft::new(&hostile_graphs::manifest(name)).file("graph.onnx", graph));
        }
    }
    drafts.iter().try_for_each(|draft| publisher.push_to(&place.host, "rude", draft)?.ok().map(drop))
}

/// Readers of a stream without end and of large replies, which take one byte at a time.
fn read_slowly(place: &Place, end: Instant) -> Result<u64> {
    let tensor = slow::numbers(slow::LARGE);
    let open = |number: usize| match number % 4 {
        0 => slow::ask_over_http(place, &tensor),
        _ => open_stream(place),
    };
    let mut readers = (0..SLOW).map(open).collect::<Result<Vec<_>>>()?;
    let mut opened = SLOW as u64;
    while Instant::now() < end {
        for (number, reader) in readers.iter_mut().enumerate() {
            reader.set_nonblocking(true)?;
            if matches!(reader.read(&mut [0]), Ok(0)) {
                *reader = open(number)?;
                opened += 1;
            }
        }
        std::thread::sleep(BETWEEN);
    }
    Ok(opened)
}

fn open_stream(place: &Place) -> Result<TcpStream> {
    let body = json!({ "x": [1e6, 2000.0] }).to_string();
    let (header, length) = (place.rude_header(), body.len());
    let mut stream = connect_narrow(place.host.address())?;
    write!(
        stream,
        "POST /v2/models/streamer/generate_stream HTTP/1.1\r\nhost: test\r\n{header}content-length: {length}\r\n\r\n{body}"
    )?;
    Ok(stream)
}

/// Requests over HTTP and gRPC, and uploads, that are sent one byte at a time.
fn send_slowly(place: &Place, end: Instant) -> Result<u64> {
    let key = place.host.key("rude", "deploy")?;
    let admin = place.host.admin_url.trim_start_matches("http://").to_owned();
    let upload = format!(
        "POST /v1/bundles HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {key}\r\n\
         content-type: application/x-tar\r\ncontent-length: 1000000\r\n\r\n"
    );
    let open = |number: usize| match number % 4 {
        0 => slow::Sender::new(&admin, upload.as_bytes(), vec![b'a'; 1_000_000]),
        _ => slow::sender(place, number),
    };
    let mut senders = (0..SLOW * 4).map(open).collect::<Result<Vec<_>>>()?;
    let mut opened = senders.len() as u64;
    while Instant::now() < end {
        for (number, sender) in senders.iter_mut().enumerate() {
            if sender.is_done() {
                *sender = open(number)?;
                opened += 1;
            }
        }
        std::thread::sleep(BETWEEN);
    }
    Ok(opened)
}

/// Uploads of a bundle whose trial computes without end.
fn upload(place: &Place, end: Instant) -> Result<u64> {
    let publisher = Publisher::trusted("tried", &place.host)?;
    let key = place.host.key("rude", "deploy")?;
    let trial = "[[trial]]\nname = \"one\"\ninputs = { x = { datatype = \"FP32\", data = [1.0] } }\n";
    let archive = publisher.sign(&Draft::hostile("tried/tried", "1.0.0", "loop").more(trial));
    let tried = AtomicU64::new(0);
    crowd(end, |_| {
        let reply = place.host.upload(&key, "", &archive)?;
        let body = reply.json();
        tried.fetch_add(u64::from(body["code"] == "trial_failed"), Ordering::Relaxed);
        ensure!(body["code"] == "trial_failed" || matches!(reply.status, 429 | 503), "{reply:?}");
        Ok(())
    })?;
    let tried = tried.into_inner();
    ensure!(place.host.admin("GET", "/v1/models?tenant=rude", &Value::Null)?.ok()?.body.contains("echo"));
    Ok(tried)
}

/// Uploads of bundles that are tried and then served, and deletes them again. Each is a new version.
fn upload_good(place: &Place, end: Instant) -> Result<u64> {
    static VERSION: AtomicU64 = AtomicU64::new(1);
    let publisher = Publisher::trusted("good", &place.host)?;
    let key = place.host.key("rude", "deploy")?;
    let trial = "[[trial]]\nname = \"one\"\ninputs = { input = { datatype = \"FP32\", data = [1.0] } }\n";
    let served = AtomicU64::new(0);
    crowd(end, |_| {
        let version = format!("1.0.{}", VERSION.fetch_add(1, Ordering::Relaxed));
        let draft = Draft::identity("good/good", &version).more(trial);
        let reply = place.host.upload(&key, "", &publisher.sign(&draft))?;
        if matches!(reply.status, 429 | 503) {
            return Ok(());
        }
        reply.ok()?;
        served.fetch_add(1, Ordering::Relaxed);
        let removed =
            place.host.admin("DELETE", &format!("/v1/bundles/{}?tenant=rude", draft.digest()), &Value::Null)?;
        removed.ok().map(drop)
    })?;
    Ok(served.into_inner())
}

/// Connections that end in each part of a request, half of them by a reset.
fn drop_connections(place: &Place, end: Instant) -> Result<u64> {
    let stages = dropped::stages(place);
    crowd(end, |number| {
        let stage = stages.get(number % stages.len()).context("a stage")?;
        stage.go(place, number.is_multiple_of(2))
    })
}
