// The categories of G.109 by delay and loss, against figures worked out by hand.
import assert from "node:assert/strict";
import test from "node:test";
import { score } from "./score.js";

test("a connection is scored by round trip and loss", () => {
  const table = [
    // R = 93.2 − 1.92
    [0, 0, 5],
    // 93.2 − 0.024 × 130 = 90.08; one more: 89.9
    [100, 0, 5],
    [110, 0, 4],
    // 93.2 − 0.024 × 230 − 0.11 × 52.7 = 81.9
    [300, 0, 4],
    // 93.2 − 0.024 × 280 − 0.11 × 102.7 = 75.2
    [400, 0, 3],
    [1000, 0, 1],
    // 91.28 − 95 × 1 / 26.1 = 87.6
    [0, 2, 4],
    // 91.28 − 95 × 5 / 30.1 = 75.5
    [0, 10, 3],
    [0, 100, 1],
  ];
  for (const [roundTrip, loss, expected] of table) {
    assert.equal(score("udp", roundTrip, loss), expected, `${roundTrip} ms, ${loss} %`);
  }
});

test("what is not the best way has a ceiling, and no way at all is the worst", () => {
  assert.deepEqual(["udp", "tcp", "websocket", undefined].map((way) => score(way, 0, 0)), [5, 4, 3, 1]);
  assert.equal(score("websocket", 1000, 0), 1);
});
