// Which codecs we send, best first. `?video=vp9` (or h264, vp8) in the page's address puts another
// one first, `?audio=red` asks for audio that repeats itself.

const VIDEO = { vp8: 'video/VP8', h264: 'video/H264', vp9: 'video/VP9' };
const OPUS = 'audio/opus';

function wantedTypes(kind) {
  const asked = new URLSearchParams(location.search);
  if (kind === 'audio') return asked.get('audio') === 'red' ? ['audio/red', OPUS] : [OPUS];
  return [...new Set([VIDEO[asked.get('video')] ?? VIDEO.vp8, ...Object.values(VIDEO), 'video/rtx'])];
}

/** Tell *transceiver* what to send and how to prefer it; before it is offered. */
export function preferCodecs(transceiver, kind) {
  const { codecs } = RTCRtpSender.getCapabilities(kind);
  const chosen = wantedTypes(kind).flatMap((type) =>
    codecs.filter((codec) => codec.mimeType === type),
  );
  if (chosen.length) transceiver.setCodecPreferences(chosen);
}
