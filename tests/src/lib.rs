//! Test harness: starts the real program on free ports and sends HTTP requests to it.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test says what it misses by failing")]

mod document;
pub mod frames;
mod program;
mod publisher;
mod reply;
pub mod sockets;
mod start;

pub use document::{Block, Reader, blocks};
pub use program::{Program, finish, succeed};
pub use publisher::{Draft, Publisher, pack};
pub use reply::Reply;
pub use start::Start;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reply::agent;
use serde_json::Value;

/// The path of a folder or file that `cargo xtask test` prepared, taken from an environment variable.
pub fn prepared(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{variable} is not set: run the tests with `cargo xtask test`"))
}

/// The root of the repository. Cargo runs tests in their package's folder, so the path does not depend on where they were
/// built.
pub fn repository() -> PathBuf {
    std::path::absolute("..").unwrap_or_else(|_| "..".into())
}

/// A running host. It is killed when the value is dropped.
pub struct Host {
    process: Child,
    pub url: String,
    /// Address of the gRPC port, as `host:port`.
    pub grpc: String,
    pub admin_url: String,
    /// The admin token, which the operator's port requires.
    pub token: String,
    place: Place,
    log: Arc<Mutex<String>>,
    log_reader: Option<JoinHandle<()>>,
    /// Standard error, if nobody reads it.
    _unread: Option<ChildStderr>,
}

/// Folders that are removed together with the last host that uses them.
struct Place {
    data: PathBuf,
    /// Keeps the data folder alive; `None` if the test made the folder itself.
    state: Option<Arc<tempfile::TempDir>>,
    _own: Arc<tempfile::TempDir>,
}

/// The component of one of the workspace's plugins.
pub fn component(name: &str) -> PathBuf {
    prepared("BULKHEAD_COMPONENTS").join(name).with_extension("wasm")
}

/// The manifest and the files of a hostile bundle, found by the name of its case.
pub fn hostile(case: &str) -> Result<(String, Vec<PathBuf>)> {
    bundle_in(&prepared("BULKHEAD_HOSTILE").join(case))
}

/// The manifest and the files of an example's bundle.
pub fn example(name: &str) -> Result<(String, Vec<PathBuf>)> {
    bundle_in(&prepared("BULKHEAD_MODELS").join(name))
}

fn bundle_in(folder: &Path) -> Result<(String, Vec<PathBuf>)> {
    let manifest = std::fs::read_to_string(folder.join("bundle.toml"))?;
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok((manifest, files.into_iter().filter(|file| file.file_name() != Some("bundle.toml".as_ref())).collect()))
}

/// The manifest of a bundle with one identity stage of this datatype and shape.
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

/// The manifest of an identity model over rows of scores, whose bundle labels the classes "0", "1" and so on.
pub fn labelled() -> String {
    format!("{}\nlabels = {{ output = \"labels.txt\" }}\n", identity("labelled", "FP32", &[-1, 4]))
}

pub fn labelled_files() -> [PathBuf; 2] {
    [component("identity"), repository().join("examples/digits/labels.txt")]
}

impl Host {
    pub fn with_models(folder: impl Into<PathBuf>) -> Result<Host> {
        Start::default().models(folder).start()
    }

