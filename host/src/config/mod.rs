//! The configuration: one struct with a default for every key. A file overrides the defaults, and flags override the file.
//! Unknown keys and all other mistakes are reported together.

mod address;
mod limits;
mod listen;
mod log;
mod log_level;
mod machine;
mod reader;
mod tls;
mod units;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reader::Section;

pub use address::parse_address;
pub use limits::{CallLimits, LIMITS, Limit, TenantLimits};
pub use listen::{Listen, PlainAdmin};
pub use log::{Log, LogFormat};
pub use log_level::parse_directives;
pub use reader::ConfigErrors;
pub use tls::{Tls, TlsFiles};
pub use units::{clip, format_bytes, format_count, parse_bytes, parse_count, parse_duration};

#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the state: bundles, publishers, tenants, the audit log. The default is `bulkhead-data`, or with `dev` a
    /// folder that is removed when the host ends.
    pub data: Option<PathBuf>,
    /// A folder of bundle folders to serve, signed or not. It requires `dev`.
    pub models: Option<PathBuf>,
    /// Serves unsigned bundles, on loopback only. It is a flag and not a key, so that no file leaves it on.
    pub dev: bool,
    pub listen: Listen,
    pub tls: Tls,
    pub http: Http,
    /// Limits of one call, from its first stage to its last.
    pub call: CallLimits,
    /// Limits of the activation of one plugin: of its `init`, and of each of its trials.
    pub init: CallLimits,
    pub compute: Compute,
    pub compile: Compile,
    pub graphs: Graphs,
    /// Limits of a tenant, unless the operator gave it limits of its own.
    pub tenant: TenantLimits,
    pub auth: Auth,
    pub bundles: Bundles,
    /// Entries of the audit log that stay in the database; older ones are moved to files.
    pub audit_entries: u64,
    /// Time for which the host serves on after a shutdown was requested, though it reports that it is not ready.
    pub drain: Duration,
    /// Time that running calls have to finish after that.
    pub grace: Duration,
    pub log: Log,
}

/// Limits of clients' connections, requests and replies.
#[derive(Clone, Debug)]
pub struct Http {
    pub request_bytes: u64,
    pub reply_bytes: u64,
    /// Time from a connection's first byte to the end of a request's header.
    pub header_time: Duration,
    /// Time from the header to the last byte of the body.
    pub body_time: Duration,
    /// Time that a client may take to accept a piece of a reply.
    pub reply_time: Duration,
    /// Connections of clients, over HTTP and gRPC together.
    pub connections: usize,
    /// Bytes of bodies that have arrived and of replies that were not sent yet, of all connections together.
    pub buffered_bytes: u64,
    /// Origins of web pages that may call the clients' port, as browsers write them, or `*` for every one.
    pub cors_origins: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Compute {
    pub threads: usize,
    /// Calls in progress at once, without paused streams; each may hold `call.memory`.
    pub concurrency: usize,
    /// Calls that may wait for a slot; further ones are refused with 503.
    pub queue: usize,
    /// Streams that may be open at once; each may hold `call.memory`.
    pub streams: usize,
    /// Time that a call may wait for a slot; one that waits longer is refused with 503.
    pub queue_time: Duration,
    /// Bytes of stack that a call of a plugin may use.
    pub stack: u64,
    /// Bytes of the largest component that is compiled.
    pub component_bytes: u64,
}

/// Limits of the child process in which a component is compiled, or a graph loaded, before the host touches it.
#[derive(Clone, Debug)]
pub struct Compile {
    /// Bound on the processor time of all of its threads together: a machine that is busy with other work refuses nothing.
    pub time: Duration,
    pub memory: u64,
    /// Bytes of all compiled code that is kept for the next start.
    pub cache_bytes: u64,
}

/// The longest time that a child may take, as a multiple of the processor time that it may use.
pub const WALL_SHARE: u32 = 5;

impl Compile {
    /// The longest time that a child may take, which ends one that waits.
    pub fn longest(&self) -> Duration {
        self.time.saturating_mul(WALL_SHARE)
    }
}

/// Rules for requests without a key.
#[derive(Clone, Debug)]
pub struct Auth {
    pub anonymous: Anonymous,
    /// Names by which clients without a key may address the host, besides its addresses and names of its own network.
    pub hosts: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Graphs {
    pub isolation: Isolation,
}

/// The place where native graphs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In a confined process for each tenant, which the host ends when a call is over its time.
    Process,
    /// In the host's process, where an operator of a graph cannot be ended: for graphs that are all the operator's own.
    None,
}

/// Clients that may call without a key, as the tenant `default`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    Nobody,
    /// Connections from this machine.
    Loopback,
    Everybody,
}

