//! The choice of one version of a model, for requests that name a version or a label, and for those that name none.

use std::sync::Arc;

use semver::Version;

use super::{Entry, LookupError, Model, STABLE, Traits};

impl Model {
    /// Finds a version by its full number, by a label, or by its first numbers, which mean the newest ready version that
    /// begins with them.
    pub(super) fn named(&self, name: &Arc<str>, version: &str) -> Result<(&Version, &Entry), LookupError> {
        if let Some(labelled) = self.routing.labels.get(version) {
            return self.labelled(name, version, labelled);
        }
        let exact = Version::parse(version).ok();
        let served = exact.as_ref().and_then(|exact| self.versions.get_key_value(exact));
        if let Some(found) = served {
            return Ok(found);
        }
        let withheld = exact.and_then(|exact| self.withheld.get_key_value(&exact));
        if let Some(withheld) = withheld {
            return Err(refuse(name, withheld));
        }
        let fits = |candidate: &Version| begins_with(candidate, version);
        self.newest(fits).ok_or_else(|| {
            self.newest_withheld(name, fits).unwrap_or_else(|| LookupError::UnknownVersion {
                model: name.clone(),
                version: version.to_owned(),
                known: self.known(),
            })
        })
    }

    /// The version for a request that names none: by the split, by the label `stable`, or the newest that is no pre-release.
    /// If a split or a label was set and its versions are not served any more, no other version takes their place: its
    /// owner may have rolled back from it.
    pub(super) fn routed(&self, name: &Arc<str>, traits: &Traits) -> Result<(&Version, &Entry), LookupError> {
        let Some(split) = &self.routing.split else { return self.unsplit(name) };
        let chosen = split.choose(traits, |version| self.versions.contains_key(version));
        chosen
            .and_then(|version| self.versions.get_key_value(version))
            .ok_or_else(|| self.route_gone(name, "the split".into(), &split.weights.keys().collect::<Vec<_>>()))
    }

    pub(super) fn unsplit(&self, name: &Arc<str>) -> Result<(&Version, &Entry), LookupError> {
        match self.routing.labels.get(STABLE) {
            Some(version) => self.labelled(name, STABLE, version),
            None => self.newest(is_release).ok_or_else(|| {
                let pre_releases = || LookupError::OnlyPreReleases { model: name.clone(), known: self.known() };
                let withheld = self.newest_withheld(name, is_release);
                let any = || self.newest_withheld(name, |_| self.versions.is_empty());
                withheld.or_else(any).unwrap_or_else(pre_releases)
            }),
        }
    }

    fn labelled(&self, name: &Arc<str>, label: &str, version: &Version) -> Result<(&Version, &Entry), LookupError> {
        let gone = || self.route_gone(name, format!("the label \"{label}\""), &[version]);
        self.versions.get_key_value(version).ok_or_else(gone)
    }

    fn route_gone(&self, name: &Arc<str>, route: String, versions: &[&Version]) -> LookupError {
        let because = |version: &&Version| Some(format!("{version}: {}", self.withheld.get(*version)?));
        let reasons: Vec<String> = versions.iter().filter_map(because).collect();
        let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
        let versions = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        LookupError::RouteGone { model: name.clone(), route, versions, reasons, known: self.known() }
    }

    /// The refusal of a request for the newest version of those that match and are withheld.
    fn newest_withheld(&self, name: &Arc<str>, among: impl Fn(&Version) -> bool) -> Option<LookupError> {
        let newest = self.withheld.iter().rev().find(|(version, _)| among(version));
        newest.map(|withheld| refuse(name, withheld))
    }

    /// The versions, and the labels that lead to one of them; `none` if there are none.
    fn known(&self) -> String {
        let live = |(label, version): (&String, &Version)| self.versions.contains_key(version).then(|| label.clone());
        let versions = self.versions.keys().map(Version::to_string);
        let known: Vec<String> = versions.chain(self.routing.labels.iter().filter_map(live)).collect();
        if known.is_empty() { "none".into() } else { known.join(", ") }
    }

    /// The newest ready version of those that match, or the newest of them if none is ready.
    fn newest(&self, among: impl Fn(&Version) -> bool) -> Option<(&Version, &Entry)> {
        let mut some = self.versions.iter().rev().filter(|(version, _)| among(version));
        some.clone().find(|(_, entry)| entry.ready().is_some()).or_else(|| some.next())
    }
}

fn refuse(model: &Arc<str>, (version, reason): (&Version, &Arc<str>)) -> LookupError {
    LookupError::Withheld { model: model.clone(), version: version.to_string(), reason: reason.clone() }
}

fn is_release(version: &Version) -> bool {
    version.pre.is_empty()
}

