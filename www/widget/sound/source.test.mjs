// What becomes of a microphone that the browser has to open anew.
import assert from "node:assert/strict";
import test from "node:test";
import { processed } from "./source.js";

/** A track that stays as it was opened, as Chromium's does. */
class Track extends EventTarget {
  readyState = "live";
  constructor(settings) {
    super();
    this.getSettings = () => ({ deviceId: "m", ...settings });
  }
  applyConstraints = async () => { throw new Error("OverconstrainedError"); };
  stop() { this.readyState = "ended"; }
}

/** A call with a microphone that can be opened that often again; whoever is told that it has ended notes that. */
function call(times, opens = (audio) => new Track(audio)) {
  let microphone;
  const told = [];
  const host = {
    settings: { current: () => ({}) },
    microphone: () => microphone,
    replace(track) {
      microphone?.stop();
      microphone = track;
      track.addEventListener("ended", () => told.push(microphone.readyState));
    },
  };
  host.replace(new Track({ echoCancellation: true, noiseSuppression: true }));
  const getUserMedia = async ({ audio }) => {
    if (times-- <= 0) throw new Error("NotReadableError");
    return { getAudioTracks: () => [opens(audio)] };
  };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: { getUserMedia } }, configurable: true });
  return { host, told };
}

test("a microphone that cannot be opened again is told to be gone", async () => {
  const { host, told } = call(0);
  assert.equal(await processed(host, { noiseSuppression: false }), false);
  assert.deepEqual([host.microphone().readyState, told], ["ended", ["ended"]]);
});

test("a microphone that was opened otherwise than before, or as before, is there, and nobody is told that it was gone", async () => {
  const otherwise = call(1);
  assert.equal(await processed(otherwise.host, { noiseSuppression: false }), true);
  const asBefore = call(3, ({ echoCancellation }) => new Track({ echoCancellation, noiseSuppression: true }));
  assert.equal(await processed(asBefore.host, { noiseSuppression: false }), false);
  for (const { host, told } of [otherwise, asBefore]) assert.deepEqual([host.microphone().readyState, told], ["live", []]);
});
