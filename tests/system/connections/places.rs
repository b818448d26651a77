//! More connections than there are slots.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};

use anyhow::Result;
use system_tests::frames::is_closed;
use system_tests::sockets::connect_from;
use system_tests::{Host, Start, wait_until};

const LIVE: &str = "GET /v2/health/live HTTP/1.1\r\nhost: test\r\n\r\n";

/// An address of the loopback network, of which this machine has many.
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

/// Opens as many connections as one address may have. Each is served, and the next one is closed.
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
    // Both ports share the same slots.
    let grpc = connect_from(address(2), &host.grpc)?;
    grpc.set_nonblocking(true)?;
    wait_until(|| Ok(is_closed(&mut grpc.try_clone()?)))?;
    assert_eq!(host.metric(refused)?, 3);
    // Other addresses can use the slots that one address frees, and it can get its own share again.
    drop(first);
    wait_until(|| Ok(host.metric("bulkhead_connections")? == second.len() as u64 + 1))?;
    assert!(all_of(&host, address(5))?.len() > 15);
    Ok(())
}

/// Clients beyond all slots wait, and are served when a slot is free. The operator's port has slots of its own.
#[test]
fn a_client_without_a_free_slot_waits_for_one() -> Result<()> {
    let host = Start::default().config("[http]\nconnections = 4\n").start()?;
    let mut open = Vec::new();
    for last in 2..6 {
        let mut stream = connect_from(address(last), host.address())?;
        live(&mut stream)?;
        open.push(stream);
    }
    let mut waiting = connect_from(address(6), host.address())?;
    std::io::Write::write_all(&mut waiting, LIVE.as_bytes())?;
    // The operator is answered twice, while the waiting client is not.
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

/// The limit of open files bounds the connections that the host accepts, and the host logs a warning.
#[test]
fn connections_fit_into_the_open_files() -> Result<()> {
    let host = Start::default().open_files(128).most_open_files(700).start()?;
    host.wait_for_log(&["WARN", "http.connections", "\"wanted\":16384", "\"possible\":350", "ulimit -Hn"])?;
    // Opens all of them, from many addresses; the host can still open its own files.
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
