//! What a caller may do beyond calling models. The one place to ask.

use axum::http::request::Parts;

use super::App;
use super::refusal::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// Loading and unloading models.
    Repository,
    /// The host's own settings.
    Settings,
}

impl Power {
    fn what(self) -> &'static str {
        match self {
            Power::Repository => "loading and unloading models",
            Power::Settings => "looking at and changing the host's settings",
        }
    }
}

impl App {
    /// Whether the sender of this request, who came to the clients' port, has a power. The operator's port asks nobody.
    pub(super) fn check_power(&self, _head: &Parts, power: Power) -> Result<(), Problem> {
        match power {
            // Loading what is loaded does nothing, and unloading is refused: anybody may try.
            Power::Repository => Ok(()),
            Power::Settings => Err(Problem::NotAllowed { what: power.what() }),
        }
    }
}
