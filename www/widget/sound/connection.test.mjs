// What a browser's statistics say of a connection, and the score of it.
import assert from "node:assert/strict";
import test from "node:test";
import { read, scored, way } from "./connection.js";

/** A browser's statistics after so many packets, of which so many were lost, and with a report of the gateway. */
function stats(got, lost, concealed, reported, fractionLost, protocol = "udp") {
  const all = [
    { id: "other", type: "candidate-pair", nominated: false, state: "succeeded", currentRoundTripTime: 3, localCandidateId: "t" },
    { id: "pair", type: "candidate-pair", nominated: true, state: "succeeded", currentRoundTripTime: 0.04, localCandidateId: "u" },
    { id: "t", type: "local-candidate", protocol: "tcp" },
    { id: "u", type: "local-candidate", protocol },
    { id: "in", type: "inbound-rtp", packetsReceived: got, packetsLost: lost, jitter: 0.007, totalSamplesReceived: 960 * got,
      concealedSamples: concealed + 500, silentConcealedSamples: 500 },
    { id: "back", type: "remote-inbound-rtp", timestamp: reported, fractionLost },
  ];
  return read(new Map(all.map((it) => [it.id, it])));
}

test("what was lost, concealed and reported between two readings is told in percent, and what was before is not", () => {
  const found = way([stats(1000, 500, 9999, 7, 0.5), stats(1100, 505, 9999, 8, 0.1), stats(1196, 504, 9999 + 18_816, 9, 0.02)]);
  assert.deepEqual(found, { transport: "udp", roundTrip: 40, jitter: 7, said: 6, heard: 2, concealed: 10 });
  // R = 93.2 − 0.024 × 100 − 95 × 8 / 33.1 = 67.8
  assert.deepEqual(scored(found), {
    quality_score: 2, round_trip_ms: 40, jitter_ms: 7, said_lost_percent: 6, heard_lost_percent: 2, concealed_percent: 10,
  });
});

test("without loss a connection is very good, and loss of either way lowers that", () => {
  const score = (lost, fraction) => scored(way([stats(0, 0, 0, 1, 0), stats(200, lost, 0, 2, fraction)])).quality_score;
  assert.equal(score(0, 0), 5);
  assert.ok(score(50, 0) < 4 && score(0, 0.2) < 4);
});

test("what nobody has told is left out, where nothing comes all is lost, and TCP is never very good", () => {
  const silent = way([stats(10, 0, 0, 1, 0, "tcp"), stats(10, 0, 0, 1, 0, "tcp")]);
  assert.deepEqual([silent.said, silent.concealed, silent.heard, silent.transport], [undefined, undefined, 100, "tcp"]);
  assert.equal(scored({ ...silent, heard: 0 }).quality_score, 4);
  assert.equal(JSON.stringify(scored({ transport: "websocket" })), '{"quality_score":3}');
});
