//! The outer layer of `bundle.sig`. Only its payload is signed, so nothing else in it is trusted: anything beyond one key
//! hint and one signature is refused.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::error::Refused;
use crate::path::shown;
use crate::{Bounds, Files, KeyHint, PublicKey, SIGNATURE};

pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    media_type: Cow<'a, str>,
    verification_material: Material,
    dsse_envelope: Dsse<'a>,
}

/// A Sigstore bundle may contain certificates, log entries and time stamps. This crate does not check them, so accepting
/// them would suggest that they were checked.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Material {
    public_key: Option<KeyName>,
    #[serde(default, serialize_with = "empty_list")]
    tlog_entries: Vec<IgnoredAny>,
    #[serde(default, skip_serializing)]
    certificate: Option<IgnoredAny>,
    #[serde(default, skip_serializing)]
    x509_certificate_chain: Option<IgnoredAny>,
    #[serde(default, skip_serializing)]
    timestamp_verification_data: Option<IgnoredAny>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyName {
    hint: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Dsse<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    payload_type: Cow<'a, str>,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    sig: String,
    /// The signer's own remark, which is ignored: the hint names the key.
    #[serde(default)]
    keyid: String,
}

impl<'a> Envelope<'a> {
    pub(super) fn new(hint: KeyHint, payload: &[u8], signature: &[u8]) -> Envelope<'a> {
        Envelope {
            media_type: MEDIA_TYPE.into(),
            verification_material: Material {
                public_key: Some(KeyName { hint: Some(hint.to_string()) }),
                tlog_entries: Vec::new(),
                certificate: None,
                x509_certificate_chain: None,
                timestamp_verification_data: None,
            },
            dsse_envelope: Dsse {
                payload: STANDARD.encode(payload).into(),
                payload_type: PAYLOAD_TYPE.into(),
                signatures: vec![Signature { sig: STANDARD.encode(signature), keyid: String::new() }],
            },
        }
    }

    /// Reads `bundle.sig` within its bound. The structure of the types bounds the depth of the JSON.
    pub(super) fn read(files: &'a Files, bounds: &Bounds) -> Result<Envelope<'a>, Refused> {
        let content = files.get(SIGNATURE).ok_or(Refused::NoSignature)?;
        let (bytes, bound) = (content.len() as u64, bounds.signature_bytes);
        if bytes > bound {
            return Err(Refused::Oversized { bytes, bound });
        }
        let envelope: Envelope<'_> =
            serde_json::from_slice(content).map_err(|error| Refused::Envelope(shown(error.to_string().as_bytes())))?;
        envelope.check()?;
        Ok(envelope)
    }

    /// The key that the envelope claims signed it. The claim itself is not verified.
    pub(super) fn key_hint(&self) -> Result<KeyHint, Refused> {
        let key = self.verification_material.public_key.as_ref();
        let hint = key.and_then(|key| key.hint.as_deref()).ok_or(Refused::NoKeyHint)?;
        hint.parse().map_err(|_| Refused::KeyHint(shown(hint.as_bytes())))
    }

    /// The payload, if this key signed it.
    pub(super) fn payload(&self, key: &PublicKey) -> Result<Vec<u8>, Refused> {
        let [signature] = &self.dsse_envelope.signatures[..] else {
            return Err(Refused::Signatures(self.dsse_envelope.signatures.len()));
        };
        let signature = STANDARD.decode(&signature.sig).map_err(|_| Refused::Base64("signature"))?;
        let payload = STANDARD.decode(&*self.dsse_envelope.payload).map_err(|_| Refused::Base64("payload"))?;
        if key.verifies(&signed_bytes(&payload), &signature) {
            Ok(payload)
        } else {
            Err(Refused::WrongSignature(key.hint()))
        }
    }

    fn check(&self) -> Result<(), Refused> {
        let material = &self.verification_material;
        let extra = [
            (material.certificate.is_some() || material.x509_certificate_chain.is_some(), "a certificate"),
            (!material.tlog_entries.is_empty(), "entries of a transparency log"),
            (material.timestamp_verification_data.is_some(), "time stamps"),
        ];
        if self.media_type != MEDIA_TYPE {
            return Err(Refused::MediaType(shown(self.media_type.as_bytes())));
        }
        if let Some((_, what)) = extra.into_iter().find(|(present, _)| *present) {
            return Err(Refused::Material(what));
        }
        if self.dsse_envelope.payload_type != PAYLOAD_TYPE {
            return Err(Refused::PayloadType(shown(self.dsse_envelope.payload_type.as_bytes())));
        }
        match self.dsse_envelope.signatures.len() {
            1 => Ok(()),
            several => Err(Refused::Signatures(several)),
        }
    }
}

/// The bytes that are signed for a payload, which include its type and length (DSSE's pre-authentication encoding).
pub(super) fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn empty_list<S: serde::Serializer>(_: &[IgnoredAny], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(std::iter::empty::<()>())
}
