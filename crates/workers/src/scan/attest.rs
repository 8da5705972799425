//! Bills of materials as signed attestations: an in-toto statement in a DSSE envelope, in a Sigstore bundle.
//!
//! Form: Sigstore bundle v0.3 with a public key as its verification material, attached as cosign attaches it, so that
//! `cosign verify-attestation --key` finds and verifies it. The key is a file of the operator's: ECDSA on P-256 in
//! PKCS#8 (PEM).

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::{BASE64, HEXLOWER};
use oci::Digest;
use serde_json::{Value, json};
use vuln::sbom::Format;

/// Media type of the bundle, and type of the artifact that carries it.
pub(super) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// Type of an in-toto statement in an envelope.
const STATEMENT: &str = "application/vnd.in-toto+json";
const LABELS: (&str, &str) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No PKCS#8 in PEM.
    #[error(
        "the key is no PEM file of a `PRIVATE KEY` (PKCS#8); `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes one"
    )]
    Form,
    /// Another kind of key.
    #[error("the key is none of ECDSA on P-256")]
    Kind,
}

/// Signs attestations.
#[derive(Clone)]
pub struct Signer(Arc<EcdsaKeyPair>);

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// A signer with the key of a PEM file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let body = text
            .split_once(LABELS.0)
            .and_then(|(_, rest)| rest.split_once(LABELS.1))
            .ok_or(KeyError::Form)?
            .0;
        let compact: String = body.split_whitespace().collect();
        let der = BASE64.decode(compact.as_bytes()).map_err(|_| KeyError::Form)?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).map_err(|_| KeyError::Kind)?;
        Ok(Self(Arc::new(pair)))
    }

    /// The bundle that states the document about an image; `None` if the system has no randomness to sign with.
    pub(super) fn bundle(
        &self,
        name: &str,
        image: &Digest,
        form: Format,
        document: &[u8],
    ) -> Option<Vec<u8>> {
        let predicate: Value = serde_json::from_slice(document).ok()?;
        let digest = json!({ image.algorithm().name(): image.hex() });
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": predicate_type(form),
            "subject": [{ "name": name, "digest": digest }],
            "predicate": predicate,
        })
        .to_string();
        let signed = pre_authentication(STATEMENT, statement.as_bytes());
        let signature = self.0.sign(&SystemRandom::new(), &signed).ok()?;
        let hint = HEXLOWER.encode(Digest::sha256(self.0.public_key().as_ref()).hex().as_bytes());
        let bundle = json!({
            "mediaType": BUNDLE,
            "verificationMaterial": { "publicKey": { "hint": hint }, "tlogEntries": [] },
            "dsseEnvelope": {
                "payload": BASE64.encode(statement.as_bytes()),
                "payloadType": STATEMENT,
                "signatures": [{ "sig": BASE64.encode(signature.as_ref()), "keyid": "" }],
            },
        });
        Some(bundle.to_string().into_bytes())
    }
}

/// What the statement's predicate is, in cosign's words.
pub(super) fn predicate_type(form: Format) -> &'static str {
    match form {
        Format::Spdx23Json | Format::Spdx301Json => "https://spdx.dev/Document",
        Format::CycloneDxJson(_) | Format::CycloneDxXml(_) => "https://cyclonedx.org/bom",
    }
}

/// Whether a document of this form can be a statement's predicate, which is JSON.
pub(super) fn can_state(form: Format) -> bool {
    !matches!(form, Format::CycloneDxXml(_))
}

/// What is signed: DSSE's pre-authentication encoding, version 1.
fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    #[test]
    fn a_bundle_is_signed_over_its_statement_about_the_image() {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            .expect("a key");
        let pem = format!("{}\n{}\n{}\n", LABELS.0, BASE64.encode(pkcs8.as_ref()), LABELS.1);
        let signer = Signer::from_pem(&pem).expect("a signer");
        let image = Digest::sha256(b"image");
        let bundle = signer.bundle("team/app", &image, Format::Spdx23Json, br#"{"spdxVersion":"SPDX-2.3"}"#);
        let bundle: Value = serde_json::from_slice(&bundle.expect("a bundle")).expect("JSON");
        let text = |pointer: &str| bundle.pointer(pointer).and_then(Value::as_str).expect("text").to_owned();
        let payload = BASE64.decode(text("/dsseEnvelope/payload").as_bytes()).expect("base64");
        let signature = BASE64.decode(text("/dsseEnvelope/signatures/0/sig").as_bytes()).expect("base64");
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, signer.0.public_key().as_ref().to_vec());
        key.verify(&pre_authentication(STATEMENT, &payload), &signature).expect("a signature");
        let statement: Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(statement["subject"][0]["digest"]["sha256"], image.hex());
        assert_eq!(statement["predicate"]["spdxVersion"], "SPDX-2.3");
        // The encoding of the specification's own example.
        assert_eq!(
            pre_authentication("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn other_files_are_no_keys() {
        assert!(matches!(Signer::from_pem("hello"), Err(KeyError::Form)));
        let wrong = format!("{}\n{}\n{}", LABELS.0, BASE64.encode(b"no key"), LABELS.1);
        assert!(matches!(Signer::from_pem(&wrong), Err(KeyError::Kind)));
    }
}
