/** Publishing owns the device: what does not reach the meeting is switched off. */

/** Publishes, and stops the track where that fails or the meeting has ended by then. */
export async function publishOrStop(
  track: { stop(): void },
  publish: () => Promise<unknown>,
  ended: () => boolean,
): Promise<void> {
  try {
    if (!ended()) await publish();
  } catch (error) {
    track.stop();
    throw error;
  }
  if (ended()) track.stop();
}
