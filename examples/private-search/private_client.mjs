// A client of Alcove's private search over node-seal (Microsoft SEAL in WebAssembly), for browsers and Node. The secret key
// is made here and never leaves; the server gets evaluation keys and ciphertexts.
//
//   const client = await PrivateClient.create(seal, { url, apiKey });
//   await client.uploadKeys('my laptop');
//   const { parameters, hits } = await client.search('packages', vector, 10);
//   await client.fetchDocuments(hits, parameters);
//
// Of a large collection it may have some clusters scored instead of all of it, which tells the server something of the query
// (services/fhe-proxy/THREAT_MODEL.md, "Named clusters"). It takes a secret of the person's, kept for good:
//
//   const client = await PrivateClient.create(seal, { url, apiKey, groupSecret });   // 32 bytes, see newGroupSecret()
//   await client.search('packages', vector, 10, { clusters: 2, neighbours: 8 });
//
// Requests are binary (content-type: application/octet-stream); answers come in frames, see docs/API.md.

// Browsers and Node.js 20 have it; Debian 12's Node.js 18 hides it in a module.
const crypto = globalThis.crypto ?? (await import('node:crypto')).webcrypto;

const HEADER = 16; // bytes of a SEAL object's header

// What the server said was wrong: `code`, `reason` and `status` beside the message.
export class AlcoveError extends Error {
  constructor(message, details) {
    super(message);
    Object.assign(this, details);
  }
}

// base^exponent mod m, and the representative of v in [0, m).
function power(base, exponent, m) {
  let result = 1n;
  for (let b = BigInt(base) % m, e = BigInt(exponent); e > 0n; e >>= 1n, b = (b * b) % m) {
    if (e & 1n) result = (result * b) % m;
  }
  return result;
}
const modulo = (v, m) => ((v % m) + m) % m;

function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function concat(arrays) {
  const out = new Uint8Array(arrays.reduce((sum, a) => sum + a.length, 0));
  let at = 0;
  for (const a of arrays) {
    out.set(a, at);
    at += a.length;
  }
  return out;
}

// --- Texts sealed to the process that embeds them (HPKE, RFC 9180: X25519, HKDF-SHA256, AES-256-GCM). Ordinary encryption,
// not computation on ciphertext: that process sees the text; the gateway does not.

const utf8 = (text) => new TextEncoder().encode(text);
const SUITE = concat([utf8('HPKE'), Uint8Array.of(0, 0x20, 0, 1, 0, 2)]);
const KEM_SUITE = concat([utf8('KEM'), Uint8Array.of(0, 0x20)]);

async function hmac(key, data) {
  // WebCrypto takes no empty key; HMAC pads keys with zeros, so a zero byte is the same.
  const imported = await crypto.subtle.importKey('raw', key.length ? key : new Uint8Array(1), { name: 'HMAC', hash: 'SHA-256' },
                                                 false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data));
}
const extract = (suite, salt, label, secret) => hmac(salt, concat([utf8('HPKE-v1'), suite, utf8(label), secret]));
async function expand(suite, secret, label, info, length) {
  const labeled = concat([Uint8Array.of(length >> 8, length & 255), utf8('HPKE-v1'), suite, utf8(label), info]);
  let out = new Uint8Array(0), block = new Uint8Array(0);
  for (let i = 1; out.length < length; ++i) {
    block = await hmac(secret, concat([block, labeled, Uint8Array.of(i)]));
    out = concat([out, block]);
  }
  return out.slice(0, length);
}

// A message sealed to a public key, and how its reply is opened.
export async function sealTo(publicKey, purpose, text) {
  const recipient = await crypto.subtle.importKey('raw', publicKey, { name: 'X25519' }, true, []);
  const own = await crypto.subtle.generateKey({ name: 'X25519' }, true, ['deriveBits']);
  const encapsulated = new Uint8Array(await crypto.subtle.exportKey('raw', own.publicKey));
  const dh = new Uint8Array(await crypto.subtle.deriveBits({ name: 'X25519', public: recipient }, own.privateKey, 256));
  const empty = new Uint8Array(0);
  const shared = await expand(KEM_SUITE, await extract(KEM_SUITE, empty, 'eae_prk', dh), 'shared_secret',
                              concat([encapsulated, publicKey]), 32);
  const schedule = concat([Uint8Array.of(0), await extract(SUITE, empty, 'psk_id_hash', empty),
                           await extract(SUITE, empty, 'info_hash', utf8(purpose))]);
  const secret = await extract(SUITE, shared, 'secret', empty);
  const aes = async (bytes) => crypto.subtle.importKey('raw', bytes, 'AES-GCM', false, ['encrypt', 'decrypt']);
  const key = await aes(await expand(SUITE, secret, 'key', schedule, 32));
  const iv = await expand(SUITE, secret, 'base_nonce', schedule, 12);
  const exporter = await expand(SUITE, secret, 'exp', schedule, 32);
  const replyKey = await aes(await expand(SUITE, exporter, 'sec', utf8('alcove reply key'), 32));
  const replyIv = await expand(SUITE, exporter, 'sec', utf8('alcove reply nonce'), 12);
  return {
    sealed: concat([encapsulated, new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-GCM', iv }, key, text))]),
    open: async (reply) => new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv: replyIv }, replyKey, reply)),
  };
}

