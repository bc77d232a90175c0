//! Offers of a simulated client and what it reads in their answers: which section carries what.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::livekit;
use sfu::command::SessionCommand;

use super::{Client, Said, State};
use crate::description::{
    Answered, Medium, Published, Purpose, Section, check_answer, read_answer, write_offer,
};
use crate::publication::Publication;

impl Client {
    pub(super) fn answered(
        &mut self,
        now: Duration,
        answer: &livekit::SessionDescription,
    ) -> Result<(), String> {
        let (id, offered) = self.awaited.take().ok_or("an answer to nothing")?;
        if answer.id != id {
            return Err(format!("offer {id} is answered as {}", answer.id));
        }
        let answered = read_answer(&answer.sdp)?;
        check_answer(&self.dialect, &offered, &answered)?;
        let before = match &self.pair {
            None => std::mem::take(&mut self.declared),
            Some(_) => BTreeMap::new(), // offers of the server declare what it sends
        };
        for (section, answered) in offered.iter().zip(&answered) {
            // Browsers send the first codec of an answer.
            let sends_red = answered.payload_types.first().is_some_and(|first| self.dialect.is_red(*first));
            if let Purpose::Publish(published) = &section.purpose
                && let Some(publication) = self.publication(published.number)
            {
                publication.sends_red = sends_red;
                publication.start(now);
            }
            self.declare(&before, answered, &answer.mid_to_track_id)?;
        }
        if self.pair.is_some() {
            return match answer.mid_to_track_id.len() + answered.iter().filter(|it| it.sends).count() {
                0 => Ok(()),
                _ => Err("the connection that is published on is to be received on".to_owned()),
            };
        }
        if answer.mid_to_track_id.len() != self.declared.len() {
            return Err(format!("sections {:?} of {:?}", answer.mid_to_track_id, self.declared));
        }
        let declared = &self.declared;
        self.receptions.retain(|ssrc, _| declared.contains_key(ssrc) || !before.contains_key(ssrc));
        Ok(())
    }

    fn declare(
        &mut self,
        before: &BTreeMap<u32, (String, String)>,
        answered: &Answered,
        names: &std::collections::HashMap<String, String>,
    ) -> Result<(), String> {
        let (Some(track), Some(ssrc)) = (answered.track.as_ref().filter(|_| answered.sends), answered.ssrc)
        else {
            return Ok(());
        };
        if names.get(&answered.mid) != Some(track) {
            return Err(format!(
                "section {} carries {track} or {:?}",
                answered.mid,
                names.get(&answered.mid)
            ));
        }
        let same_section = before.values().find(|(_, mid)| *mid == answered.mid);
        if let Some((other, _)) = same_section.filter(|(other, _)| other != track) {
            // Browsers tell of a track only when a section begins to send.
            return Err(format!("section {} changes from {other} to {track} in one answer", answered.mid));
        }
        self.announced.insert(ssrc);
        self.declared.insert(ssrc, (track.clone(), answered.mid.clone()));
        if let Some(rtx) = answered.rtx_ssrc {
            self.pairs.insert(rtx, ssrc);
        }
        Ok(())
    }

    pub(super) fn add_section(&mut self, medium: Medium, purpose: Purpose) -> String {
        let mid = self.sections.len().to_string();
        self.sections.push(Section { mid: mid.clone(), medium, purpose });
        mid
    }

    pub(super) fn add_receive_sections(&mut self, audios: usize, videos: usize) {
        for _ in 0..audios {
            self.add_section(Medium::Audio, Purpose::Receive);
        }
        for _ in 0..videos {
            self.add_section(Medium::Video, Purpose::Receive);
        }
    }

    pub(super) fn offer_publication(&mut self, publication: &mut Publication) {
        let recipe = publication.recipe;
        let medium = if recipe.codec.is_video() { Medium::Video } else { Medium::Audio };
        let purpose = Purpose::Publish(Published {
            number: publication.number,
            cid: publication.cid.clone(),
            codec: recipe.codec,
            rids: publication.layers.iter().filter_map(|layer| layer.rid).collect(),
            ssrc: publication
                .layers
                .first()
                .filter(|_| recipe.declared)
                .map(|layer| (layer.ssrc, layer.rtx_ssrc)),
        });
        let reuse = self.rng.bool();
        let idle = self
            .sections
            .iter_mut()
            .find(|section| reuse && section.medium == medium && section.purpose == Purpose::Idle);
        let mid = match idle {
            Some(section) => {
                section.purpose = purpose;
                section.mid.clone()
            }
            None => self.add_section(medium, purpose),
        };
        publication.mid = Some(mid);
        self.offer_due = true;
    }

    /// Offers when something changed and no other offer is under way.
    pub fn offer_if_due(&mut self) {
        if !self.offer_due || self.awaited.is_some() || self.state != State::Joined {
            return;
        }
        self.offer_due = false;
        let carries = self.carries();
        let offer = self.write_offer();
        self.said.push(Said { command: SessionCommand::Offer(offer), carries });
    }

    /// Numbers of the publications that an offer of now carries.
    pub fn carries(&self) -> Vec<u32> {
        let number = |section: &Section| match &section.purpose {
            Purpose::Publish(published) => Some(published.number),
            Purpose::Receive | Purpose::Idle => None,
        };
        self.sections.iter().filter_map(number).collect()
    }

    pub(super) fn write_offer(&mut self) -> livekit::SessionDescription {
        self.offers += 1;
        self.awaited = Some((self.offers, self.sections.clone()));
        livekit::SessionDescription {
            r#type: "offer".to_owned(),
            sdp: write_offer(&self.dialect, &self.sections, self.offers),
            id: self.offers,
            mid_to_track_id: Default::default(),
        }
    }
}
