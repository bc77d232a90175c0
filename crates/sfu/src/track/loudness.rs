//! How loud a sound track is, from the audio levels in its packets' headers (RFC 6464). The sound itself is
//! never looked at.

use rtp::extension::AudioLevel;

/// Louder than this (in −dBov: smaller is louder) counts as sound. 35 is LiveKit's threshold as well;
/// raising it lets keyboards count as speakers.
const AUDIBLE: u8 = 35;

/// Share of an interval's packets that must be audible, in percent.
const AUDIBLE_PERCENT: u32 = 40;

/// Weight of the newest interval, in percent: less flutters less and follows slower.
const SMOOTHING_PERCENT: f32 = 50.0;

/// Loudness below which a smoothed level counts as silence.
const SILENCE: f32 = 0.005;

/// Levels of one track, gathered over an interval and smoothed over intervals.
#[derive(Debug, Default)]
pub struct Loudness {
    packets: u32,
    audible: u32,
    loudest: u8,
    smoothed: f32,
}

impl Loudness {
    /// A packet came.
    pub fn observe(&mut self, level: AudioLevel) {
        self.packets += 1;
        if level.level <= AUDIBLE {
            let loudness = 127 - level.level.min(127);
            self.loudest = self.loudest.max(loudness);
            self.audible += 1;
        }
    }

    /// Ends an interval; the level from 0 (silent) to 1, linear as in the Web Audio API.
    pub fn finish_interval(&mut self) -> f32 {
        let speaks = self.packets > 0 && self.audible * 100 >= self.packets * AUDIBLE_PERCENT;
        let level = if speaks { linear(127 - self.loudest) } else { 0.0 };
        (self.packets, self.audible, self.loudest) = (0, 0, 0);
        self.smoothed += (level - self.smoothed) * SMOOTHING_PERCENT / 100.0;
        if self.smoothed < SILENCE {
            self.smoothed = 0.0;
        }
        self.smoothed
    }

    /// The track is muted: silent at once.
    pub fn silence(&mut self) {
        *self = Self::default();
    }
}

/// −dBov to amplitude.
fn linear(minus_dbov: u8) -> f32 {
    10f32.powf(-f32::from(minus_dbov) / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(loudness: &mut Loudness, levels: &[u8]) -> f32 {
        for level in levels {
            loudness.observe(AudioLevel { voice: true, level: *level });
        }
        loudness.finish_interval()
    }

    #[test]
    fn speech_raises_the_level_and_silence_lowers_it() {
        let mut loudness = Loudness::default();
        let first = interval(&mut loudness, &[10; 20]);
        let second = interval(&mut loudness, &[10; 20]);
        assert!(first > 0.1 && second > first, "{first} {second}");
        let mut level = second;
        for _ in 0..8 {
            level = interval(&mut loudness, &[127; 20]);
        }
        assert_eq!(level, 0.0);
    }

    #[test]
    fn a_click_or_noise_is_no_speech() {
        let mut loudness = Loudness::default();
        let mut click = [127; 20];
        click[3] = 5;
        assert_eq!(interval(&mut loudness, &click), 0.0);
        assert_eq!(interval(&mut loudness, &[50; 20]), 0.0);
        assert_eq!(interval(&mut loudness, &[]), 0.0);
    }
}
