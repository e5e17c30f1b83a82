// What both ends of a peer connection need.

const GATHER_WITHIN_MS = 3000;

/** A connection that uses the addresses of this machine only: no STUN, nothing outside. */
export function newConnection() {
  return new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
}

/** Resolves when the local description has all candidates (or gathering takes too long). */
export function gathered(connection) {
  if (connection.iceGatheringState === 'complete') return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, GATHER_WITHIN_MS);
    connection.addEventListener('icegatheringstatechange', () => {
      if (connection.iceGatheringState !== 'complete') return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** A name nobody else has; crypto.randomUUID() is missing on plain http pages. */
export function randomId(bytes = 8) {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(values, (value) => value.toString(16).padStart(2, '0')).join('');
}
