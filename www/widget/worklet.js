registerProcessor("ringlet-engine", class extends AudioWorkletProcessor {
  process([own], [out]) { if (own?.[0] && out?.[0]) out[0].set(own[0]); return true; }
});
