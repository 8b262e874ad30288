// An unmodified node-seal client against our server half: every decrypted score must be exact.
// usage: node node_client.mjs FHE_SEARCH_TOOL
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import SEAL from 'node-seal/allows_wasm_node_umd.js';

const N = 4096, T = 417793n, DIMENSIONS = 384, ROWS = 5000;
// node-seal takes rotation steps; these are the ones whose Galois elements are N / 2^j + 1, j = 0 … 8.
const STEPS = [1024, 512, 1280, 640, 1344, 672, 1872, 1576, 1460];

const seal = await SEAL();

function search(primeBits) {
  const parms = seal.EncryptionParameters(seal.SchemeType.bfv);
  parms.setPolyModulusDegree(N);
  parms.setCoeffModulus(seal.CoeffModulus.Create(N, Int32Array.from(primeBits)));
  parms.setPlainModulus(seal.Modulus(T.toString()));
  const context = seal.Context(parms, true, seal.SecurityLevel.tc128);
  const keygen = seal.KeyGenerator(context);
  const encryptor = seal.Encryptor(context, keygen.createPublicKey(), keygen.secretKey());
  const decryptor = seal.Decryptor(context, keygen.secretKey());

  const noise = () => Math.max(-127, Math.min(127, Math.round(60 * (Math.random() + Math.random() - 1))));
  const query = Array.from({ length: DIMENSIONS }, noise);
  const rows = Array.from({ length: ROWS }, () => Int8Array.from({ length: DIMENSIONS }, noise));

  // A plaintext of coefficients, as SEAL writes it: header, zero parms_id, count, scale 1, nested array.
  let factor = 1n;
  for (let j = 0; j < STEPS.length; ++j) factor = (factor * ((T + 1n) / 2n)) % T;
  const bytes = Buffer.alloc(88 + 8 * DIMENSIONS);
  const header = (at, size) => {
    bytes.set([0x5e, 0xa1, 16, 4, 1, 0, 0, 0], at);
    bytes.writeBigUInt64LE(BigInt(size), at + 8);
  };
  header(0, bytes.length);
  bytes.writeBigUInt64LE(BigInt(DIMENSIONS), 48);
  bytes.writeDoubleLE(1, 56);
  header(64, bytes.length - 64);
  bytes.writeBigUInt64LE(BigInt(DIMENSIONS), 80);
  query.forEach((v, d) => bytes.writeBigUInt64LE((((BigInt(v) * factor) % T) + T) % T, 88 + 8 * d));
  const plain = seal.PlainText();
  plain.loadArray(context, new Uint8Array(bytes));

  const folder = mkdtempSync(join(tmpdir(), 'alcove-interop-'));
  try {
    const zlib = seal.ComprModeType.zlib;
    const sizes = {};
    const put = (name, data) => {
      sizes[name] = data.length;
      writeFileSync(join(folder, name), Buffer.from(data));
      return join(folder, name);
    };
    const files = [
      put('parms', parms.saveArray(zlib)),
      put('galois', keygen.createGaloisKeysSerializable(Int32Array.from(STEPS)).saveArray(zlib)),
      put('query', encryptor.encryptSymmetricSerializable(plain).saveArray(zlib)),
      put('rows', Buffer.concat(rows.map((row) => Buffer.from(row.buffer)))),
    ];
    execFileSync(process.argv[2], [...files, String(DIMENSIONS), join(folder, 'scores')], { stdio: 'inherit' });
    let size = 0;
    for (let begin = 0; begin < ROWS; begin += N) {
      const cipher = seal.CipherText();
      const bytes = new Uint8Array(readFileSync(join(folder, 'scores' + begin / N)));
      size += bytes.length;
      cipher.loadArray(context, bytes);
      const reply = Buffer.from(decryptor.decrypt(cipher).saveArray(seal.ComprModeType.none));
      const count = Number(reply.readBigUInt64LE(80));
      for (let r = begin; r < Math.min(begin + N, ROWS); ++r) {
        let value = r - begin < count ? reply.readBigUInt64LE(88 + 8 * (r - begin)) : 0n;
        if (value > T / 2n) value -= T;
        let want = 0;
        for (let d = 0; d < DIMENSIONS; ++d) want += query[d] * rows[r][d];
        if (Number(value) !== want) throw new Error(`row ${r}: ${value} instead of ${want}`);
      }
    }
    console.log(`node-seal, ${primeBits} bits: ${ROWS} scores of ${DIMENSIONS} dimensions exact; query ${sizes.query} B, ` +
                `keys ${sizes.galois} B, replies ${size} B`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

for (const bits of [[50, 59], [50, 50]]) search(bits);
