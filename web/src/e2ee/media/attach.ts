/**
 * Gives every sender and receiver of a peer connection its transform at birth: what is attached later lets frames out in
 * clear before. Media libraries make them where they like, so the browser's own methods are wrapped: a sender has its
 * transform when `addTransceiver` or `addTrack` returns, a receiver before its description is applied or, where the
 * other end made it, in the task that announces it.
 */

/** Whoever gives transforms. Called for the same sender or receiver more than once. */
export interface Attacher {
  attach(connection: RTCPeerConnection, end: RTCRtpSender | RTCRtpReceiver): void;
  /** A description was applied: payload types may stand for something else. */
  described(connection: RTCPeerConnection): void;
}

type Prototype = Pick<
  RTCPeerConnection,
  'addTransceiver' | 'addTrack' | 'setLocalDescription' | 'setRemoteDescription'
>;

let active: Attacher | null = null;
let wrapped: Prototype | null = null;
const owners = new WeakMap<RTCPeerConnection, Attacher>();

/** From now on new connections are of this attacher, until the returned function is called; they stay so. */
export function attachAtBirth(attacher: Attacher): () => void {
  if (active) throw new Error('another meeting is encrypted already');
  wrap(RTCPeerConnection.prototype);
  active = attacher;
  return () => {
    if (active === attacher) active = null;
  };
}

/** Whoever a connection is of; the one who is active when it is used first. */
function ownerOf(connection: RTCPeerConnection): Attacher | undefined {
  const owner = owners.get(connection);
  if (owner || !active) return owner;
  owners.set(connection, active);
  connection.addEventListener('track', () => attachAll(connection));
  return active;
}

function attachAll(connection: RTCPeerConnection): void {
  const owner = ownerOf(connection);
  if (!owner) return;
  for (const transceiver of connection.getTransceivers()) {
    try {
      owner.attach(connection, transceiver.sender);
      owner.attach(connection, transceiver.receiver);
    } catch (error) {
      // Without a transform it would send in clear.
      transceiver.stop();
      throw error;
    }
  }
}

/** Wraps the methods once; without an attacher they do what they always did. */
function wrap(prototype: Prototype): void {
  if (wrapped === prototype) return;
  wrapped = prototype;
  const { addTransceiver, addTrack, setLocalDescription, setRemoteDescription } = prototype;

  prototype.addTransceiver = function (this: RTCPeerConnection, ...args) {
    ownerOf(this);
    const transceiver = addTransceiver.apply(this, args);
    attachAll(this);
    return transceiver;
  };
  prototype.addTrack = function (this: RTCPeerConnection, ...args) {
    ownerOf(this);
    const sender = addTrack.apply(this, args);
    attachAll(this);
    return sender;
  };
  const describing = (apply: (...args: never[]) => Promise<void>) =>
    async function (this: RTCPeerConnection, ...args: never[]): Promise<void> {
      const owner = ownerOf(this);
      await apply.apply(this, args);
      attachAll(this);
      owner?.described(this);
    };
  prototype.setLocalDescription = describing(setLocalDescription);
  prototype.setRemoteDescription = describing(setRemoteDescription);
}
