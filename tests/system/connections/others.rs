//! Well-behaved clients that run while others misbehave: each sends its own tensors, and must get exactly these back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use system_tests::Host;
use system_tests::frames::{DATA, END_STREAM, Frames, infer};
use system_tests::sockets::Wire;

pub(super) struct Others {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Vec<Duration>>>>,
}

/// Latency of the requests, as the 25th percentile. On a machine that runs other programs too, it depends more on the host
/// than the median does.
#[derive(Debug)]
pub(super) struct Latency {
    quarter: Duration,
    pub requests: usize,
}

/// Pause between two requests of a client, because latency is measured and not throughput.
const PAUSE: Duration = Duration::from_millis(5);

impl Others {
    pub(super) fn begin(host: &Host, key: &str) -> Result<Others> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = Vec::new();
        for number in 0..3 {
            let mut client: Box<dyn Client> = match number {
                0 | 1 => Box::new(OverHttp(Wire::connect(host.address())?, format!("authorization: Bearer {key}\r\n"))),
                _ => Box::new(OverGrpc(Frames::connect(&host.grpc)?, format!("Bearer {key}"))),
            };
            let stop = stop.clone();
            clients.push(std::thread::spawn(move || {
                let mut took = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let tensor = [number as f32, took.len() as f32, (took.len() * 7 % 1000) as f32];
                    let began = Instant::now();
                    let answer = client.ask(&tensor)?;
                    took.push(began.elapsed());
                    ensure!(answer == tensor, "sent {tensor:?} and got {answer:?}");
                    std::thread::sleep(PAUSE);
                }
                Ok(took)
            }));
        }
        Ok(Others { stop, clients })
    }

    /// Stops the clients. An error unless all requests were answered correctly.
    pub(super) fn end(self) -> Result<Latency> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            let took = client.join().unwrap()?;
            ensure!(!took.is_empty(), "a client was never answered");
            all.extend(took);
        }
        all.sort();
        Ok(Latency { quarter: all[all.len() / 4], requests: all.len() })
    }

    /// Stops the clients after this time.
    pub(super) fn end_after(self, time: Duration) -> Result<Latency> {
        std::thread::sleep(time);
        self.end()
    }
}

impl Latency {
    /// Checks that the latency is at most 15 times that of the quiet phase of the same run. The factor allows for busy
    /// machines; a client that waits for another client's timeout would be a thousand times slower.
    #[track_caller]
    pub(super) fn assert_like(&self, quiet: &Latency) {
        eprintln!("others: {:?} alone, {:?} meanwhile", quiet.quarter, self.quarter);
        assert!(self.quarter < quiet.quarter * 15, "{self:?}, and before that {quiet:?}");
    }
}

trait Client: Send {
    fn ask(&mut self, tensor: &[f32]) -> Result<Vec<f32>>;
}

struct OverHttp(Wire, String);

impl Client for OverHttp {
    fn ask(&mut self, tensor: &[f32]) -> Result<Vec<f32>> {
        let (status, body) = self.0.ask("/v2/models/echo/infer", &self.1, &request(tensor))?;
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&body));
        let body: Value = serde_json::from_slice(&body)?;
        Ok(serde_json::from_value(body["outputs"][0]["data"].clone())?)
    }
}

struct OverGrpc(Frames, String);

pub(super) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

impl Client for OverGrpc {
    fn ask(&mut self, tensor: &[f32]) -> Result<Vec<f32>> {
        let bytes: Vec<u8> = tensor.iter().flat_map(|value| value.to_le_bytes()).collect();
        let id = self.0.call(INFER, &[("authorization", &self.1)])?;
        self.0.send(DATA, END_STREAM, id, &infer("echo", "input", &bytes))?;
        let answer = self.0.answer(id)?;
        // The tensor's bytes are the last field of the message.
        let raw = &answer[answer.len().saturating_sub(bytes.len())..];
        Ok(raw.chunks_exact(4).map(|value| f32::from_le_bytes([value[0], value[1], value[2], value[3]])).collect())
    }
}

/// The body of a request to the model `echo`.
pub(super) fn request(tensor: &[f32]) -> Vec<u8> {
    let input = json!({ "name": "input", "datatype": "FP32", "shape": [tensor.len()], "data": tensor });
    json!({ "inputs": [input] }).to_string().into_bytes()
}