/// Limits of uploads, and of the memory that loaded versions hold.
#[derive(Clone, Debug)]
pub struct Bundles {
    /// Bytes of the largest archive.
    pub upload_bytes: u64,
    /// Most bytes that an archive may unpack to.
    pub unpacked_bytes: u64,
    /// Most files in an archive.
    pub files: usize,
    /// Uploads that are unpacked and activated at once; each may hold `unpacked-bytes` of memory. Others wait.
    pub uploads: usize,
    /// Time from the request's header to the last byte of the archive.
    pub upload_time: Duration,
    /// Bytes of memory that the loaded versions of all tenants may hold together.
    pub resident_bytes: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let http = Http {
            request_bytes: 64 * MIB,
            reply_bytes: 64 * MIB,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            reply_time: Duration::from_secs(60),
            connections: 16_384,
            buffered_bytes: GIB,
            cors_origins: Vec::new(),
        };
        let call = CallLimits { fuel: 10_000_000_000, memory: 256 * MIB, time: Duration::from_secs(10), log: 64 * KIB };
        Config {
            data: None,
            models: None,
            dev: false,
            listen: Listen {
                http: loopback(8000),
                grpc: loopback(8001),
                admin: loopback(8002),
                plain_admin: PlainAdmin::Warn,
            },
            tls: Tls::default(),
            tenant: TenantLimits::of_host(&call, &http),
            auth: Auth { anonymous: Anonymous::Loopback, hosts: Vec::new() },
            bundles: Bundles {
                upload_bytes: 512 * MIB,
                unpacked_bytes: GIB,
                files: 10_000,
                uploads: 2,
                upload_time: Duration::from_secs(600),
                resident_bytes: machine::memory() / 2,
            },
            http,
            call,
            init: CallLimits { fuel: 100_000_000_000, memory: 256 * MIB, time: Duration::from_secs(60), log: 64 * KIB },
            compute: Compute {
                threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
                concurrency: 32,
                queue: 1024,
                streams: 256,
                queue_time: Duration::from_secs(10),
                stack: 512 * KIB,
                component_bytes: 64 * MIB,
            },
            compile: Compile { time: Duration::from_secs(120), memory: 2 * GIB, cache_bytes: 8 * GIB },
            graphs: Graphs { isolation: Isolation::Process },
            audit_entries: 100_000,
            drain: Duration::ZERO,
            grace: Duration::from_secs(20),
            log: Log { level: "info".into(), format: LogFormat::Text },
        }
    }
}

impl Compute {
    /// Slots in addition to `concurrency`, for tenants that hold none. With them, as many such tenants find a slot even if
    /// others hold all of `concurrency`.
    pub fn newcomers(&self) -> usize {
        self.concurrency
    }

    /// Compute threads in addition to `threads`, for tenants of which no call computes. The others may be waiting for graphs
    /// or be in the middle of a time slice, and the system shares the cores between all of them.
    pub fn newcomer_threads(&self) -> usize {
        self.threads
    }
}

