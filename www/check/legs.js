/**
 * The legs of a check: one peer connection a way, each of which hears its own audio back, and frames over the socket. What they
 * find is judged elsewhere.
 */

/** @typedef {import("../../crates/protocol/ringlet.js").CheckEvent} CheckEvent */
/** @typedef {import("../../crates/protocol/ringlet.js").CheckRequest} CheckRequest */
/** @typedef {import("../../crates/protocol/ringlet.js").CheckPath} CheckPath */

/** How long the socket may take to open and to be welcomed. */
const SOCKET_WITHIN_MS = 5000;
/** How long ICE and DTLS may take. The server ends a leg after 10 s, and a measurement has to fit behind this. */
const CONNECT_WITHIN_MS = 5000;
/** How long is measured: 150 packets, so that a loss of 1 % shows. */
const MEASURE_MS = 3000;
/** How often a round trip is read. */
const READ_EVERY_MS = 250;
/** Frames that are sent, one each 20 ms. */
const FRAMES = 75;
/** How long after the last frame one may still come back. */
const FRAMES_WITHIN_MS = 1500;
/** How long a frame lasts. */
const FRAME_MS = 20;
/** 20 ms of G.711 behind a header of 7 bytes (crates/frame). */
const FRAME_BYTES = 167;

/**
 * @typedef {object} Found what was found on one way
 * @property {boolean} up audio can flow
 * @property {boolean} [offered] false: the gateway names no address for this way
 * @property {string} [code] the server's reason why there is no leg
 * @property {number} [roundTrip] median, in ms
 * @property {number} [loss] in percent, there and back; absent where nothing could be sent
 */

/** A check that the server refuses, with the catalogue's code. */
export class Refused extends Error {}

/** The socket of a check. */
export class Session {
  #socket;
  /** @type {Map<CheckPath, {onEvent: (event: CheckEvent) => void}>} */
  #legs = new Map();
  /** When each frame went, by its number. @type {number[]} */
  #sent = [];
  /** @type {number[]} */
  #roundTrips = [];

  /** @param {WebSocket} socket */
  constructor(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(data);
  }