    fn spawn(mut command: Command, place: Place, is_read: bool) -> Result<Host> {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let errors = process.stderr.take().context("no standard error")?;
        let log = Arc::new(Mutex::new(String::new()));
        let sink = log.clone();
        let (read, _unread) = if is_read { (Some(errors), None) } else { (None, Some(errors)) };
        let log_reader = std::thread::spawn(move || {
            for line in read.into_iter().flat_map(|errors| BufReader::new(errors).lines()).map_while(Result::ok) {
                let mut log = sink.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no standard output")?).read_line(&mut line)?;
        if line.is_empty() {
            // The process has ended, so its log is complete.
            process.wait()?;
            let _ = log_reader.join();
            bail!("{}", log.lock().unwrap().trim_end());
        }
        let addresses: Value = serde_json::from_str(&line).with_context(|| log.lock().unwrap().clone())?;
        let url = |key: &str| format!("http://{}", addresses[key].as_str().unwrap_or_default());
        let (url, admin_url) = (url("http"), url("admin"));
        let grpc = addresses["grpc"].as_str().unwrap_or_default().to_owned();
        let token = std::fs::read_to_string(place.data.join("admin.token"))?.trim().to_owned();
        Ok(Host { process, url, grpc, admin_url, token, place, log, log_reader: Some(log_reader), _unread })
    }

    pub fn get(&self, path: &str) -> Result<Reply> {
        Reply::from(agent().get(format!("{}{path}", self.url)).call()?)
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        let request = agent().post(format!("{}{path}", self.url));
        let request = if content_type.is_empty() { request } else { request.content_type(content_type) };
        Reply::from(request.send(body)?)
    }

    /// Posts to the clients' port with these headers.
    pub fn send(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
        let request = agent().post(format!("{}{path}", self.url));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Reply::from(request.send(body)?)
    }

    pub fn infer(&self, model: &str, body: &Value) -> Result<Reply> {
        self.post(&format!("/v2/models/{model}/infer"), "application/json", body.to_string().as_bytes())
    }

    /// GET on the operator's port, with the admin token.
    pub fn admin_get(&self, path: &str) -> Result<Reply> {
        self.admin("GET", path, &Value::Null)
    }

    /// POST on the operator's port, with the admin token.
    pub fn admin_post(&self, path: &str, body: &Value) -> Result<Reply> {
        self.admin("POST", path, body)
    }

    pub fn metrics(&self) -> Result<String> {
        let reply = self.admin("GET", "/metrics", &Value::Null)?;
        anyhow::ensure!(reply.status == 200, "{reply:?}");
        Ok(reply.body)
    }

    /// Sends a request to the operator's port, with the admin token.
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Result<Reply> {
        self.admin_as(&self.token, method, path, body)
    }

    /// Sends a request to the operator's port with this key. A body of `null` means an empty body.
    pub fn admin_as(&self, key: &str, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, &format!("{}{path}", self.admin_url), key, "application/json", body.as_bytes())
    }

    /// Sends a request to the clients' port with this key. A body of `null` means an empty body.
    pub fn ask_as(&self, key: &str, method: &str, path: &str, body: &Value) -> Result<Reply> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.ask(method, &format!("{}{path}", self.url), key, "application/json", body.as_bytes())
    }

    /// Uploads an archive; the reply contains only the outcome.
    pub fn upload(&self, key: &str, tenant: &str, archive: &[u8]) -> Result<Reply> {
        let tenant = if tenant.is_empty() { String::new() } else { format!("?tenant={tenant}") };
        self.ask("POST", &format!("{}/v1/bundles{tenant}", self.admin_url), key, "application/x-tar", archive)
    }

    /// Uploads an archive and returns every reported step, the outcome last.
    pub fn upload_steps(&self, key: &str, archive: &[u8]) -> Result<Vec<Value>> {
        let request = ureq::http::Request::post(format!("{}/v1/bundles", self.admin_url));
        let request = request.header("accept", "application/x-ndjson").header("authorization", format!("Bearer {key}"));
        let reply = Reply::from(agent().run(request.body(archive)?)?)?.ok()?;
        reply.body.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Creates a tenant with these limits.
    pub fn tenant(&self, name: &str, limits: &Value) -> Result<()> {
        self.admin("POST", "/v1/tenants", &serde_json::json!({ "name": name, "limits": limits }))?.ok().map(drop)
    }

    pub fn limit(&self, tenant: &str, limits: &Value) -> Result<()> {
        self.admin("PATCH", &format!("/v1/tenants/{tenant}/limits"), limits)?.ok().map(drop)
    }

    /// Creates a key of a tenant and returns it.
    pub fn key(&self, tenant: &str, role: &str) -> Result<String> {
        let made = self.admin("POST", &format!("/v1/tenants/{tenant}/keys"), &serde_json::json!({ "role": role }))?;
        Ok(made.ok()?.json()["key"].as_str().context("no key")?.to_owned())
    }

    /// Sends the scalar 1.0 to a model with this input. An empty key means a request without a key.
    pub fn call(&self, key: &str, model: &str, input: &str) -> Result<Reply> {
        let tensor = serde_json::json!({ "name": input, "datatype": "FP32", "shape": [1], "data": [1.0] });
        self.ask_as(key, "POST", &format!("/v2/models/{model}/infer"), &serde_json::json!({ "inputs": [tensor] }))
    }

    /// The version that answers for an identity model. `model` may contain a version or a label, as in `echo/versions/1`.
    pub fn version(&self, key: &str, model: &str) -> Result<String> {
        let reply = self.call(key, model, "input")?.ok()?;
        Ok(reply.json()["model_version"].as_str().context("no version")?.to_owned())
    }

    /// The value of a metric, named with its labels; 0 if the metric is absent.
    pub fn metric(&self, name: &str) -> Result<u64> {
        let metrics = self.metrics()?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counters are whole, and not negative"
        )]
        let whole = |value: f64| value as u64;
        Ok(whole(value.map_or(Ok(0.0), str::parse::<f64>)?))
    }

