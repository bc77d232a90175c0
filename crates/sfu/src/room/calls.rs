//! Calls of the server API to methods of participants: a request over the participant's data channel, and its
//! answer on the way back.

use std::time::{Duration, Instant};

use prost::Message;
use protocol::ids::Identity;
use protocol::livekit;

use super::Context;
use crate::command::administration::{Answer, Answered, Refusal, RequestId};
use crate::event::Event;
use crate::peer::transport::DataChannel;

/// Calls of one room that may wait for their answers: each is kept for at most [`MAX_TIMEOUT`].
const MAX_CALLS: usize = 64;

/// How long an answer may take unless the call says it; as in LiveKit's clients.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long it may take at most, so that nothing waits for ever.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// The version of the protocol whose answers come in one packet.
const VERSION: u32 = 1;

/// The caller as clients see it: they do not take calls from nobody.
const CALLER: &str = "server";

/// The calls that wait.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: Vec<Call>,
}

#[derive(Debug)]
struct Call {
    /// Names the call to the participant; random, so nobody else can answer it.
    id: String,
    request: RequestId,
    participant: usize,
    due: Instant,
}

impl Calls {
    /// When the next call has waited long enough.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|call| call.due).min()
    }

    /// Takes the calls that `pick` takes.
    fn take(&mut self, pick: impl FnMut(&mut Call) -> bool) -> Vec<RequestId> {
        self.waiting.extract_if(.., pick).map(|call| call.request).collect()
    }
}

impl super::Room {
    /// Calls a method; [`Event::Answer`] follows.
    pub(super) fn call(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        identity: &Identity,
        mut call: livekit::RpcRequest,
    ) -> Result<(), Refusal> {
        let key = self.key_of(identity)?;
        if self.calls.waiting.len() >= MAX_CALLS {
            return Err(Refusal::TooManyCalls);
        }
        let timeout = match call.response_timeout_ms {
            0 => DEFAULT_TIMEOUT,
            given => Duration::from_millis(given.into()).min(MAX_TIMEOUT),
        };
        call.id = context.random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        call.version = VERSION;
        call.response_timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let id = call.id.clone();
        let packet = livekit::DataPacket {
            participant_identity: CALLER.to_owned(),
            destination_identities: vec![identity.expose().to_owned()],
            value: Some(livekit::data_packet::Value::RpcRequest(call)),
            ..Default::default()
        };
        if packet.encoded_len() > context.config.limits.data_bytes {
            return Err(Refusal::DataTooLarge);
        }
        self.calls.waiting.push(Call { id, request, participant: key, due: context.now + timeout });
        self.send_data(context, key, DataChannel::Reliable, &packet.encode_to_vec());
        Ok(())
    }

    /// Takes a packet that answers a call of the server; false if it is for somebody else.
    pub(super) fn take_answer(
        &mut self,
        context: &mut Context<'_>,
        key: usize,
        packet: &livekit::DataPacket,
    ) -> bool {
        use livekit::data_packet::Value;
        let id = match &packet.value {
            Some(Value::RpcAck(ack)) => &ack.request_id,
            Some(Value::RpcResponse(response)) => &response.request_id,
            _ => return false,
        };
        let is_it = |call: &Call| call.participant == key && call.id == *id;
        if let Some(Value::RpcResponse(response)) = &packet.value {
            let answered = self.calls.take(|call| is_it(call));
            for request in &answered {
                let answer = Ok(Answered::Rpc(Box::new(response.clone())));
                context.events.push_back(Event::Answer(*request, answer));
            }
            return !answered.is_empty();
        }
        self.calls.waiting.iter().any(is_it)
    }

    /// Calls that nobody answered in time.
    pub(super) fn expire_calls(&mut self, context: &mut Context<'_>) {
        let now = context.now;
        let late = self.calls.take(|call| call.due <= now);
        answer_all(context, &late, || Err(Refusal::NoAnswer));
    }

    /// Calls to somebody who left.
    pub(super) fn drop_calls(&mut self, context: &mut Context<'_>, key: usize) {
        let lost = self.calls.take(|call| call.participant == key);
        answer_all(context, &lost, || Err(Refusal::Gone));
    }
}

fn answer_all(context: &mut Context<'_>, requests: &[RequestId], answer: impl Fn() -> Answer) {
    context.events.extend(requests.iter().map(|request| Event::Answer(*request, answer())));
}
