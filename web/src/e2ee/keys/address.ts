/** Where the channel of a room is: on the server that the admission named. */

/** `server` is a WebSocket address, or one for http. */
export function channelAddress(server: string, room: string): string {
  const base = server.replace(/^http/, 'ws').replace(/\/+$/, '');
  return `${base}/api/v1/rooms/${encodeURIComponent(room)}/channel`;
}