    /// The live child processes of the host.
    pub fn children(&self) -> Result<Vec<u32>> {
        let mut children = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread may end in the meantime.
            let known = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
            children.extend(known.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        Ok(children)
    }

    /// Resident memory of the host, in bytes.
    pub fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Peak resident memory of the host and of the processes that run graphs now, in bytes.
    pub fn peak_memory_with_runners(&self) -> Result<u64> {
        let mut sum = self.peak_memory()?;
        for runner in self.children()? {
            sum += status_of(runner, "VmHWM:")?;
        }
        Ok(sum)
    }

    /// Peak resident memory of the host, in bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// The names of the host's threads, and how many have each. A thread that ends meanwhile is left out.
    pub fn threads(&self) -> Result<BTreeMap<String, usize>> {
        let mut names = BTreeMap::new();
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            if let Ok(name) = std::fs::read_to_string(thread?.path().join("comm")) {
                *names.entry(name.trim().to_owned()).or_default() += 1;
            }
        }
        Ok(names)
    }

    /// Number of files and connections that the host has open.
    pub fn open_files(&self) -> Result<usize> {
        self.entries_of("fd")
    }

    fn entries_of(&self, folder: &str) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/{folder}", self.process.id()))?.count())
    }

    fn status(&self, key: &'static str) -> Result<u64> {
        status_of(self.process.id(), key)
    }

    /// Names of the files in a folder below the data folder.
    pub fn files_of(&self, folder: &str) -> Result<Vec<String>> {
        let entries = std::fs::read_dir(self.place.data.join(folder))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    /// Sends any request, to either port. An empty key means a request without a key.
    pub fn ask(&self, method: &str, url: &str, key: &str, content_type: &str, body: &[u8]) -> Result<Reply> {
        let mut request = ureq::http::Request::builder().method(method).uri(url).header("content-type", content_type);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        Reply::from(agent().run(request.body(body)?)?)
    }

    /// The data folder of the host.
    pub fn data(&self) -> &Path {
        &self.place.data
    }

    /// Kills the process, as a power cut would end it.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Kills the process while other threads still use the host. The caller must still call [`Host::kill`] or drop the
    /// host, so that the process is reaped.
    pub fn kill_now(&self) -> Result<()> {
        let status = Command::new("kill").args(["-KILL", &self.process.id().to_string()]).status()?;
        if status.success() { Ok(()) } else { bail!("kill: {status}") }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until one line of the log contains all of these parts: a line may be written a moment after the reply.
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

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) -> Result<()> {
        self.signal("TERM")
    }

    /// Sends a signal by its short name.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status()?;
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

/// A host that the tests of one file share: the first test starts it, and it stops when the last test drops it.
pub struct Shared {
    start: fn() -> Result<Host>,
    host: Mutex<Weak<Host>>,
}

impl Shared {
    pub const fn new(start: fn() -> Result<Host>) -> Shared {
        Shared { start, host: Mutex::new(Weak::new()) }
    }

    /// The shared host. Hold it for the whole test.
    pub fn get(&self) -> Arc<Host> {
        let mut slot = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        slot.upgrade().unwrap_or_else(|| {
            let host = Arc::new((self.start)().unwrap());
            *slot = Arc::downgrade(&host);
            host
        })
    }
}

/// A number of bytes in the system's report about a process.
fn status_of(process: u32, key: &'static str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(key)).context(key)?;
    Ok(line.split_whitespace().nth(1).context("no number")?.parse::<u64>()? * 1024)
}

/// Polls until the condition holds; an error if it does not hold within 10 seconds.
pub fn wait_until(holds: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds()? {
        anyhow::ensure!(Instant::now() < deadline, "it never happened");
        std::thread::yield_now();
    }
    Ok(())
}
