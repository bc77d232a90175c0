//! Backup codecs: a publisher that sends in VP9 or AV1 offers to send the same picture in VP8 or H264 too, for those
//! who cannot take the first (LiveKit's `simulcast_codecs`).
//!
//! Each of the two codecs has an [`super::up_track::UpTrack`] of its own; they share the track's id, and each
//! subscriber gets one of them. Whether both are sent at a time is the publisher's choice.

use std::time::{Duration, Instant};

use protocol::livekit::{self, BackupCodecPolicy};
use rtp::codec::CodecKind;

/// After the last who could take nothing but the backup has left, everybody goes on with it for so long. Shorter makes
/// the publisher change its encoder each time such a person reloads the page; longer keeps everybody at the worse codec.
const RETURN_AFTER: Duration = Duration::from_secs(10);

/// A publisher that does not send what it was asked for is asked again after this, and then after twice the time of the
/// last, at most [`MAX_REPEATS`] times. livekit-client takes no notice of what comes before its `publishTrack` has ended,
/// which is some 100 ms after the track is here.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);
const MAX_REPEATS: u32 = 5;

/// What a track knows of its backup codec.
#[derive(Debug)]
pub struct Backup {
    /// Key of the backup's UpTrack, which has no layers while its publisher does not send it.
    pub track: usize,
    policy: BackupCodecPolicy,
    /// When a subscriber was last there that can take nothing else.
    needed: Option<Instant>,
    /// Since when it is asked for in vain, and how often it was.
    asked: Option<(Instant, u32)>,
}

/// What is to be done about a backup that is asked for and has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing for now.
    Wait,
    /// Ask again.
    Ask,
    /// It will not come.
    GiveUp,
}

impl Backup {
    /// A backup in the UpTrack with this key. LiveKit's default policy leaves the choice to the server, which takes
    /// what costs publishers less.
    pub fn new(track: usize, policy: BackupCodecPolicy) -> Self {
        Self { track, policy, needed: None, asked: None }
    }

    /// Somebody is there who can take nothing else.
    pub fn note_needed(&mut self, now: Instant) {
        self.needed = Some(now);
    }

    /// Whether everybody who can take the backup is to get it: its publisher sends one codec at a time (*regression*).
    pub fn is_for_all(&self, now: Instant) -> bool {
        let is_needed = |needed: Instant| now.saturating_duration_since(needed) < RETURN_AFTER;
        self.policy != BackupCodecPolicy::Simulcast && self.needed.is_some_and(is_needed)
    }

    /// What to do, given whether it is asked for and not there. To be asked regularly.
    pub fn missing(&mut self, now: Instant, is_missing: bool) -> Missing {
        if !is_missing {
            self.asked = None;
            return Missing::Wait;
        }
        let (since, times) = *self.asked.get_or_insert((now, 0));
        if now < since + ASK_AGAIN_AFTER * (1 << times.min(MAX_REPEATS)) {
            return Missing::Wait;
        }
        self.asked = Some((now, (times + 1).min(MAX_REPEATS)));
        if times < MAX_REPEATS { Missing::Ask } else { Missing::GiveUp }
    }
}

/// The codecs of an announcement: the first, and the backup if there is one. What the server does not know is none, and
/// further ones are not used: LiveKit's clients have one at most.
pub fn announced(request: &livekit::AddTrackRequest) -> (Option<CodecKind>, Option<CodecKind>) {
    let mut codecs = request.simulcast_codecs.iter().map(|codec| kind(&codec.codec));
    let first = codecs.next().flatten();
    (first, codecs.flatten().find(|codec| Some(*codec) != first).filter(|_| first.is_some()))
}

/// What an announcement says of the layers of its backup codec, if it has one.
pub fn announced_layers(request: &livekit::AddTrackRequest) -> Option<&[livekit::VideoLayer]> {
    let (_, backup) = announced(request);
    let mut codecs = request.simulcast_codecs.iter();
    let codec = codecs.find(|codec| backup.is_some() && kind(&codec.codec) == backup)?;
    Some(&codec.layers)
}

/// The video codec that a client calls `vp8` or `video/VP8`.
pub fn kind(name: &str) -> Option<CodecKind> {
    CodecKind::from_name(name.rsplit('/').next()?).filter(|codec| codec.is_video())
}

/// What clients are told of one codec of a track.
pub fn codec_info(
    codec: CodecKind,
    cid: &str,
    layers: &[livekit::VideoLayer],
) -> livekit::SimulcastCodecInfo {
    livekit::SimulcastCodecInfo {
        mime_type: format!("video/{}", codec.name()),
        cid: cid.to_owned(),
        layers: layers.to_vec(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(policy: BackupCodecPolicy) -> Backup {
        Backup::new(7, policy)
    }

    #[test]
    fn one_codec_at_a_time_unless_the_publisher_wants_both() {
        let start = crate::test_start();
        for policy in [BackupCodecPolicy::PreferRegression, BackupCodecPolicy::Regression] {
            let mut backup = backup(policy);
            assert!(!backup.is_for_all(start), "nobody needs it");
            backup.note_needed(start);
            assert!(backup.is_for_all(start + RETURN_AFTER / 2), "whoever needed it may come back");
            assert!(!backup.is_for_all(start + RETURN_AFTER));
        }
        let mut both = backup(BackupCodecPolicy::Simulcast);
        both.note_needed(start);
        assert!(!both.is_for_all(start));
    }

    #[test]
    fn a_backup_that_does_not_come_is_asked_for_again_less_and_less_and_given_up() {
        let (start, mut backup) = (crate::test_start(), backup(BackupCodecPolicy::Simulcast));
        let mut asked = Vec::new();
        let mut given_up = None;
        for tenth in 0..600 {
            match backup.missing(start + Duration::from_millis(100) * tenth, true) {
                Missing::Ask => asked.push(tenth),
                Missing::GiveUp => given_up = given_up.or(Some(tenth)),
                Missing::Wait => {}
            }
        }
        assert_eq!((asked, given_up), (vec![5, 15, 35, 75, 155], Some(315)));
        assert_eq!(backup.missing(start, false), Missing::Wait);
        assert_eq!(backup.missing(start, true), Missing::Wait, "the next time begins anew");
    }

    #[test]
    fn the_first_other_codec_is_the_backup() {
        let request = |codecs: &[&str]| livekit::AddTrackRequest {
            simulcast_codecs: codecs
                .iter()
                .map(|codec| livekit::SimulcastCodec { codec: (*codec).to_owned(), ..Default::default() })
                .collect(),
            ..Default::default()
        };
        let (vp8, vp9) = (Some(CodecKind::Vp8), Some(CodecKind::Vp9));
        assert_eq!(announced(&request(&["vp9", "vp8", "h264"])), (vp9, vp8));
        assert_eq!(announced(&request(&["video/VP9", "vp9", "opus"])), (vp9, None));
        assert_eq!(announced(&request(&["h265", "vp8"])), (None, None), "what is sent first is not known");
        assert_eq!(announced(&request(&[])), (None, None));
    }
}
