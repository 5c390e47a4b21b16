// What quanta.mjs measures in a browser's worker.

import { measure } from "./quanta.mjs";

onmessage = async ({ data: { module, layer, batch } }) => {
  const bytes = await (await fetch(module)).arrayBuffer();
  postMessage(measure(bytes, layer, batch));
};
