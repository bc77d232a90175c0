//! After a kick the link is another one. Who was in the group then and did not follow, because its page was loaded anew
//! or it was away for too long, knows the old one only. It asks for the new one, and is told: its signature key was in
//! the group, and is not that of the one removed.
//!
//! Question: 1, the asker's signature key (32), a key for HPKE made for this question (32), signature (64); sealed under
//! the old link and sent like a key package. Answer: [`LABEL`], a member's signature key (32), what HPKE encapsulated
//! (32), the code of the new link sealed to the question's key, signature (64); a data packet to the asker.

use std::collections::{BTreeMap, VecDeque};

use channel::{Blob, ToServer};
use openmls_traits::crypto::OpenMlsCrypto;
use openmls_traits::types::{HpkeAeadType, HpkeCiphertext, HpkeConfig, HpkeKdfType, HpkeKemType};

use super::{Attempt, Output, Session};
use crate::crypto::Crypto;
use crate::identity::identity_of;
use crate::keys::{Key, RoomKeys};
use crate::link::LinkSecret;
use crate::seal;
use crate::signer::{PublicKey, verifies};

/// Begins an answer, and what is signed. No MLS message begins so.
pub(super) const LABEL: &[u8] = b"konklave link v1";

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 64;

/// Links that were in force before, of which questions are answered.
const LINKS: usize = 8;

/// An answer may take so long, in milliseconds: two members may have to leave it to the next.
const ANSWER_MS: u64 = 5000;

/// The same asker is told once in so many milliseconds.
const TELL_MS: u64 = 2000;

const HPKE: HpkeConfig =
    HpkeConfig(HpkeKemType::DhKem25519, HpkeKdfType::HkdfSha256, HpkeAeadType::AesGcm128);

/// What is remembered for those who come back, and of our own question.
#[derive(Default)]
pub(super) struct Returning {
    former: VecDeque<Former>,
    /// When whom was told last.
    told: BTreeMap<String, u64>,
    /// What the private half of our question's key follows from, until there is an answer.
    question: Option<Key>,
    /// Who is in the group that we want to come into, as the base said.
    members: Vec<PublicKey>,
}

/// A link that was in force, and who was in the group when it was replaced but for those whom a host removed.
struct Former {
    knock: Key,
    members: Vec<PublicKey>,
}

impl Returning {
    /// A link is replaced.
    pub(super) fn replaced(&mut self, knock: Key, members: Vec<PublicKey>) {
        if self.former.len() == LINKS {
            self.former.pop_front();
        }
        self.former.push_back(Former { knock, members });
    }

    /// We are about to join a group with these members.
    pub(super) fn joins(&mut self, members: &[PublicKey]) {
        self.members = members.to_vec();
    }
}

impl Session {
    /// The others refused our joining: the link may have been replaced since we were with them.
    pub(super) fn ask_for_link(&mut self, now: u64) {
        let seed: Key = Key::new(self.random.array());
        let Ok(pair) = Crypto::new([0; 32]).derive_hpke_keypair(HPKE, seed.as_slice()) else { return };
        let mut question = vec![VERSION];
        question.extend_from_slice(&self.own.key.public());
        question.extend_from_slice(&pair.public);
        let signature = self.own.key.signature(&self.asking(&question));
        question.extend_from_slice(&signature);
        let aad = self.question_aad(&self.identity);
        let sealed = seal::seal(&self.keys.knock(), &aad, &question, self.random.array());
        self.returning.question = Some(seed);
        self.tell_server(ToServer::KeyPackage { data: Blob(sealed) });
        self.attempt = Attempt::None;
        self.retry_at = Some(now + ANSWER_MS);
    }

    fn question_aad(&self, identity: &str) -> Vec<u8> {
        [LABEL, b" asked", self.keys.room().as_bytes(), identity.as_bytes()].concat()
    }