impl Config {
    /// The defaults, overridden by a TOML file. A relative path in the file starts at the file's folder.
    pub fn from_file(path: &Path) -> Result<Config, ConfigErrors> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigErrors::one(format!("cannot be read: {error}")).named(path))?;
        let mut config = Config::from_toml(&text).map_err(|mistakes| mistakes.named(path))?;
        if let Some(folder) = path.parent() {
            config.models = config.models.map(|models| folder.join(models));
            config.data = config.data.map(|data| folder.join(data));
            config.tls.in_folder(folder);
        }
        Ok(config)
    }

    /// Checks that a folder of models is served with `dev` only, and that `dev` listens on loopback only, because unsigned
    /// bundles are for the user of this machine.
    pub fn check_dev(&self) -> Result<(), ConfigErrors> {
        if !self.dev {
            return match &self.models {
                None => Ok(()),
                Some(_) => Err(ConfigErrors::one(
                    "models: a folder can hold unsigned bundles, and is served with --dev only; without --dev, upload bundles with bulkhead bundle push".into(),
                )),
            };
        }
        match self.listen.all().into_iter().find(|(_, address)| !address.ip().is_loopback()) {
            None => Ok(()),
            Some((key, address)) => Err(ConfigErrors::one(format!(
                "{key}: with --dev, which serves unsigned bundles, the host listens on loopback only, and {address} is not a loopback address"
            ))),
        }
    }

    /// True if other machines can reach the operator's port, and what is sent there can be read on the way.
    pub fn is_admin_plain(&self) -> bool {
        self.tls.admin.is_none() && !self.listen.admin.ip().to_canonical().is_loopback()
    }

    /// Checks that the operator's port has TLS where `listen.plain-admin` demands it.
    pub fn check_admin(&self) -> Result<(), ConfigErrors> {
        match self.listen.plain_admin {
            PlainAdmin::Refuse if self.is_admin_plain() => Err(ConfigErrors::one(format!(
                "listen.admin: other machines can reach {}, and it has no TLS, which listen.plain-admin = \"refuse\" forbids: set [tls.admin], or listen on loopback",
                self.listen.admin
            ))),
            _ => Ok(()),
        }
    }

    pub fn from_toml(text: &str) -> Result<Config, ConfigErrors> {
        let mut config = Config::default();
        let mut file = Section::parse(text)?;
        file.path("data", &mut config.data);
        file.path("models", &mut config.models);
        file.section("listen", |s| config.listen.read(s));
        file.section("tls", |s| config.tls.read(s));
        file.section("http", |s| {
            s.bytes("request-bytes", 1..=4 << 30, &mut config.http.request_bytes);
            s.bytes("reply-bytes", 1..=4 << 30, &mut config.http.reply_bytes);
            s.duration("header-time", &mut config.http.header_time);
            s.duration("body-time", &mut config.http.body_time);
            s.duration("reply-time", &mut config.http.reply_time);
            s.bytes("buffered-bytes", MIB..=1 << 40, &mut config.http.buffered_bytes);
            s.number("connections", 1..=1_000_000, &mut config.http.connections);
            s.origins("cors-origins", &mut config.http.cors_origins);
        });
        file.section("call", |s| config.call.read(s));
        file.section("init", |s| config.init.read(s));
        file.section("compute", |s| {
            s.number("threads", 1..=1024, &mut config.compute.threads);
            s.number("concurrency", 1..=1024, &mut config.compute.concurrency);
            s.number("queue", 0..=1_000_000, &mut config.compute.queue);
            s.number("streams", 1..=4096, &mut config.compute.streams);
            s.duration("queue-time", &mut config.compute.queue_time);
            s.bytes("stack", 64 * KIB..=64 * MIB, &mut config.compute.stack);
            s.bytes("component-bytes", KIB..=1 << 30, &mut config.compute.component_bytes);
        });
        file.section("compile", |s| {
            s.duration("time", &mut config.compile.time);
            s.bytes("memory", 128 * MIB..=64 * GIB, &mut config.compile.memory);
            s.bytes("cache-bytes", 0..=1 << 40, &mut config.compile.cache_bytes);
        });
        file.section("graphs", |s| {
            let choices = [("process", Isolation::Process), ("none", Isolation::None)];
            s.choice("isolation", &choices, &mut config.graphs.isolation);
        });
        file.section("tenant", |s| config.tenant.read(s));
        file.section("auth", |s| {
            let choices =
                [("nobody", Anonymous::Nobody), ("loopback", Anonymous::Loopback), ("everybody", Anonymous::Everybody)];
            s.choice("anonymous", &choices, &mut config.auth.anonymous);
            s.host_names("hosts", &mut config.auth.hosts);
        });
        file.section("bundles", |s| {
            s.bytes("upload-bytes", KIB..=64 * GIB, &mut config.bundles.upload_bytes);
            s.bytes("unpacked-bytes", KIB..=64 * GIB, &mut config.bundles.unpacked_bytes);
            s.number("files", 1..=1_000_000, &mut config.bundles.files);
            s.number("uploads", 1..=64, &mut config.bundles.uploads);
            s.duration("upload-time", &mut config.bundles.upload_time);
            s.bytes("resident-bytes", MIB..=1 << 50, &mut config.bundles.resident_bytes);
        });
        file.section("audit", |s| s.count("entries", 100..=1 << 32, &mut config.audit_entries));
        file.section("shutdown", |s| {
            s.duration_or_none("drain", &mut config.drain);
            s.duration("grace", &mut config.grace);
        });
        file.section("log", |s| config.log.read(s));
        file.finish()?;
        // The host's limits of calls, requests and replies are the defaults of each tenant.
        config.tenant.inherit(&config.call, &config.http);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        let config = Config::from_toml("").unwrap();
        assert_eq!(config.listen.http.port(), 8000);
        assert_eq!(config.call, Config::default().call);
    }

    #[test]
    fn units_are_human() {
        let text = "[call]\nfuel = '2.5 G'\nmemory = '64 MiB'\ntime = '1m 30s'\nlog = 4096";
        let call = Config::from_toml(text).unwrap().call;
        let limits = CallLimits { fuel: 2_500_000_000, memory: 64 << 20, time: Duration::from_secs(90), log: 4096 };
        assert_eq!(call, limits);
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let text = "model = 'x'\n[call]\nfuel = -1\nmemory = '64 Mb/s'\ntimes = '1s'\n[listen]\nhttp = 'here'\n[log]\nformat = 'xml'";
        let mistakes = Config::from_toml(text).unwrap_err().to_string();
        for part in [
            "there is no key \"model\"; did you mean \"models\"?",
            "did you mean \"models\"?",
            "call.fuel",
            "call.memory",
            "there is no key \"times\" of [",
            "listen.http",
            "log.format",
        ] {
            assert!(mistakes.contains(part), "{part} not in:\n{mistakes}");
        }
    }
}
