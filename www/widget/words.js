/**
 * What the panel calls things. Not here: errors, whose words are the catalogue's.
 */

/** States of a call. @type {Record<string, string>} */
export const STATES = {
  connecting: "Connecting…",
  dialing: "Calling…",
  ringing: "Ringing…",
  early_media: "Ringing…",
  answered: "Connected",
};

/** What carries the audio. @type {Record<string, string>} */
export const WAYS = {
  udp: "Direct path (UDP)",
  tcp: "Slower path (TCP)",
  websocket: "Slower path (WebSocket)",
};
