//! The HTTP client with which commands reach a running host: the only place that knows the host's address, the token and
//! the form of errors. Commands send requests and print replies; the host decides what is allowed.

use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{AsSendBody, Body, SendBody};
use zeroize::Zeroizing;

use super::output::{Failure, Output, WrongUsage, plain, plain_lines};

#[derive(Args)]
pub(super) struct Admin {
    /// Address of the operator's port [env: BULKHEAD_ADMIN] [default: http://127.0.0.1:8002]
    #[arg(long = "to", value_name = "URL", help_heading = HEADING, global = true)]
    url: Option<String>,
    /// The admin token, or a key with the role deploy or admin [env: BULKHEAD_TOKEN] [default: the token in admin.token of
    /// --data]
    #[arg(long, value_name = "TOKEN", help_heading = HEADING, global = true)]
    token: Option<String>,
    /// The data folder of a host on this machine
    #[arg(long, value_name = "DIR", default_value = "bulkhead-data", help_heading = HEADING, global = true)]
    data: PathBuf,
    /// For a port with TLS: certificates (PEM) to trust instead of the public ones
    #[arg(long, value_name = "FILE", help_heading = HEADING, global = true)]
    ca: Option<PathBuf>,
    /// For a port that requires client certificates: a file with a certificate and its private key (PEM)
    #[arg(long, value_name = "FILE", help_heading = HEADING, global = true)]
    client_cert: Option<PathBuf>,
}

const HEADING: &str = "The host";

const DEFAULT_URL: &str = "http://127.0.0.1:8002";

/// The value of a flag, or of a variable of the environment. The parser would take the variable for a flag that was given, and
/// name it in the usage line of every mistake.
fn given(flag: Option<&str>, variable: &str) -> Option<String> {
    let flag = flag.map(str::to_owned).or_else(|| std::env::var(variable).ok());
    flag.filter(|value| !value.is_empty())
}

/// A client of one host's operator port.
pub(super) struct Client {
    agent: ureq::Agent,
    url: String,
    token: Zeroizing<String>,
    output: Output,
}

/// Time limit for the reply. It is longer than any act takes, and ends a command whose host hangs.
const PATIENCE: Duration = Duration::from_secs(600);

/// Upper bound on the size of a reply.
const MAX_REPLY: u64 = 256 << 20;

impl Admin {
    pub(super) fn client(self, output: Output) -> Result<Client> {
        let url = given(self.url.as_deref(), "BULKHEAD_ADMIN").unwrap_or_else(|| DEFAULT_URL.to_owned());
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let url = url.trim_end_matches('/').to_owned();
        warn_in_clear(&url)?;
        let token = self.find_token()?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // No proxy, because it would receive the token.
            .proxy(None)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(PATIENCE))
            .tls_config(self.tls()?);
        Ok(Client { agent: config.build().into(), url, token, output })
    }

    fn find_token(&self) -> Result<Zeroizing<String>> {
        if let Some(token) = given(self.token.as_deref(), "BULKHEAD_TOKEN") {
            return Ok(Zeroizing::new(token));
        }
        let file = self.data.join("admin.token");
        let text = std::fs::read_to_string(&file).map(Zeroizing::new).map_err(|error| {
            // Without the number of the error, which says the same.
            let why = error.to_string();
            let (file, why) = (file.display(), why.split(" (os error").next().unwrap_or_default());
            anyhow!(
                "no token: {file} cannot be read ({why}). Name the host's data folder with --data, or set BULKHEAD_TOKEN"
            )
        })?;
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    fn tls(&self) -> Result<TlsConfig> {
        let mut tls = TlsConfig::builder();
        if let Some(file) = &self.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&read_pem(file)?.0));
        }
        if let Some(file) = &self.client_cert {
            let (chain, key) = read_pem(file)?;
            let key = key.with_context(|| format!("{} has no private key in it", file.display()))?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(tls.build())
    }
}

impl Client {
    /// Sends a request and returns the JSON of the reply. With `null` as body, the request has none. A reply with an error
    /// status is an error.
    pub(super) fn ask(&self, method: Method, address: &str, body: &Value) -> Result<Value> {
        let mut response = match body {
            Value::Null => self.send(self.request(method, address), ())?,
            body => {
                self.send(self.request(method, address).header("content-type", "application/json"), body.to_string())?
            }
        };
        let text = response.body_mut().with_config().limit(MAX_REPLY).read_to_string()?;
        match response.status().is_success() {
            true => serde_json::from_str(&text).with_context(|| format!("the reply of {} is not JSON", self.url)),
            false => Err(self.refused(response.status().as_u16(), &text)),
        }
    }

    pub(super) fn get(&self, address: &str) -> Result<Value> {
        self.ask(Method::GET, address, &Value::Null)
    }

