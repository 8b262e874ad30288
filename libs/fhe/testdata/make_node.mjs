// Captures what an unmodified node-seal client sends, and what SEAL computes from it: see README.md.
// usage: node make_node.mjs OUT_DIR   (with node-seal 6.0.3 resolvable)
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import SEAL from 'node-seal/allows_wasm_node_umd.js';

const out = process.argv[2];
const seal = await SEAL();
const parms = seal.EncryptionParameters(seal.SchemeType.bfv);
parms.setPolyModulusDegree(4096);
parms.setCoeffModulus(seal.CoeffModulus.Create(4096, Int32Array.from([50, 59])));
parms.setPlainModulus(seal.Modulus('417793'));
const context = seal.Context(parms, true, seal.SecurityLevel.tc128);
const keygen = seal.KeyGenerator(context);
const encryptor = seal.Encryptor(context, keygen.createPublicKey(), keygen.secretKey());
const evaluator = seal.Evaluator(context);
const encoder = seal.BatchEncoder(context);

// Slots 0 … 4095 hold 3i + 1; the Galois key is that of step 1024, element 4097.
const values = Uint32Array.from({ length: 4096 }, (_, i) => 3 * i + 1);
const plain = encoder.encode(values);
const query = encryptor.encryptSymmetricSerializable(plain);
const galois = keygen.createGaloisKeysSerializable(Int32Array.from([1024]));

const zlib = seal.ComprModeType.zlib;
const save = (name, bytes) => writeFileSync(`${out}/${name}`, Buffer.from(bytes));
save('node.parms', parms.saveArray(zlib));
save('node.query', query.saveArray(zlib));
save('node.galois', galois.saveArray(zlib));

// The words of an uncompressed two-polynomial ciphertext start at byte 113; their digest stands for them.
const digest = (cipher) => {
  const words = Buffer.from(cipher.saveArray(seal.ComprModeType.none)).subarray(113);
  return createHash('blake2b512').update(words).digest('hex');
};
const cipher = seal.CipherText();
cipher.loadArray(context, query.saveArray(zlib));
const keys = seal.GaloisKeys();
keys.loadArray(context, galois.saveArray(zlib));
const lines = [`node.expanded ${digest(cipher)}`];
lines.push(`node.galois_4097 ${digest(evaluator.applyGalois(cipher, 4097, keys))}`);
lines.push(`node.times_plain ${digest(evaluator.multiplyPlain(cipher, plain))}`);
writeFileSync(`${out}/node.golden`, lines.join('\n') + '\n');
