// What quanta.mjs measures in Node, and a module's bytes on the wire. `node speed.mjs FILE LAYER BATCH` prints that, in a line, and then the bytes.
// Node's V8 is Chromium's; its machine is not a shopper's.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { measure } from "./quanta.mjs";

const bytes = readFileSync(process.argv[2]);
console.log(...measure(bytes, Number(process.argv[3]), Number(process.argv[4])), gzipSync(bytes, { level: 9 }).length);
