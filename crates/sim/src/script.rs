//! Random meetings: people come, publish, mute, subscribe, pause, lose their connection, come again and
//! leave, in two rooms with equal names of people, over networks good and bad. All from one seed.

use std::time::Duration;

use fastrand::Rng;
use protocol::livekit::{self, TrackSource};
use sfu::peer::transport::SrtpProfile;

use crate::client::{JoinOptions, State, everything_allowed};
use crate::codec::Codec;
use crate::network::Conditions;
use crate::publication::Recipe;
use crate::world::World;

const ROOMS: [&str; 2] = ["blue", "green"];
const PEOPLE: [&str; 4] = ["anna", "ben", "cleo", "dan"];
/// Participants at a time in both rooms together; more take longer to simulate.
const MAX_PRESENT: usize = 6;
/// How long a meeting goes on between two looks at it.
const PHASE: Duration = Duration::from_secs(7);
/// How long things may take to settle: a silent layer is given up after two seconds, speakers fall silent.
const SETTLE: Duration = Duration::from_millis(4500);
/// How long everything is watched then.
const WATCH: Duration = Duration::from_millis(2000);

/// Runs the meeting of this seed; the world says what was violated.
pub fn run(seed: u64) -> World {
    meet(seed, None)
}

/// The same with about half of the clients of the sort that has two peer connections.
pub fn run_with_older(seed: u64) -> World {
    meet(seed, Some(Rng::with_seed(!seed)))
}

fn meet(seed: u64, older: Option<Rng>) -> World {
    let mut script = Script { world: World::new(seed), network: seed % 4, older };
    for _ in 0..2 {
        script.phase();
        script.world.run(SETTLE);
        script.world.check_flow(WATCH);
    }
    script.world.check_end();
    script.world
}

struct Script {
    world: World,
    /// Which kind of network everybody has.
    network: u64,
    /// Who has two peer connections, by a randomness of its own: so that without such people a seed's meeting is what it was.
    older: Option<Rng>,
}

impl Script {
    fn phase(&mut self) {
        let end = self.world.now() + PHASE;
        for room in ROOMS {
            for _ in 0..2 {
                self.come(room);
            }
        }
        while self.world.now() < end {
            let pause = Duration::from_micros(self.world.rng().u64(20_000..600_000));
            self.world.run(pause);
            self.act();
        }
    }

    fn present(&self) -> Vec<usize> {
        let clients = self.world.clients.iter();
        clients.filter(|client| client.state == State::Joined).map(|client| client.number).collect()
    }

    fn someone(&mut self) -> Option<usize> {
        let present = self.present();
        self.world.rng().choice(present)
    }

    /// Somebody's publication: (track, publisher).
    fn something(&mut self) -> Option<(u32, usize)> {
        let tracks: Vec<(u32, usize)> = self
            .world
            .clients
            .iter()
            .filter(|client| client.state == State::Joined)
            .flat_map(|client| client.publications.iter().map(|known| (known.number, client.number)))
            .collect();
        self.world.rng().choice(tracks)
    }

    fn come(&mut self, room: &'static str) {
        let inside = self.world.clients.iter().filter(|client| client.state != State::Gone).count();
        if inside >= MAX_PRESENT {
            return;
        }
        let identity = PEOPLE[self.world.rng().usize(..PEOPLE.len())];
        let options = self.options();
        // Somebody of that name may be there: then the newer one wins, as after a reload.
        let client = self.world.join(room, identity, options);
        self.world.run(Duration::from_millis(60));
        if self.world.rng().u8(..10) < 7 {
            self.publish(client);
        }
    }

    fn options(&mut self) -> JoinOptions {
        let network = self.network;
        let two_connections = self.older.as_mut().is_some_and(Rng::bool);
        let rng = self.world.rng();
        let (up, down) = match network {
            0 => (Conditions::default(), Conditions::default()),
            1 => (Conditions::lossy(0.05), Conditions::lossy(0.05)),
            2 => (Conditions::rough(rng.f64() * 0.1), Conditions::rough(rng.f64() * 0.1)),
            _ => {
                let rate = rng.bool().then(|| rng.u64(60_000..600_000));
                (Conditions::rough(0.02), Conditions { rate, ..Conditions::rough(0.02) })
            }
        };
        let mut permission = everything_allowed();
        match rng.u8(..12) {
            0 => permission.can_subscribe = false,
            1 => permission.can_publish = false,
            2 => permission.hidden = true,
            3 => permission.can_publish_sources = vec![TrackSource::Microphone.into()],
            _ => {}
        }
        let mut codecs = Codec::ALL.to_vec();
        if rng.u8(..4) == 0 {
            codecs.retain(|codec| *codec != Codec::Av1);
        }
        JoinOptions {
            up,
            down,
            auto_subscribe: rng.u8(..4) > 0,
            permission,
            codecs,
            two_byte: rng.u8(..4) == 0,
            sections: if rng.bool() { (3, 3) } else { (rng.usize(..2), 0) },
            offer_first: rng.u8(..4) > 0,
            profile: SrtpProfile::ALL[rng.usize(..SrtpProfile::ALL.len())],
            address: None,
            two_connections,
            red: rng.bool(),
        }
    }