    /// Uploads an archive of `bytes` bytes, and calls `line` with each line of the reply as it arrives.
    pub(super) fn upload(
        &self,
        address: &str,
        archive: impl Read + 'static,
        bytes: u64,
        mut line: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let request = self.request(Method::POST, address).header("content-type", "application/x-tar");
        let request = request.header("accept", "application/x-ndjson").header("content-length", bytes);
        // The host can refuse the request before the archive is sent.
        let request = request.header("expect", "100-continue");
        let mut response = self.send(request, SendBody::from_owned_reader(archive))?;
        if !response.status().is_success() {
            let text = response.body_mut().with_config().limit(MAX_REPLY).read_to_string()?;
            return Err(self.refused(response.status().as_u16(), &text));
        }
        let lines = BufReader::new(response.body_mut().as_reader().take(MAX_REPLY)).lines();
        for text in lines {
            line(&text.context("the connection closed before the host reported the outcome; push again")?)?;
        }
        Ok(())
    }

    /// Prints a reply, or the text that `for_people` makes of it.
    pub(super) fn tell(&self, reply: &Value, for_people: impl FnOnce(&Value) -> String) -> Result<()> {
        self.output.tell(reply, for_people)
    }

    pub(super) fn wants_json(&self) -> bool {
        self.output.json
    }

    fn request(&self, method: Method, address: &str) -> ureq::http::request::Builder {
        let token = Zeroizing::new(format!("Bearer {}", &*self.token));
        Request::builder().method(method).uri(format!("{}{address}", self.url)).header("authorization", &*token)
    }

    fn send<B: AsSendBody>(&self, request: ureq::http::request::Builder, body: B) -> Result<Response<Body>> {
        let request =
            request.body(body).context("the token cannot be sent: it must be one line of plain characters")?;
        self.agent.run(request).map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: ureq::Error) -> anyhow::Error {
        let url = &self.url;
        match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => anyhow!(
                "nothing listens at {url}: start a host with `bulkhead serve`, or name its operator's port with --to URL"
            ),
            error if url.starts_with("https:") && error.to_string().contains("InvalidContentType") => anyhow!(
                "{url}: the port does not speak TLS; write http:// instead, or configure [tls.admin] at the host"
            ),
            error if url.starts_with("https:") => {
                anyhow!(
                    "{url}: {error}. Name the certificates to trust with --ca FILE, and your own with --client-cert FILE"
                )
            }
            error => anyhow!("{url}: {error}"),
        }
    }

    /// The error for a reply with an error status.
    fn refused(&self, status: u16, text: &str) -> anyhow::Error {
        let Some(reply) = serde_json::from_str::<Value>(text).ok().filter(|reply| reply["error"].is_string()) else {
            return anyhow!(
                "{} replied with status {status}, but not as a host does; is it the operator's port?",
                self.url
            );
        };
        let hint = match reply["code"].as_str() {
            Some("unknown_endpoint") => format!(": is {} the operator's port?", self.url),
            _ => String::new(),
        };
        self.fail(&reply, &hint)
    }

    /// The error that ends a command whose request was refused.
    pub(super) fn fail(&self, reply: &Value, hint: &str) -> anyhow::Error {
        let why = plain_lines(reply["error"].as_str().unwrap_or("the host refused it"));
        let text = match reply["request_id"].as_str() {
            Some(id) => format!("{why}{hint} (request {} in the host's log)", plain(id)),
            None => format!("{why}{hint}"),
        };
        Failure { text, json: reply.clone() }.into()
    }
}

/// The path and query of a request. Segments and values are percent-encoded, because names may contain any character.
pub(super) fn address(segments: &[&str], query: &[(&str, Option<&str>)]) -> String {
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let mut address = String::from("/v1");
    for segment in segments {
        address.extend(["/"].into_iter().chain(utf8_percent_encode(segment, PLAIN)));
    }
    let mut mark = "?";
    for (key, value) in query {
        let Some(value) = value else { continue };
        address.extend([mark, key, "="].into_iter().chain(utf8_percent_encode(value, PLAIN)));
        mark = "&";
    }
    address
}

fn warn_in_clear(url: &str) -> Result<()> {
    let wrong = |why: &str| WrongUsage(format!("\"{url}\" {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("is not an address such as http://127.0.0.1:8002"))?;
    let bare = uri.path().trim_end_matches('/').is_empty();
    ensure!(bare, wrong("has a path: name the operator's port alone"));
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if local => Ok(()),
        Some("http") => {
            eprintln!("bulkhead: warning: the token is sent to {host} unencrypted; use https or a tunnel");
            Ok(())
        }
        _ => bail!(WrongUsage(format!("\"{url}\" must begin with http:// or https://"))),
    }
}

fn read_pem(file: &Path) -> Result<(Vec<Certificate<'static>>, Option<PrivateKey<'static>>)> {
    let text = std::fs::read(file).map(Zeroizing::new).with_context(|| file.display().to_string())?;
    let (mut certificates, mut key) = (Vec::new(), None);
    for item in parse_pem(&text) {
        match item.with_context(|| file.display().to_string())? {
            PemItem::Certificate(certificate) => certificates.push(certificate),
            PemItem::PrivateKey(found) => key = Some(found),
            _ => {}
        }
    }
    ensure!(!certificates.is_empty(), "{} has no certificate in it", file.display());
    Ok((certificates, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment_of_the_path() {
        assert_eq!(address(&["models", "a/b?c"], &[]), "/v1/models/a%2Fb%3Fc");
        assert_eq!(address(&["usage"], &[("tenant", Some("a&b")), ("x", None)]), "/v1/usage?tenant=a%26b");
    }
}
