//! TLS and mutual TLS: accepted and refused clients, and refused clients do not affect the others.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use system_tests::{Host, Start, prepared, wait_until};
use tempfile::TempDir;

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Result<Authority> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Authority(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// A certificate for `localhost`, valid until January 1 of the year `until`.
    fn certify(&self, until: i32) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        Ok(Identity { certificate: params.signed_by(&key, &self.0)?.pem(), key: key.serialize_pem() })
    }
}

const LONG: i32 = 2090;

/// The TLS files of a host: its own certificate and key, and the authority of its clients.
struct Files(TempDir);

impl Files {
    fn new(host: &Identity, clients: &Authority) -> Result<Files> {
        let files = Files(tempfile::tempdir()?);
        fs::write(files.path("clients.pem"), clients.0.pem())?;
        files.renew(host)?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn renew(&self, host: &Identity) -> Result<()> {
        fs::write(self.path("key.pem"), &host.key)?;
        fs::set_permissions(self.path("key.pem"), fs::Permissions::from_mode(0o600))?;
        Ok(fs::write(self.path("cert.pem"), &host.certificate)?)
    }

    fn section(&self, listener: &str, mutual: bool) -> String {
        let path = |name| self.path(name).display().to_string();
        let clients = if mutual { format!("client-ca = '{}'\n", path("clients.pem")) } else { String::new() };
        format!("[tls.{listener}]\ncertificate = '{}'\nkey = '{}'\n{clients}", path("cert.pem"), path("key.pem"))
    }
}

/// A client that trusts one authority.
struct Client(Arc<ClientConfig>);

impl Client {
    fn new(believes: &Authority, identity: Option<&Identity>, protocol: &str) -> Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(believes.0.pem().as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
                builder.with_client_auth_cert(vec![certificate], key)?
            }
        };
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Client(Arc::new(config)))
    }

    fn connect(&self, address: &str) -> Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut stream =
            StreamOwned::new(ClientConnection::new(self.0.clone(), ServerName::try_from("localhost")?)?, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Requests `/v2/health/live` and returns the status line of the reply.
    fn ask(&self, address: &str) -> Result<String> {
        ask_on(&mut self.connect(address)?)
    }
}

fn ask_on(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> Result<String> {
    write!(stream, "GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply.lines().next().unwrap_or_default().to_owned())
}

const OK: &str = "HTTP/1.1 200 OK";

fn admin_address(host: &Host) -> &str {
    host.admin_url.trim_start_matches("http://")
}

#[test]
fn clients_speak_either_version_of_http() -> Result<()> {
    let authority = Authority::new()?;
    let files = Files::new(&authority.certify(LONG)?, &authority)?;
    let host = Start::default().config(&files.section("http", false)).start()?;
    assert_eq!(Client::new(&authority, None, "http/1.1")?.ask(host.address())?, OK);
    let mut stream = Client::new(&authority, None, "h2")?.connect(host.address())?;
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    // SETTINGS, then a request on stream 1: GET, https, /v2/health/live, localhost.
    let path = "/v2/health/live";
    let header =
        [&[0x82, 0x87, 0x04, u8::try_from(path.len())?][..], path.as_bytes(), &[0x01, 9], b"localhost"].concat();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])?;
    stream.write_all(&[&[0, 0, u8::try_from(header.len())?, 1, 5, 0, 0, 0, 1][..], &header].concat())?;
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame)?;
        let mut content = vec![0; u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize];
        stream.read_exact(&mut content)?;
        // A HEADERS frame whose first field is status 200.
        if frame[3] == 1 {
            assert_eq!(content[0], 0x88);
            return Ok(());
        }
    }
}

