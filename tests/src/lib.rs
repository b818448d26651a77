//! The harness: starts the real program on free ports, and speaks HTTP to it.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test says what it misses by failing")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// A folder or file that `cargo xtask test` made.
pub fn prepared(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run the tests with `cargo xtask test`"))
}

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A running host. It is killed when the test ends, whichever way.
pub struct Host {
    process: Child,
    pub url: String,
    pub admin_url: String,
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
}

/// How to start a host.
#[derive(Default)]
pub struct Start {
    models: Option<PathBuf>,
    /// Manifests of bundles that are made for this host alone, with the files that they name.
    bundles: Vec<(String, Vec<PathBuf>)>,
    config: String,
}

impl Start {
    pub fn models(mut self, folder: impl Into<PathBuf>) -> Start {
        self.models = Some(folder.into());
        self
    }

    /// A bundle made for this host alone, beside the others or instead of them.
    pub fn bundle(mut self, manifest: &str, files: &[PathBuf]) -> Start {
        self.bundles.push((manifest.to_owned(), files.to_vec()));
        self
    }

    /// TOML.
    pub fn config(mut self, config: &str) -> Start {
        self.config.push_str(config);
        self
    }

    pub fn start(self) -> Result<Host> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("bulkhead.toml");
        std::fs::write(&config, &self.config)?;
        let mut command = Command::new(prepared("BULKHEAD_BINARY"));
        command.args(["serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--config").arg(&config);
        if let Some(models) = &self.models {
            command.arg("--models").arg(models);
        } else if !self.bundles.is_empty() {
            command.arg("--models").arg(folder.path());
        }
        self.make_bundles(folder.path())?;
        Host::spawn(command)
    }

    fn make_bundles(&self, folder: &Path) -> Result<()> {
        for (number, (manifest, files)) in self.bundles.iter().enumerate() {
            let bundle = folder.join(format!("bundle-{number}"));
            std::fs::create_dir(&bundle)?;
            std::fs::write(bundle.join("bundle.toml"), manifest)?;
            for file in files {
                let name = file.file_name().context("a file has a name")?;
                std::fs::copy(file, bundle.join(name)).with_context(|| file.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// The component of one of the workspace's plugins.
pub fn component(name: &str) -> PathBuf {
    prepared("BULKHEAD_COMPONENTS").join(name).with_extension("wasm")
}

/// A bundle of one identity stage over this datatype and shape.
pub fn identity(model: &str, datatype: &str, shape: &[i64]) -> String {
    format!(
        r#"
        [bundle]
        name = "test/{model}"
        version = "1.0.0"
        [[plugin]]
        name = "identity"
        component = "identity.wasm"
        config = {{ datatype = "{datatype}", shape = {shape:?} }}
        [pipeline]
        stages = ["identity"]
        "#
    )
}

impl Host {
    pub fn with_models(folder: impl Into<PathBuf>) -> Result<Host> {
        Start::default().models(folder).start()
    }

    fn spawn(mut command: Command) -> Result<Host> {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let errors = process.stderr.take().context("no standard error")?;
        let log = Arc::new(Mutex::new(String::new()));
        let sink = log.clone();
        let log_reader = std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no standard output")?).read_line(&mut line)?;
        let addresses: Value = serde_json::from_str(&line).with_context(|| log.lock().unwrap().clone())?;
        let url = |key: &str| format!("http://{}", addresses[key].as_str().unwrap_or_default());
        let (url, admin_url) = (url("http"), url("admin"));
        Ok(Host { process, url, admin_url, log, log_reader: Some(log_reader) })
    }

    pub fn get(&self, path: &str) -> Result<Reply> {
        Reply::from(agent().get(format!("{}{path}", self.url)).call()?)
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        let request = agent().post(format!("{}{path}", self.url));
        let request = if content_type.is_empty() { request } else { request.content_type(content_type) };
        Reply::from(request.send(body)?)
    }

    pub fn infer(&self, model: &str, body: &Value) -> Result<Reply> {
        self.post(&format!("/v2/models/{model}/infer"), "application/json", body.to_string().as_bytes())
    }

    pub fn metrics(&self) -> Result<String> {
        Ok(agent().get(format!("{}/metrics", self.admin_url)).call()?.body_mut().read_to_string()?)
    }

    /// What the host has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line of the log contains all of these; the log follows the reply by a moment.
    pub fn wait_for_log(&self, parts: &[&str]) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| parts.iter().all(|part| line.contains(part))) {
                return Ok(line.to_owned());
            }
            if Instant::now() > deadline {
                bail!("no line of the log has {parts:?}:\n{log}");
            }
            std::thread::yield_now();
        }
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) -> Result<()> {
        let status = Command::new("kill").arg(self.process.id().to_string()).status()?;
        if status.success() { Ok(()) } else { bail!("kill: {status}") }
    }

    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
    }
}

/// A host that the tests of a file share: started by the first, stopped with the last.
pub struct Shared {
    start: fn() -> Result<Host>,
    host: Mutex<Weak<Host>>,
}

impl Shared {
    pub const fn new(start: fn() -> Result<Host>) -> Shared {
        Shared { start, host: Mutex::new(Weak::new()) }
    }

    /// Hold it for the whole of a test.
    pub fn get(&self) -> Arc<Host> {
        let mut slot = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        slot.upgrade().unwrap_or_else(|| {
            let host = Arc::new((self.start)().unwrap());
            *slot = Arc::downgrade(&host);
            host
        })
    }
}

/// Looks again and again; an error when it does not hold within some seconds.
pub fn wait_until(holds: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds()? {
        anyhow::ensure!(Instant::now() < deadline, "it never happened");
        std::thread::yield_now();
    }
    Ok(())
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    fn from(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply> {
        let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = response.headers().iter().map(header).collect();
        let mut body = String::new();
        response.body_mut().as_reader().read_to_string(&mut body)?;
        Ok(Reply { status: response.status().as_u16(), headers, body })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The data of an output, which must be there.
    pub fn output(&self, name: &str) -> Vec<Value> {
        let body = self.json();
        let outputs = body["outputs"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let output =
            outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        output["data"].as_array().unwrap_or_else(|| panic!("{self:?}")).clone()
    }
}

fn agent() -> &'static ureq::Agent {
    static AGENT: std::sync::OnceLock<ureq::Agent> = std::sync::OnceLock::new();
    AGENT.get_or_init(|| {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        config.timeout_global(Some(Duration::from_secs(120))).max_idle_connections_per_host(64).build().into()
    })
}