/// True if `text` is the major number of a version, or its major and minor number: clients of other servers know versions
/// only as numbers. Pre-releases never match.
fn begins_with(version: &Version, text: &str) -> bool {
    let (major, minor) = text.split_once('.').map_or((text, None), |(major, minor)| (major, Some(minor)));
    let same = |text: &str, number: u64| text.parse() == Ok(number);
    same(major, version.major) && minor.is_none_or(|minor| same(minor, version.minor)) && version.pre.is_empty()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Routing, Split, Sticky};
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// A model with these versions, all being loaded, and these labels.
    fn model(versions: &[&str], labels: &[(&str, &str)], split: &[&str]) -> Model {
        let labels = labels.iter().map(|(label, text)| (label.to_string(), version(text))).collect();
        let weights: BTreeMap<_, _> = split.iter().map(|text| (version(text), 1)).collect();
        let split = (!weights.is_empty()).then_some(Split { weights, sticky: Sticky::Nothing });
        Model {
            versions: versions.iter().map(|text| (version(text), Entry::Loading)).collect(),
            routing: Arc::new(Routing { labels, split, shadow: None }),
            ..Model::default()
        }
    }

    fn routed(model: &Model) -> Result<String, String> {
        let traits = Traits { tenant: "a", header: &|_| None };
        let found = model.routed(&"digits".into(), &traits);
        found.map(|(version, _)| version.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_pre_release_serves_only_those_who_name_it() {
        let both = model(&["1.0.0", "1.1.0-rc.1"], &[], &[]);
        assert_eq!(routed(&both).unwrap(), "1.0.0");
        assert_eq!(both.named(&"digits".into(), "1").unwrap().0, &version("1.0.0"));
        assert_eq!(both.named(&"digits".into(), "1.1.0-rc.1").unwrap().0, &version("1.1.0-rc.1"));
        let refused = routed(&model(&["1.1.0-rc.1"], &[], &[])).unwrap_err();
        assert!(refused.contains("pre-releases only") && refused.contains("1.1.0-rc.1"), "{refused}");
        let labelled = model(&["1.0.0", "1.1.0-rc.1"], &[("stable", "1.1.0-rc.1")], &[]);
        assert_eq!(routed(&labelled).unwrap(), "1.1.0-rc.1", "its owner named it");
    }

    #[test]
    fn no_other_version_takes_the_place_of_one_that_is_gone() {
        let stable = model(&["1.0.0", "2.0.0"], &[("stable", "1.5.0"), ("canary", "2.0.0")], &[]);
        let refused = routed(&stable).unwrap_err();
        assert!(refused.contains("the label \"stable\" names 1.5.0, which is not served"), "{refused}");
        assert!(refused.ends_with("It has: 1.0.0, 2.0.0, canary"), "{refused}");
        assert!(stable.named(&"digits".into(), "stable").is_err());
        assert_eq!(stable.named(&"digits".into(), "canary").unwrap().0, &version("2.0.0"));
        let half = model(&["1.0.0", "3.0.0"], &[], &["1.0.0", "2.0.0"]);
        for _ in 0..50 {
            assert_eq!(routed(&half).unwrap(), "1.0.0", "the rest of the split takes its share");
        }
        let refused = routed(&model(&["3.0.0"], &[], &["1.0.0", "2.0.0"])).unwrap_err();
        assert!(refused.contains("the split names 1.0.0 and 2.0.0"), "{refused}");
    }

    #[test]
    fn what_is_withheld_is_refused_with_its_reason() {
        let mut model = model(&["1.0.0"], &[("stable", "2.0.0")], &[]);
        model.withheld =
            [(version("2.0.0"), "revoked: it steals".into()), (version("3.0.0-rc.1"), "revoked".into())].into();
        let refused = routed(&model).unwrap_err();
        assert!(refused.contains("not served any more (2.0.0: revoked: it steals), and"), "{refused}");
        let named = |text: &str| model.named(&"digits".into(), text).map(|(version, _)| version.to_string());
        for text in ["2.0.0", "2", "2.0"] {
            let refused = named(text).unwrap_err().to_string();
            assert_eq!(refused, "model \"digits\" version 2.0.0 is not served any more: revoked: it steals");
        }
        assert_eq!(named("1").unwrap(), "1.0.0");
        assert!(matches!(named("3"), Err(LookupError::UnknownVersion { .. })), "a pre-release is named in full");
        let unlabelled = |versions: &[&str]| Model {
            versions: versions.iter().map(|text| (version(text), Entry::Loading)).collect(),
            routing: Arc::default(),
            ..model.clone()
        };
        assert_eq!(routed(&unlabelled(&["1.0.0"])).unwrap(), "1.0.0", "nobody chose another one");
        for left in [&[][..], &["3.1.0-rc.1"]] {
            assert!(
                routed(&unlabelled(left)).unwrap_err().contains("version 2.0.0 is not served any more: revoked: it")
            );
        }
    }
}