/// The connection is closed without an HTTP reply.
#[test]
fn plain_http_is_not_answered() -> Result<()> {
    let authority = Authority::new()?;
    let files = Files::new(&authority.certify(LONG)?, &authority)?;
    let host = Start::default().config(&files.section("http", false)).start()?;
    let mut stream = TcpStream::connect(host.address())?;
    stream.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")?;
    let mut reply = Vec::new();
    let closed = stream.read_to_end(&mut reply);
    assert!(closed.is_ok() || closed.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(!String::from_utf8_lossy(&reply).contains("HTTP"), "{reply:?}");
    assert_eq!(Client::new(&authority, None, "http/1.1")?.ask(host.address())?, OK);
    Ok(())
}

#[test]
fn only_clients_of_the_configured_authority_are_accepted() -> Result<()> {
    let (authority, clients, stranger) = (Authority::new()?, Authority::new()?, Authority::new()?);
    let files = Files::new(&authority.certify(LONG)?, &clients)?;
    let config = files.section("http", true) + &files.section("admin", true);
    let host = Start::default().config(&config).start()?;
    for address in [host.address(), admin_address(&host)] {
        let ask = |identity: Option<&Identity>| Client::new(&authority, identity, "http/1.1")?.ask(address);
        assert_eq!(ask(Some(&clients.certify(LONG)?))?, OK);
        for (who, identity) in [
            ("nobody", None),
            ("somebody unknown", Some(stranger.certify(LONG)?)),
            ("somebody of the past", Some(clients.certify(2020)?)),
            ("the host itself", Some(authority.certify(LONG)?)),
        ] {
            let answer = ask(identity.as_ref());
            assert!(answer.is_err(), "{who}: {answer:?}");
        }
        assert_eq!(ask(Some(&clients.certify(LONG)?))?, OK);
    }
    // The client verifies the host's certificate too.
    assert!(Client::new(&stranger, Some(&clients.certify(LONG)?), "http/1.1")?.ask(host.address()).is_err());
    Ok(())
}

#[test]
fn noisy_and_silent_connections_do_not_disturb_others() -> Result<()> {
    let authority = Authority::new()?;
    let files = Files::new(&authority.certify(LONG)?, &authority)?;
    let config = files.section("http", false) + "[http]\nheader-time = '1s'\nconnections = 8\n";
    let host = Start::default().config(&config).start()?;
    let client = Client::new(&authority, None, "http/1.1")?;
    let hello_of_64_kib = [&b"\x16\x03\x01\xff\xff\x01\x00\xff\xfb\x03\x03"[..], &[7; 4000]].concat();
    let mut noisy = Vec::new();
    for said in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00", &hello_of_64_kib, &[0xff; 300]] {
        let mut stream = TcpStream::connect(host.address())?;
        stream.write_all(said)?;
        noisy.push(stream);
        assert_eq!(client.ask(host.address())?, OK);
    }
    for stream in &mut noisy {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let closed = stream.read_to_end(&mut Vec::new());
        assert!(
            closed.is_ok() || closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
            "{closed:?}"
        );
    }
    let nobody_is_left = || wait_until(|| Ok(host.metric("bulkhead_connections")? == 0));
    // The slots are free again, up to the share of one address.
    nobody_is_left()?;
    let together: Vec<_> = (0..6).map(|_| client.connect(host.address())).collect::<Result<_>>()?;
    drop(together);
    nobody_is_left()?;
    assert_eq!(client.ask(host.address())?, OK);
    Ok(())
}

/// A client that completes the handshake and then sends nothing is subject to the same timeout as others.
#[test]
fn silence_after_the_handshake_is_bounded() -> Result<()> {
    let authority = Authority::new()?;
    let files = Files::new(&authority.certify(LONG)?, &authority)?;
    let host = Start::default().config(&(files.section("http", false) + "[http]\nheader-time = '1s'\n")).start()?;
    for protocol in ["h2", "http/1.1"] {
        for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut stream = Client::new(&authority, None, protocol)?.connect(host.address())?;
            stream.write_all(said)?;
            let closed = stream.read_to_end(&mut Vec::new());
            let patience = closed.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert!(!patience, "{protocol}, {said:?}: it is still there");
        }
    }
    Ok(())
}