    fn asking(&self, question: &[u8]) -> Vec<u8> {
        self.signed(b" asked", &[question])
    }

    fn answering(&self, to: &str, sealed: &[u8]) -> Vec<u8> {
        self.signed(b" told", &[to.as_bytes(), sealed])
    }

    /// What a signature covers: label, use, origin and room, and these parts, each with its length.
    fn signed(&self, used: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let mut out = LABEL.to_vec();
        for part in [used, self.origin.as_bytes(), self.keys.room().as_bytes()].iter().chain(parts) {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// Answers what somebody who waits sent, if it is such a question.
    pub(super) fn tell_link(&mut self, now: u64, to: &str, sealed: &[u8]) -> bool {
        let Some(public) = self.question(to, sealed) else { return false };
        self.returning.told.retain(|_, at| *at + TELL_MS > now);
        if !self.path || self.returning.told.insert(to.to_owned(), now).is_some() {
            return true;
        }
        let code = self.keys.secret().code();
        let crypto = Crypto::new(self.random.array());
        let Ok(sealed) = crypto.hpke_seal(HPKE, &public, LABEL, to.as_bytes(), code.as_bytes()) else {
            return true;
        };
        let sealed = [sealed.kem_output.as_slice(), sealed.ciphertext.as_slice()].concat();
        let signature = self.own.key.signature(&self.answering(to, &sealed));
        let data = [LABEL, &self.own.key.public(), &sealed, &signature].concat();
        self.out.push_back(Output::Message { to: vec![to.to_owned()], data: Blob(data) });
        true
    }

    /// The key that an answer is to be sealed to, if the question is by somebody who may be told.
    fn question(&self, from: &str, sealed: &[u8]) -> Option<[u8; 32]> {
        let aad = self.question_aad(from);
        let opened =
            |former: &Former| Some((seal::open(&former.knock, &aad, sealed)?, former.members.clone()));
        let (question, members) = self.returning.former.iter().find_map(opened)?;
        let (content, signature) = question.split_last_chunk::<SIGNATURE_BYTES>()?;
        let (&[VERSION], keys) = content.split_first_chunk()? else { return None };
        let (key, public) = keys.split_first_chunk::<32>()?;
        let may_be_told = identity_of(key) == from
            && members.contains(key)
            && !self.policy.as_ref()?.is_kicked(key)
            && verifies(key, &self.asking(content), signature);
        if may_be_told { public.try_into().ok() } else { None }
    }

    /// An answer to our question: by whom is in the group now.
    pub(super) fn link_told(&mut self, now: u64, answer: &[u8]) {
        let Some(code) = self.answer(answer) else { return };
        let Ok(secret) = LinkSecret::from_code(&code) else { return };
        self.returning.question = None;
        self.refused_joins = 0;
        self.replace_link(RoomKeys::new(secret, self.keys.room()));
        if self.retry_at.is_some() {
            self.retry_at = Some(now);
        }
    }

    fn answer(&self, answer: &[u8]) -> Option<String> {
        let seed = self.returning.question.as_ref()?;
        let (key, rest) = answer.split_first_chunk::<32>()?;
        let (sealed, signature) = rest.split_last_chunk::<SIGNATURE_BYTES>()?;
        let is_by_member = self.returning.members.contains(key) && *key != self.own.key.public();
        if !is_by_member || !verifies(key, &self.answering(&self.identity, sealed), signature) {
            return None;
        }
        let (kem_output, ciphertext) = sealed.split_first_chunk::<32>()?;
        let input = HpkeCiphertext { kem_output: kem_output.to_vec().into(), ciphertext: ciphertext.into() };
        let crypto = Crypto::new([0; 32]);
        let pair = crypto.derive_hpke_keypair(HPKE, seed.as_slice()).ok()?;
        let opened = crypto.hpke_open(HPKE, &input, &pair.private, LABEL, self.identity.as_bytes()).ok()?;
        String::from_utf8(opened).ok()
    }
}
