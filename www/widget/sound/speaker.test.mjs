// What plays the far end, how loud, where the element's volume is read-only (iOS) and where it is not.
import assert from "node:assert/strict";
import test from "node:test";
import { Speaker } from "./speaker.js";

class Node {
  connect = (next) => next;
  gain = { setTargetAtTime() {} };
}
Object.assign(globalThis, {
  MediaStream: class {},
  GainNode: class extends Node { context = {}; },
  WaveShaperNode: Node,
  Audio: class {
    paused = true;
    async play() {
      if (this.constructor.fails) throw new Error("NotAllowedError");
      this.paused = false;
    }
    pause() { this.paused = true; }
  },
});

/** A speaker, what it plays on, and whether the far end is heard of the element itself. */
function speaker(isReadOnly) {
  let volume = 1;
  const audio = {
    srcObject: new MediaStream(),
    muted: false,
    get volume() { return volume; },
    set volume(value) { if (!isReadOnly) volume = value; },
  };
  const context = { createMediaStreamDestination: () => new Node(), createMediaStreamSource: () => new Node() };
  return { audio, sounds: () => !audio.muted && volume > 0, speaker: new Speaker({ audio, graph: () => ({ context }) }) };
}

for (const isReadOnly of [true, false]) {
  const where = isReadOnly ? "where the element's volume is read-only" : "where the element has a volume";
  test(`back at 0 dB the element is heard again, ${where}`, async () => {
    const { speaker: it, sounds } = speaker(isReadOnly);
    assert.equal(await it.amplify(6), true);
    assert.equal(sounds(), false, "twice at once");
    assert.equal(await it.amplify(0), true);
    assert.equal(sounds(), true);
  });

  test(`the element is heard when the graph cannot play any more, ${where}`, async () => {
    const { speaker: it, sounds } = speaker(isReadOnly);
    await it.amplify(6);
    Audio.fails = true;
    assert.equal(await it.amplify(8), false);
    Audio.fails = false;
    assert.equal(sounds(), true);
  });
}

test("softer is the graph's where the element's volume is read-only, and the element's own elsewhere", async () => {
  const [ios, other] = [speaker(true), speaker(false)];
  assert.deepEqual([await ios.speaker.amplify(-6), ios.sounds()], [true, false]);
  assert.deepEqual([await other.speaker.amplify(-6), other.sounds()], [true, true]);
});
