//! Connections that stay open after one request: the memory of each, and their effect on other clients.

use std::time::Duration;

use anyhow::{Result, ensure};
use system_tests::frames::{DATA, END_STREAM, Frames, infer};
use system_tests::sockets::{Wire, possible};
use system_tests::{Start, wait_until};

use super::others::{INFER, request};
use super::{Place, alone};

/// Time for which the other clients are measured.
const WHILE: Duration = Duration::from_millis(1500);

/// Bound on the host's memory for one idle connection, in bytes.
const EACH: u64 = 32 << 10;

/// The same bound over HTTP/2, whose connections keep more state.
const EACH_OF_GRPC: u64 = 40 << 10;

#[test]
fn ten_thousand_idle_connections_cost_little_and_nobody_notices() -> Result<()> {
    let _alone = alone();
    let count = possible(10_000);
    // The usual soft limit of open files is far too low for these connections; the host raises it.
    let place = Place::of(Start::default().open_files(256).config("[http]\nheader-time = '10m'\n"))?;
    let host = &place.host;
    let quiet = place.others()?.end_after(WHILE)?;
    let before = host.memory()?;
    let mut idle = open(&place, count)?;
    assert!(host.metric("bulkhead_connections")? >= count as u64);
    let with = host.memory()?;
    let each = with.saturating_sub(before) / count as u64;
    eprintln!("{count} idle connections: {each} bytes each");
    assert!(each < EACH, "{each} bytes for each of {count}");
    place.others()?.end_after(WHILE)?.assert_like(&quiet);
    for wire in idle.iter_mut().step_by(100) {
        ask(wire, &place, 7)?;
    }
    drop(idle);
    wait_until(|| Ok(host.metric("bulkhead_connections")? == 0))?;
    // The memory of closed connections is reused, except for what other threads' allocator caches hold.
    let idle = open(&place, count)?;
    let again = host.memory()?;
    ensure!(again < with + (with - before) / 2, "{before} bytes before, {with} with them, {again} with the next ones");
    drop(idle);
    wait_until(|| Ok(host.metric("bulkhead_connections")? == 0))?;
    place.wait_until_nothing_is_left()
}

fn open(place: &Place, count: usize) -> Result<Vec<Wire>> {
    let connect = |number| {
        let mut wire = Wire::connect(place.host.address())?;
        ask(&mut wire, place, number)?;
        Ok(wire)
    };
    (0..count).map(connect).collect()
}

fn ask(wire: &mut Wire, place: &Place, number: usize) -> Result<()> {
    let (status, body) = wire.ask("/v2/models/echo/infer", &place.rude_header(), &request(&[number as f32]))?;
    let body = String::from_utf8(body)?;
    ensure!(status == 200 && body.contains(&format!("\"data\":[{number}")), "{number}: {status} {body}");
    Ok(())
}

#[test]
fn idle_connections_of_grpc_cost_little_and_nobody_notices() -> Result<()> {
    let _alone = alone();
    let count = possible(2000);
    let place = Place::with("header-time = '10m'")?;
    let host = &place.host;
    let quiet = place.others()?.end_after(WHILE)?;
    let before = host.memory()?;
    let key = format!("Bearer {}", place.rude);
    let mut idle = Vec::new();
    for number in 0..count {
        let mut frames = Frames::connect(&host.grpc)?;
        let tensor = (number as f32).to_le_bytes();
        let id = frames.call(INFER, &[("authorization", &key)])?;
        frames.send(DATA, END_STREAM, id, &infer("echo", "input", &tensor))?;
        ensure!(frames.answer(id)?.ends_with(&tensor));
        idle.push(frames);
    }
    let each = host.memory()?.saturating_sub(before) / count as u64;
    eprintln!("{count} idle connections of gRPC: {each} bytes each");
    assert!(each < EACH_OF_GRPC, "{each} bytes for each of {count}");
    place.others()?.end_after(WHILE)?.assert_like(&quiet);
    drop(idle);
    wait_until(|| Ok(host.metric("bulkhead_connections")? == 0))?;
    place.wait_until_nothing_is_left()
}
