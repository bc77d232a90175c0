//! Data packets, both ways.

use std::time::Instant;

use protocol::livekit;
use protocol::prost::Message as _;
use tokio::sync::oneshot;

use super::{Driver, End, WaitingData};
use crate::error::ClientError;
use crate::peer::{LOSSY, RELIABLE};
use crate::state::{Event, ReceivedData};

/// Data packets that may wait for their channel.
const MAX_WAITING_DATA: usize = 1024;

impl Driver {
    pub(super) fn received_data(&mut self, reliable: bool, bytes: &[u8], at: Instant) {
        let Ok(packet) = livekit::DataPacket::decode(bytes) else {
            self.shared.lock().counters.bad_data += 1;
            return;
        };
        let data = ReceivedData { reliable, packet, at };
        self.shared.lock().keep_data(data.clone());
        self.shared.emit(Event::Data(Box::new(data)));
    }

    pub(super) fn send_data(&mut self, now: Instant) -> Result<(), End> {
        while let Some(waiting) = self.data.front() {
            let open = self.shared.lock().channels.iter().any(|label| label == waiting.label);
            if !open || !self.peer.send_data(waiting.label, &waiting.bytes, now)? {
                return Ok(());
            }
            if let Some(reply) = self.data.pop_front().and_then(|sent| sent.reply) {
                // Whoever sent it may have stopped waiting.
                let _ = reply.send(Ok(()));
            }
        }
        Ok(())
    }

    pub(super) fn queue_data(
        &mut self,
        reliable: bool,
        mut packet: livekit::DataPacket,
        reply: oneshot::Sender<Result<(), ClientError>>,
    ) {
        if self.data.len() >= MAX_WAITING_DATA {
            let _ = reply.send(Err(ClientError::Data("too many wait to be sent")));
            return;
        }
        if reliable {
            packet.sequence = self.reliable_sequence;
            self.reliable_sequence = self.reliable_sequence.wrapping_add(1);
        }
        let label = if reliable { RELIABLE } else { LOSSY };
        self.data.push_back(WaitingData { label, bytes: packet.encode_to_vec(), reply: Some(reply) });
    }
}