// Just enough protobuf: a length-delimited field, and the fields of a message.
function field(number, bytes) {
  const head = [number << 3 | 2];
  for (let n = bytes.length; ; n >>>= 7) {
    head.push(n < 128 ? n : n & 127 | 128);
    if (n < 128) break;
  }
  return concat([Uint8Array.from(head), bytes]);
}
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1, byte;
    do { byte = bytes[at++]; value += (byte & 127) * scale; scale *= 128; } while (byte > 127 && at < bytes.length);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    if ((tag & 7) === 2) {
      const length = varint();
      yield [tag >>> 3, bytes.slice(at, at + length)];
      at += length;
    } else if ((tag & 7) === 0) varint();
    else at += (tag & 7) === 1 ? 8 : 4;
  }
}

// Where the score of row r of a block stands among the coefficients of a reply.
export function scorePosition(layout, r) {
  const { stride, chunk } = layout;
  return (r % stride) + Math.floor(r / stride) * chunk * stride + (chunk - 1) * stride;
}

// --- Named clusters: docs/API.md, "Clusters". Every client does this alike, so that clients with the same secret name the same
// blocks.

export const newGroupSecret = () => crypto.getRandomValues(new Uint8Array(32));
export const hexOf = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
// The secret from the text it is kept as.
export function groupSecretFrom(text) {
  const digits = text.trim();
  if (!/^[0-9a-f]{64}$/i.test(digits)) throw new Error('a group secret is 64 hexadecimal digits');
  return Uint8Array.from({ length: 32 }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

// The blocks to name for a vector, sorted; null for all of them, when there are too few clusters for two groups. The clusters
// stand in the order of HMAC-SHA-256(secret, centroid) and are cut into groups of `group`, once and for all: a query names the
// group its nearest cluster is in, with the `neighbours` nearest clusters of every member. So all queries near any member
// name the same blocks, and repeating or varying a query tells the server nothing new.
export async function chooseBlocks(parameters, vector, secret, { group, neighbours }) {
  if (!(secret?.length === 32)) throw new Error('naming clusters takes a group secret of 32 bytes');
  if (!(Number.isInteger(group) && group >= 1)) throw new Error('a group has 1 cluster or more');
  if (!(Number.isInteger(neighbours) && neighbours >= 1)) throw new Error('a cluster has 1 neighbour or more, itself');
  const { layout, quantisation } = parameters;
  const clusters = (parameters.clusters ?? []).map(({ centroid = '', blocks = [], neighbours: near = [] }) => {
    const bytes = fromBase64(centroid);
    const sound = bytes.length === layout.dimension && near.length > 0 && blocks.every((b) => b < layout.blocks) &&
        near.every((c) => c < parameters.clusters.length);
    if (!sound) throw new Error('the server described its clusters in a way that does not add up');
    return { bytes, numbers: new Int8Array(bytes.buffer), blocks, near };
  });
  const groups = Math.floor(clusters.length / group);
  if (groups <= 1) return null;
  // Rows of a cosine collection are as long as the scale: the nearest by distance. Otherwise the largest product.
  const length = Math.hypot(...vector) || 1;
  let mine = 0, largest = -Infinity;
  clusters.forEach(({ numbers }, c) => {
    let dot = 0, energy = 0;
    numbers.forEach((v, d) => { dot += (vector[d] / length) * v; energy += v * v; });
    const value = quantisation.normalise ? quantisation.row_scale * dot - energy / 2 : dot;
    if (value > largest) [mine, largest] = [c, value];
  });
  const order = await Promise.all(clusters.map(async ({ bytes }, c) => [hexOf(await hmac(secret, bytes)), c]));
  order.sort(([a, i], [b, j]) => (a < b ? -1 : a > b ? 1 : i - j));
  // The last group takes what is left over.
  const at = Math.min(Math.floor(order.findIndex(([, c]) => c === mine) / group), groups - 1);
  const members = order.slice(at * group, at + 1 === groups ? undefined : (at + 1) * group);
  const named = new Set();
  for (const [, c] of members) for (const n of clusters[c].near.slice(0, neighbours)) for (const b of clusters[n].blocks) named.add(b);
  return [...named].sort((a, b) => a - b);
}

// The signs of a layout, one bit a coefficient, as a function: -1 where a coefficient was negated.
function signsOf(base64 = '') {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return (i) => ((bytes[i >> 3] >> (i & 7)) & 1 ? -1 : 1);
}

export class PrivateClient {
  static async create(seal, { url = '', apiKey = '', set = 's50', groupSecret = null, fetch: fetcher = globalThis.fetch.bind(globalThis) } = {}) {
    const client = new PrivateClient();
    Object.assign(client, { seal, url, apiKey, groupSecret, fetcher, steps: [], keyId: '' });
    const found = await client.json('parameters', `/v1/private/parameters?name=${encodeURIComponent(set)}`);
    client.set = found.sets[0];
    const began = performance.now();
    const parms = seal.EncryptionParameters(seal.SchemeType.bfv);
    parms.loadArray(fromBase64(client.set.seal_parameters));
    client.context = seal.Context(parms, true, seal.SecurityLevel.tc128);
    if (!client.context.parametersSet()) throw new Error('this SEAL does not accept the server\'s parameters');
    client.keygen = seal.KeyGenerator(client.context);
    client.secret = client.keygen.secretKey();
    client.encryptor = seal.Encryptor(client.context, client.keygen.createPublicKey(), client.secret);
    client.decryptor = seal.Decryptor(client.context, client.secret);
    client.step('secret key made', began, 0, 0);
    return client;
  }

  step(name, began, sent, received) {
    this.steps.push({ name, ms: performance.now() - began, sent, received });
  }

  async request(path, options = {}) {
    const headers = { ...options.headers };
    if (this.apiKey) headers.authorization = `Bearer ${this.apiKey}`;
    const response = await this.fetcher(this.url + path, { ...options, headers });
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    throw new AlcoveError(problem.detail || `HTTP ${response.status}`,
                          { code: problem.code, reason: problem.reason, status: response.status });
  }

  async json(name, path, options) {
    const began = performance.now();
    const text = await (await this.request(path, options)).text();
    this.step(name, began, options?.body?.length ?? 0, text.length);
    return JSON.parse(text);
  }

  // The vector of a text by a model of the server, the text sealed to the process that runs it. Needs X25519 in WebCrypto
  // (in browsers: HTTPS or localhost).
  async embedSealed(model, text) {
    const key = await this.json('sealing key', '/v1/inference/sealing_key');
    const began = performance.now();
    const request = concat([model ? field(1, utf8(model)) : new Uint8Array(0), field(2, utf8(text)), Uint8Array.of(4 << 3, 1)]);
    const { sealed, open } = await sealTo(fromBase64(key.public_key), key.purpose, request);
    const query = new URLSearchParams({ key_id: key.key_id, aead: 'AES_256_GCM' });
    const response = await this.request(`/v1/inference:embedSealed?${query}`, {
      method: 'POST', body: sealed, headers: { 'content-type': 'application/octet-stream', accept: 'application/octet-stream' },
    });
    const frame = new Uint8Array(await response.arrayBuffer());
    const reply = await open(frame.slice(8 + new DataView(frame.buffer).getUint32(0, true)));
    this.step('text embedded, sealed to the model', began, sealed.length, frame.length);
    for (const [number, embedding] of fields(reply)) {
      if (number !== 1) continue;
      for (const [inner, values] of fields(embedding)) {
        if (inner === 1) return Array.from(new Float32Array(values.buffer, values.byteOffset, values.length / 4));
      }
    }
    throw new Error('the model answered no vector');
  }

  // Evaluation keys: the server computes with them; they decrypt nothing.
  async uploadKeys(label = '') {
    let began = performance.now();
    const m = 2 * this.set.poly_modulus_degree;
    // node-seal asks for rotation steps: the exponents of 3 that give the Galois elements the server needs.
    const stepOf = new Map();
    for (let k = 0, g = 1; k < m / 4; ++k, g = (g * 3) % m) stepOf.set(g, k);
    const steps = Int32Array.from(this.set.galois_elements, (g) => {
      if (!stepOf.has(g)) throw new Error(`no rotation has the Galois element ${g}`);
      return stepOf.get(g);
    });
    const keys = this.keygen.createGaloisKeysSerializable(steps).saveArray(this.seal.ComprModeType.zstd);
    this.step('evaluation keys made', began, 0, 0);
    began = performance.now();
    const query = new URLSearchParams({ parameter_set: this.set.name, label });
    const response = await this.request(`/v1/private/keys?${query}`, {
      method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: keys,
    });
    const text = await response.text();
    this.step('evaluation keys uploaded', began, keys.length, text.length);
    this.keyId = JSON.parse(text).keys.key_id;
    return this.keyId;
  }

  // One ciphertext of coefficients (BigInt, in [0, t)).
  encrypt(coefficients) {
    const bytes = new Uint8Array(88 + 8 * coefficients.length);
    const view = new DataView(bytes.buffer);
    const header = (at, size) => {
      bytes.set([0x5e, 0xa1, HEADER, 4, 1, 0, 0, 0], at);
      view.setBigUint64(at + 8, BigInt(size), true);
    };
    // A plaintext as SEAL writes it: header, no level, count, scale 1, the coefficients.
    header(0, bytes.length);
    view.setBigUint64(48, BigInt(coefficients.length), true);
    view.setFloat64(56, 1, true);
    header(64, bytes.length - 64);
    view.setBigUint64(80, BigInt(coefficients.length), true);
    coefficients.forEach((v, i) => view.setBigUint64(88 + 8 * i, v, true));
    const plain = this.seal.PlainText();
    plain.loadArray(this.context, bytes);
    const cipher = this.encryptor.encryptSymmetricSerializable(plain).saveArray(this.seal.ComprModeType.zstd);
    plain.delete();
    return cipher;
  }

  // All coefficients of a decrypted reply, centred around zero, with the signs of its layout undone.
  decrypt(bytes, signs) {
    const cipher = this.seal.CipherText();
    cipher.loadArray(this.context, bytes);
    const plain = this.decryptor.decrypt(cipher);
    const saved = plain.saveArray(this.seal.ComprModeType.none);
    cipher.delete();
    plain.delete();
    const view = new DataView(saved.buffer, saved.byteOffset, saved.byteLength);
    const count = Number(view.getBigUint64(80, true));
    const t = Number(this.set.plain_modulus);
    const sign = signsOf(signs);
    const out = new Int32Array(this.set.poly_modulus_degree);
    for (let i = 0; i < count; ++i) {
      const v = Number(view.getBigUint64(88 + 8 * i, true));
      out[i] = sign(i) * (v > t / 2 ? v - t : v);
    }
    return out;
  }

  // Numbers of a vector as the parts of a query.
  packQuery(layout, numbers) {
    const t = BigInt(this.set.plain_modulus);
    return layout.parts.map((part) => {
      const factor = power((t + 1n) / 2n, part.doublings, t);
      return Array.from(numbers.slice(part.first, part.first + part.numbers), (v) => modulo(BigInt(v) * factor, t));
    });
  }

  // Posts a binary body and reads the frames of the answer.
  async frames(path, body) {
    const response = await this.request(path, {
      method: 'POST', body, headers: { 'content-type': 'application/octet-stream', accept: 'application/octet-stream' },
    });
    const all = new Uint8Array(await response.arrayBuffer());
    const view = new DataView(all.buffer);
    const replies = [];
    let ended = false;
    for (let at = 0; at + 8 <= all.length;) {
      const jsonBytes = view.getUint32(at, true), dataBytes = view.getUint32(at + 4, true);
      const info = JSON.parse(new TextDecoder().decode(all.subarray(at + 8, at + 8 + jsonBytes)));
      const data = all.slice(at + 8 + jsonBytes, at + 8 + jsonBytes + dataBytes);
      at += 8 + jsonBytes + dataBytes;
      if (info.error) throw new AlcoveError(info.error.message, info.error);
      if (info.end) ended = true;
      else replies.push({ ...info, data });
    }
    if (!ended) throw new Error('the answer broke off');
    return { replies, bytes: all.length };
  }

  async collection(name, { documents = false, clusters = false } = {}) {
    const query = new URLSearchParams({ parameter_set: this.set.name, with_documents: documents, with_clusters: clusters });
    return this.json(documents ? 'documents prepared' : 'parameters',
                     `/v1/private/collections/${encodeURIComponent(name)}?${query}`);
  }

  // The best `limit` rows for a vector that stays here, and the blocks that were named (null: all were scored). A collection
  // that changed meanwhile is looked at again. With `clusters` only those near the query and near clusters - 1 decoys are
  // scored, and the server learns that the query is near one of these.
  async search(name, vector, limit = 10, { clusters = 0, neighbours = 8 } = {}) {
    for (let attempt = 1; ; ++attempt) {
      const parameters = await this.collection(name, { clusters: clusters > 0 });
      const blocks = clusters > 0 ? await chooseBlocks(parameters, vector, this.groupSecret, { group: clusters, neighbours }) : null;
      try {
        return { parameters, blocks, hits: await this.searchOnce(parameters, vector, limit, blocks) };
      } catch (error) {
        if (error.reason !== 'COLLECTION_CHANGED' || attempt === 4) throw error;
      }
    }
  }

  async searchOnce(parameters, vector, limit, blocks = null) {
    const { layout, quantisation, sequence, collection } = parameters;
    if (vector.length !== layout.dimension) {
      throw new Error(`the vector has ${vector.length} numbers; the collection has ${layout.dimension}`);
    }
    let began = performance.now();
    const length = Math.hypot(...vector);
    const scale = quantisation.query_scale / length;
    const numbers = vector.map((v) => Math.round(v * scale));
    const body = concat(this.packQuery(layout, numbers).map((part) => this.encrypt(part)));
    this.step('query encrypted', began, 0, 0);
    began = performance.now();
    const query = new URLSearchParams({ key_id: this.keyId, collection, sequence, compression: 'zstd' });
    for (const block of blocks ?? []) query.append('blocks', block);
    const { replies, bytes } = await this.frames(`/v1/private/search?${query}`, body);
    this.step('scores computed on ciphertext', began, body.length, bytes);
    const expected = (blocks ?? { length: layout.blocks }).length;
    if (replies.length !== expected) throw new Error(`the server answered ${replies.length} blocks of ${expected}`);
    began = performance.now();
    const hits = [];
    for (const reply of replies) {
      const scores = this.decrypt(reply.data, layout.signs);
      reply.ids.forEach((id, r) => {
        const row = reply.block * layout.rows_per_block + r;
        const score = scores[scorePosition(layout, r)] / (scale * quantisation.row_scale);
        hits.push({ row, id, score: quantisation.normalise ? score / length : score });
      });
    }
    hits.sort((a, b) => b.score - a.score || (a.id < b.id ? -1 : 1));
    this.step('decrypted and ranked', began, 0, 0);
    return hits.slice(0, limit);
  }

  // Fetches the documents of hits by private lookups: the server does not learn which.
  async fetchDocuments(hits, parameters) {
    const now = await this.collection(parameters.collection, { documents: true });
    if (now.sequence !== parameters.sequence) {
      throw new AlcoveError('the collection has changed since the search', { reason: 'COLLECTION_CHANGED' });
    }
    const layout = now.documents;
    const t = BigInt(this.set.plain_modulus);
    for (let first = 0; first < hits.length; first += now.max_queries) {
      const batch = hits.slice(first, first + now.max_queries);
      let began = performance.now();
      // Every part of every query is encrypted, whichever holds the one: they all look alike.
      const body = concat(batch.flatMap((hit) => {
        const selector = Math.floor(hit.row / layout.per_selector);
        return layout.parts.map((part) => {
          const coefficients = Array(part.selectors).fill(0n);
          if (selector >= part.first && selector < part.first + part.selectors) {
            coefficients[selector - part.first] = power((t + 1n) / 2n, part.doublings, t);
          }
          return this.encrypt(coefficients);
        });
      }));
      this.step('choices encrypted', began, 0, 0);
      began = performance.now();
      const query = new URLSearchParams({
        key_id: this.keyId, collection: now.collection, sequence: now.sequence, compression: 'zstd',
      });
      const { replies, bytes } = await this.frames(`/v1/private/lookup?${query}`, body);
      this.step('documents fetched privately', began, body.length, bytes);
      const pieces = batch.map(() => []);
      for (const reply of replies) pieces[reply.query][reply.block] = this.decrypt(reply.data, layout.signs);
      batch.forEach((hit, i) => { hit.text = this.document(layout, hit.row, pieces[i]); });
    }
    return hits;
  }

  document(layout, row, pieces) {
    const offset = (row % layout.per_selector) * layout.record_bytes;
    const bytes = Uint8Array.from({ length: layout.record_bytes }, (_, b) => {
      const v = pieces[Math.floor(b / this.set.poly_modulus_degree)][offset + (b % this.set.poly_modulus_degree)] + 128;
      if (v < 0 || v > 255) throw new Error('the reply holds no document');
      return v;
    });
    const length = bytes[0] | (bytes[1] << 8);
    if (length + 3 > bytes.length) throw new Error('the reply holds no document');
    return new TextDecoder().decode(bytes.subarray(3, 3 + length)) + (bytes[2] & 1 ? '…' : '');
  }
}
