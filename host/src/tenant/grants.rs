//! Capabilities that a plugin may import beyond tensors and the inert part of WASI. The bundle asks for them, and the
//! operator grants them.

use std::collections::BTreeSet;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Capability {
    /// Files of the plugin's own bundle.
    Assets,
    /// Lines in the host's log.
    Logging,
    /// Native inference on the bundle's graphs.
    Graphs,
    /// The time of day and a monotonic clock.
    Clocks,
    /// Random numbers fit for secrets.
    Random,
}

impl Capability {
    pub const ALL: [Capability; 5] =
        [Capability::Assets, Capability::Logging, Capability::Graphs, Capability::Clocks, Capability::Random];

    /// The name in a manifest's `imports`.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Assets => "assets",
            Capability::Logging => "logging",
            Capability::Graphs => "graphs",
            Capability::Clocks => "clocks",
            Capability::Random => "random",
        }
    }

    pub fn from_name(name: &str) -> Option<Capability> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

impl TryFrom<String> for Capability {
    type Error = String;

    fn try_from(name: String) -> Result<Capability, String> {
        Capability::from_name(&name).ok_or_else(|| {
            let known = Capability::ALL.map(Capability::name).join(", ");
            format!("there is no import \"{name}\"; the imports are {known}")
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The capabilities that one plugin was granted; none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grants(BTreeSet<Capability>);

impl Grants {
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|capability| capability.name()).collect();
        f.write_str(if names.is_empty() { "none".into() } else { names.join(", ") }.as_str())
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Grants(capabilities.into_iter().collect())
    }
}
