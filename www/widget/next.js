/**
 * The certificate of the page that comes after this one. It is made while this page talks and kept in the panel's own storage, where
 * the shop's scripts cannot see it and nobody can take its key out: by it the server knows the next page for the same browser's, and
 * the gateway has a path ready for it.
 *
 * A page that takes a call up again runs it first of all, since opening the storage takes the browser tens of milliseconds; any other when its
 * call is answered. Where the browser forbids storage nothing is kept, and the call goes by its token alone.
 */

const STORE = "certificates";
/** A call lasts some hours at most; what an end could not tidy away goes with the next call's. */
const LIFETIME_MS = 24 * 3_600_000;
/** Storage that takes longer is of a browser that is being cleaned up, and would cost more than it saves. */
const MADE_WITHIN_MS = 1500;
/** What a page before has kept is waited for: without it the call is not to be had any more. */
const FOUND_WITHIN_MS = 15_000;

/**
 * @typedef {object} Kept
 * @property {RTCCertificate} certificate
 * @property {string} call whose it is, by its id
 */

/**
 * @typedef {object} Identity
 * @property {RTCCertificate} certificate
 * @property {string} fingerprint as SDP writes it
 */

/**
 * Makes the certificate and keeps it.
 * @param {string} call
 * @returns {Promise<{id: string, fingerprint: string}>} what finds it again, and what the server is to know of it
 */
export async function make(call) {
  // Safari knows no `expires`, and has 30 days.
  const algorithm = /** @type {AlgorithmIdentifier} */ ({ name: "ECDSA", namedCurve: "P-256", expires: LIFETIME_MS });
  const certificate = await RTCPeerConnection.generateCertificate(algorithm);
  const id = crypto.randomUUID();
  const fingerprint = written(certificate);
  const put = async () => done((await store()).put(/** @type {Kept} */ ({ certificate, call }), id));
  await within(MADE_WITHIN_MS, put());
  return { id, fingerprint };
}

/**
 * Finds the certificate that a page before has made.
 * @param {string} id
 * @returns {Promise<Identity | undefined>}
 */
export async function find(id) {
  const get = async () => done((await store()).get(id));
  const kept = /** @type {Kept | undefined} */ (await within(FOUND_WITHIN_MS, get()));
  return kept && { certificate: kept.certificate, fingerprint: written(kept.certificate) };
}

/**
 * Forgets all certificates of a call that is over, and those that have expired.
 * @param {string} call
 */
export async function forget(call) {
  const request = (await store()).openCursor();
  request.onsuccess = () => {
    const cursor = request.result;
    if (!cursor) return;
    const kept = /** @type {Kept} */ (cursor.value);
    if (kept.call === call || kept.certificate.expires < Date.now()) cursor.delete();
    cursor.continue();
  };
}

/** @param {RTCCertificate} certificate */
function written(certificate) {
  const { algorithm, value } = certificate.getFingerprints()[0] ?? {};
  if (!algorithm || !value) throw new TypeError("a certificate without a fingerprint");
  return `${algorithm} ${value.toUpperCase()}`;
}

/** @type {Promise<IDBDatabase> | undefined} */
let opened;

/** @returns {Promise<IDBObjectStore>} */
async function store() {
  opened ??= open();
  return (await opened).transaction(STORE, "readwrite").objectStore(STORE);
}

/** @returns {Promise<IDBDatabase>} */
async function open() {
  try {
    const request = indexedDB.open("ringlet", 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(STORE);
    const database = await done(request);
    // Who clears the browser's storage closes it; what comes later is kept anew.
    database.onclose = () => { opened = undefined; };
    return database;
  } catch (error) {
    opened = undefined;
    throw error;
  }
}

/**
 * @template T
 * @param {number} ms
 * @param {Promise<T>} does
 * @returns {Promise<T>}
 */
function within(ms, does) {
  const late = new Promise((_, reject) => setTimeout(reject, ms, new DOMException("storage", "TimeoutError")));
  return Promise.race([does, late]);
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// The frame's name tells that there is a call (panel.js).
if (window.name) store().catch(() => {});