  /**
   * Opens the socket and waits for its welcome.
   * @param {string} token
   * @returns {Promise<{session: Session, ms: number}>} and how long it took to open
   * @throws {Refused} when the server says so; any other error: there is no way to it
   */
  static open(token) {
    const began = performance.now();
    const socket = new WebSocket(new URL("ws/check", location.href).href.replace("http", "ws"));
    socket.binaryType = "arraybuffer";
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => fail(new Error("no welcome in time")), SOCKET_WITHIN_MS);
      /** @param {Error} error */
      const fail = (error) => {
        clearTimeout(late);
        socket.close();
        reject(error);
      };
      let ms = 0;
      socket.onopen = () => {
        ms = performance.now() - began;
        socket.send(JSON.stringify({ type: "hello", version: 1, token }));
      };
      socket.onclose = () => fail(new Error("the socket closed"));
      socket.onmessage = ({ data }) => {
        /** @type {CheckEvent} */
        const event = JSON.parse(data);
        if (event.type === "ended") return fail(new Refused(event.code ?? "RL-405"));
        clearTimeout(late);
        socket.onclose = null;
        resolve({ session: new Session(socket), ms });
      };
    });
  }

  /** @param {CheckRequest} request */
  say(request) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }

  /** @param {CheckPath} path @param {(event: CheckEvent) => void} onEvent */
  listen(path, onEvent) {
    this.#legs.set(path, { onEvent });
  }

  close() {
    this.#socket.close(1000);
  }

  /**
   * Sends frames and counts those that come back. A leg must have its answer.
   * @returns {Promise<Found>}
   */
  async frames() {
    const began = performance.now();
    while (this.#sent.length < FRAMES && this.#socket.readyState === WebSocket.OPEN) {
      // Timers of hidden frames are slow: then several go at once.
      const due = Math.min(FRAMES, 1 + Math.floor((performance.now() - began) / FRAME_MS));
      while (this.#sent.length < due) this.#sendFrame();
      await pause(FRAME_MS);
    }
    const deadline = performance.now() + FRAMES_WITHIN_MS;
    while (this.#roundTrips.length < FRAMES && performance.now() < deadline) await pause(FRAME_MS);
    const loss = 100 * (1 - this.#roundTrips.length / FRAMES);
    // More than half: a proxy that holds back shows by none or few.
    return { up: loss < 50, roundTrip: median(this.#roundTrips), loss };
  }

  #sendFrame() {
    const frame = new DataView(new ArrayBuffer(FRAME_BYTES));
    const number = this.#sent.length;
    frame.setUint16(1, number);
    frame.setUint32(3, number * 160);
    this.#socket.send(frame);
    this.#sent.push(performance.now());
  }

  /** @param {string | ArrayBuffer} data */
  #take(data) {
    if (data instanceof ArrayBuffer) {
      const sent = this.#sent[new DataView(data).getUint16(1)];
      if (sent !== undefined) this.#roundTrips.push(performance.now() - sent);
      return;
    }
    /** @type {CheckEvent} */
    const event = JSON.parse(data);
    if (event.type === "welcome") return;
    for (const [path, leg] of this.#legs) {
      if (!event.path || event.path === path) leg.onEvent(event);
    }
  }
}

/**
 * Makes a leg over one way only, and measures it.
 * @param {Session} session
 * @param {CheckPath} path
 * @param {MediaStreamTrack | undefined} track what is sent
 * @param {() => void} onAnswer
 * @returns {Promise<Found>}
 */
export async function leg(session, path, track, onAnswer) {
  const connection = new RTCPeerConnection();
  try {
    connection.addTransceiver(track ?? "audio", { direction: "sendrecv" });
    connection.onicecandidate = ({ candidate }) => {
      // Of the other way there is nothing to be known here.
      if (candidate?.protocol === path) session.say({ type: "candidate", path, candidate: candidate.candidate });
    };
    /** @type {Promise<string>} */
    const answered = new Promise((resolve, reject) => {
      session.listen(path, (event) => {
        if (event.type === "answer") resolve(event.sdp);
        else if (event.type === "ended") reject(new Refused(event.code));
      });
    });
    answered.catch(() => {});
    await connection.setLocalDescription();
    session.say({ type: "offer", path, sdp: connection.localDescription?.sdp ?? "" });
    const answer = await within(CONNECT_WITHIN_MS, answered);
    onAnswer();
    const { sdp, offered } = only(path, answer);
    if (!offered) return { up: false, offered };
    await connection.setRemoteDescription({ type: "answer", sdp });
    const up = await within(CONNECT_WITHIN_MS, connected(connection)).catch(() => false);
    return up ? { up, ...(await measure(connection)) } : { up };
  } catch (error) {
    return { up: false, code: error instanceof Refused ? error.message || undefined : undefined };
  } finally {
    connection.close();
  }
}

/**
 * The answer with the candidates of one way.
 * @param {CheckPath} path
 * @param {string} sdp
 */
export function only(path, sdp) {
  let offered = false;
  const lines = sdp.split("\r\n").filter((line) => {
    const [, protocol] = /^a=candidate:\S+ \d+ (\S+) /.exec(line) ?? [];
    if (!protocol) return true;
    const wanted = protocol.toLowerCase() === path;
    offered ||= wanted;
    return wanted;
  });
  return { sdp: lines.join("\r\n"), offered };
}

/** @param {RTCPeerConnection} connection @returns {Promise<boolean>} */
function connected(connection) {
  return new Promise((resolve) => {
    const look = () => {
      if (connection.connectionState === "connected") resolve(true);
      else if (["failed", "closed"].includes(connection.connectionState)) resolve(false);
    };
    connection.onconnectionstatechange = look;
    look();
  });
}

/** @param {RTCPeerConnection} connection */
async function measure(connection) {
  /** @type {number[]} */
  const roundTrips = [];
  const end = performance.now() + MEASURE_MS;
  /** @type {any} */
  let [sent, got, lost] = [0, 0, 0];
  while (performance.now() < end) {
    await pause(READ_EVERY_MS);
    for (const stat of (await connection.getStats()).values()) {
      if (stat.type === "candidate-pair" && stat.nominated && stat.currentRoundTripTime !== undefined) {
        roundTrips.push(1000 * stat.currentRoundTripTime);
      } else if (stat.type === "outbound-rtp") sent = stat.packetsSent;
      else if (stat.type === "inbound-rtp") [got, lost] = [stat.packetsReceived, stat.packetsLost];
    }
  }
  // What is still on its way is no loss; but where nothing comes back, no gap shows it.
  const loss = sent < 10 ? undefined : got ? (100 * Math.max(0, lost)) / (got + Math.max(0, lost)) : 100;
  return { roundTrip: median(roundTrips), loss };
}

/** @param {number} ms */
export function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} promise
 * @returns {Promise<T>} rejects when it is late
 */
export function within(ms, promise) {
  return Promise.race([promise, pause(ms).then(() => Promise.reject(new Error("too late")))]);
}

/** @param {number[]} values @returns {number | undefined} */
function median(values) {
  return values.sort((a, b) => a - b)[values.length >> 1];
}
