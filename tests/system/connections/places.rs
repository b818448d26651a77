//! More connections than there are places for.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};

use anyhow::Result;
use system_tests::frames::is_closed;
use system_tests::sockets::connect_from;
use system_tests::{Host, Start, wait_until};

const LIVE: &str = "GET /v2/health/live HTTP/1.1\r\nhost: test\r\n\r\n";

/// This machine has many.
fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 0, high, low)
}

fn live(stream: &mut TcpStream) -> Result<()> {
    std::io::Write::write_all(stream, LIVE.as_bytes())?;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin)?;
    assert_eq!(&begin, b"HTTP/1.1 200");
    Ok(())
}

/// As many connections as an address gets; each is served, and the next one is closed.
fn all_of(host: &Host, address: Ipv4Addr) -> Result<Vec<TcpStream>> {
    let mut open = Vec::new();
    loop {
        let mut stream = connect_from(address, host.address())?;
        if live(&mut stream).is_err() {
            return Ok(open);
        }
        open.push(stream);
    }
}

#[test]
fn no_address_takes_the_places_of_others() -> Result<()> {
    let host = Start::default().config("[http]\nconnections = 40\n").start()?;
    let first = all_of(&host, address(2))?;
    assert_eq!(first.len(), 30, "three quarters");
    let refused = "bulkhead_connections_refused_total";
    assert_eq!(host.metric(refused)?, 1);
    host.wait_for_log(&["WARN", "127.0.0.2", "http.connections"])?;
    let second = all_of(&host, address(3))?;
    assert!((6..=9).contains(&second.len()), "{}", second.len());
    let mut third = connect_from(address(4), host.address())?;
    live(&mut third)?;
    // Both ports draw from the same places.
    let grpc = connect_from(address(2), &host.grpc)?;
    grpc.set_nonblocking(true)?;
    wait_until(|| Ok(is_closed(&mut grpc.try_clone()?)))?;
    assert_eq!(host.metric(refused)?, 3);
    // What one gives up others can have, and it gets its own share again.
    drop(first);
    wait_until(|| Ok(host.metric("bulkhead_connections")? == second.len() as u64 + 1))?;
    assert!(all_of(&host, address(5))?.len() > 15);
    Ok(())
}

/// Beyond all places clients wait, and are served when one comes free. The operator has places of its own.
#[test]
fn who_finds_no_place_waits_for_one() -> Result<()> {
    let host = Start::default().config("[http]\nconnections = 4\n").start()?;
    let mut open = Vec::new();
    for last in 2..6 {
        let mut stream = connect_from(address(last), host.address())?;
        live(&mut stream)?;
        open.push(stream);
    }
    let mut waiting = connect_from(address(6), host.address())?;
    std::io::Write::write_all(&mut waiting, LIVE.as_bytes())?;
    // Asked twice over, the operator is answered; the client that waits is not.
    assert_eq!((host.metric("bulkhead_connections")?, host.metric("bulkhead_connections")?), (4, 4));
    waiting.set_nonblocking(true)?;
    assert!(waiting.read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    waiting.set_nonblocking(false)?;
    open.pop();
    let mut begin = [0; 12];
    waiting.read_exact(&mut begin)?;
    assert_eq!(&begin, b"HTTP/1.1 200");
    Ok(())
}

/// What the process may open bounds what it accepts, and the operator is told.
#[test]
fn connections_fit_into_the_open_files() -> Result<()> {
    let host = Start::default().open_files(128).most_open_files(700).start()?;
    host.wait_for_log(&["WARN", "http.connections", "\"wanted\":16384", "\"possible\":350", "ulimit -Hn"])?;
    // All of them, from many addresses; the host still opens files of its own.
    let mut open = Vec::new();
    for number in 0..350 {
        let mut stream = connect_from(address(256 + number), host.address())?;
        live(&mut stream)?;
        open.push(stream);
    }
    assert_eq!(host.metric("bulkhead_connections")?, 350);
    host.tenant("t", &serde_json::json!({}))?;
    assert!(!host.log().contains("could not be accepted"), "{}", host.log());
    Ok(())
}