#[test]
fn renewed_files_are_used_and_broken_ones_are_not() -> Result<()> {
    let (old, new) = (Authority::new()?, Authority::new()?);
    let files = Files::new(&old.certify(LONG)?, &old)?;
    let host = Start::default().config(&files.section("http", false)).start()?;
    let (believes_old, believes_new) = (Client::new(&old, None, "http/1.1")?, Client::new(&new, None, "http/1.1")?);
    assert_eq!(believes_old.ask(host.address())?, OK);
    assert!(believes_new.ask(host.address()).is_err());
    host.signal("HUP")?;
    host.wait_for_log(&["certificate files are in use", "cert.pem"])?;
    let mut open = believes_old.connect(host.address())?;
    fs::write(files.path("cert.pem"), "not a certificate")?;
    host.wait_for_log(&["the old ones stay in use", "cert.pem"])?;
    assert_eq!(believes_old.ask(host.address())?, OK);
    files.renew(&new.certify(LONG)?)?;
    wait_until(|| Ok(believes_new.ask(host.address()).is_ok_and(|answer| answer == OK)))?;
    assert!(believes_old.ask(host.address()).is_err());
    // Connections that were open before stay usable.
    assert_eq!(ask_on(&mut open)?, OK);
    Ok(())
}

#[test]
fn a_key_file_that_others_can_read_is_reported() -> Result<()> {
    let authority = Authority::new()?;
    let files = Files::new(&authority.certify(LONG)?, &authority)?;
    fs::set_permissions(files.path("key.pem"), fs::Permissions::from_mode(0o644))?;
    let host = Start::default().config(&files.section("http", false)).start()?;
    host.wait_for_log(&["WARN", "open to everybody", "key.pem"])?;
    Ok(())
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() -> Result<()> {
    let (authority, other) = (Authority::new()?, Authority::new()?);
    let identity = authority.certify(LONG)?;
    let spoil = |what: &str| -> Result<String> {
        let files = Files::new(&identity, &authority)?;
        match what {
            "missing" => fs::remove_file(files.path("key.pem"))?,
            "of another" => fs::write(files.path("key.pem"), other.certify(LONG)?.key)?,
            "a certificate" => fs::copy(files.path("cert.pem"), files.path("key.pem")).map(drop)?,
            "huge" => fs::write(files.path("key.pem"), vec![b'\n'; 2 << 20])?,
            _ => bail!("{what}?"),
        }
        refusal(files.0.path(), &files.section("admin", true))
    };
    for (what, wanted) in [
        ("missing", "key.pem cannot be read"),
        ("of another", "are not usable together"),
        ("a certificate", "key.pem holds no private key"),
        ("huge", "key.pem has more than"),
    ] {
        let said = spoil(what)?;
        assert!(said.contains("tls.admin: ") && said.contains(wanted), "{what}: {said}");
    }
    Ok(())
}

/// Standard error of a host that refuses to start.
fn refusal(folder: &Path, config: &str) -> Result<String> {
    let file = folder.join("bulkhead.toml");
    fs::write(&file, config)?;
    let mut command = Command::new(prepared("BULKHEAD_BINARY"));
    command.args(["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let output =
        command.arg("--data").arg(folder.join("data")).arg("--config").arg(&file).output().context("no host")?;
    anyhow::ensure!(output.status.code() == Some(1), "{output:?}");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_commands_reach_an_operators_port_with_mutual_tls() -> Result<()> {
    let (hosts, operators) = (Authority::new()?, Authority::new()?);
    let files = Files::new(&hosts.certify(LONG)?, &operators)?;
    let host = Start::default().config(&files.section("admin", true)).start()?;
    let me = operators.certify(LONG)?;
    fs::write(files.path("authority.pem"), hosts.0.pem())?;
    fs::write(files.path("me.pem"), me.certificate + &me.key)?;
    let port = host.admin_url.rsplit(':').next().context("a port")?;
    let list = |more: &[&str]| -> Result<(Option<i32>, String)> {
        let mut program = Command::new(prepared("BULKHEAD_BINARY"));
        program.args(["tenant", "list", "--to", &format!("https://localhost:{port}"), "--data"]).arg(host.data());
        let output = program.args(more).current_dir(files.0.path()).output()?;
        Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
    };
    let (code, said) = list(&["--ca", "authority.pem", "--client-cert", "me.pem"])?;
    assert!(code == Some(0) && said.contains("default"), "{said}");
    let (code, said) = list(&["--client-cert", "me.pem"])?;
    assert!(code == Some(1) && said.contains("--ca FILE"), "{said}");
    let (code, said) = list(&["--ca", "authority.pem"])?;
    assert!(code == Some(1) && said.contains("--client-cert FILE"), "{said}");
    Ok(())
}