    fn publish(&mut self, client: usize) {
        let codecs: Vec<Codec> = Codec::ALL
            .into_iter()
            .filter(|codec| {
                codec.is_video() && self.world.clients[client].dialect.payload_type(*codec).is_some()
            })
            .collect();
        let rng = self.world.rng();
        let codec = rng.choice(codecs).unwrap_or(Codec::Vp8);
        let recipe = match rng.u8(..6) {
            0 | 1 => Recipe::microphone(),
            2 => Recipe::camera(codec),
            3 => Recipe::screen(codec),
            _ => Recipe::simulcast(),
        };
        let published = &self.world.clients[client].publications;
        if published.iter().all(|known| known.recipe.source != recipe.source) {
            let track = self.world.publish(client, recipe);
            let speaks = self.world.rng().bool();
            self.world.speak(track, speaks && recipe.codec == Codec::Opus);
        }
    }

    fn act(&mut self) {
        match self.world.rng().u8(..22) {
            0 | 1 => {
                let room = ROOMS[self.world.rng().usize(..ROOMS.len())];
                self.come(room);
            }
            2..=5 => {
                if let Some(client) = self.someone() {
                    self.publish(client);
                }
            }
            6 => {
                if let Some(client) = self.someone() {
                    self.world.leave(client);
                }
            }
            7 => {
                if let Some(client) = self.someone() {
                    self.lose(client);
                }
            }
            8 | 9 => {
                if let Some((track, _)) = self.something() {
                    self.world.unpublish(track);
                }
            }
            10 | 11 => self.mute(),
            12..=16 => self.subscribe(),
            17 | 18 => self.pause(),
            19 => self.allow(),
            _ => self.encode(),
        }
    }

    /// Signalling breaks; then the person comes again, or not.
    fn lose(&mut self, client: usize) {
        let silent = self.world.rng().bool();
        if silent {
            self.world.vanish(client);
        } else {
            self.world.drop_signalling(client);
        }
        if self.world.rng().u8(..3) > 0 {
            let after = Duration::from_millis(self.world.rng().u64(10..1500));
            self.world.run(after);
            let (room, identity) =
                (self.world.clients[client].room.clone(), self.world.clients[client].identity.clone());
            let same_address = self.world.rng().bool().then(|| self.world.clients[client].address);
            // A client does not use a socket twice at a time.
            self.world.clients[client].state = State::Gone;
            let options = JoinOptions { address: same_address, ..self.options() };
            self.world.join(&room, &identity, options);
        }
    }

    fn mute(&mut self) {
        if let Some((track, publisher)) = self.something() {
            let known = self.world.clients[publisher].publication(track);
            let muted = known.is_some_and(|publication| publication.muted);
            self.world.mute(track, !muted);
        }
    }

    fn subscribe(&mut self) {
        if let (Some(client), Some((track, _))) = (self.someone(), self.something()) {
            let wanted = self.world.rng().bool();
            self.world.subscribe(client, track, wanted);
        }
    }

    fn pause(&mut self) {
        if let (Some(client), Some((track, _))) = (self.someone(), self.something()) {
            let paused = self.world.rng().bool();
            self.world.pause(client, track, paused);
        }
    }

    fn allow(&mut self) {
        let (Some(client), Some(other)) = (self.someone(), self.someone()) else { return };
        let identity = self.world.clients[other].identity.clone();
        let entry = livekit::TrackPermission {
            participant_identity: identity,
            all_tracks: true,
            ..Default::default()
        };
        let permission = livekit::SubscriptionPermission {
            all_participants: self.world.rng().bool(),
            track_permissions: vec![entry],
        };
        self.world.allow(client, permission);
    }

    /// Encoders stop, start and change, voices rise and fall.
    fn encode(&mut self) {
        let Some((track, publisher)) = self.something() else { return };
        let rng = self.world.rng();
        let (layer, what, on) = (rng.usize(..3), rng.u8(..4), rng.bool());
        let Some(publication) = self.world.clients[publisher].publication(track) else { return };
        match publication.recipe.codec {
            Codec::Opus => publication.speaking = on,
            _ if what == 0 && !publication.recipe.declared => publication.restart_layer(layer),
            _ if publication.recipe.simulcast && layer > 0 => publication.run_layer(layer, on),
            _ => {}
        }
    }
}
