// Searches a collection without the server learning the query or the result.
//   npm ci && ALCOVE_KEY=… node search.mjs packages "draw diagrams from text"
// Of a large collection, only the clusters near the query and near N - 1 decoys, see README.md:
//   ALCOVE_KEY=… node search.mjs --clusters N packages "draw diagrams from text"
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import SEAL from 'node-seal/throws_wasm_node_umd.js';
import { PrivateClient, groupSecretFrom, hexOf, newGroupSecret } from './private_client.mjs';

// The secret that fixes the decoys, made when there is none; the same file that alcovectl keeps.
function groupSecret(folder) {
  const path = join(folder, 'group_secret');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  try {
    writeFileSync(path, `${hexOf(newGroupSecret())}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  if (statSync(path).mode & 0o077) throw new Error(`${path} can be read by others; run chmod 600 on it`);
  return groupSecretFrom(readFileSync(path, 'utf8'));
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    clusters: { type: 'string', default: '0' },
    neighbours: { type: 'string', default: '8' },
    keys: { type: 'string', default: join(homedir(), '.alcove', 'private') },
  },
});
const [collection, text, count = '10'] = positionals;
const [clusters, neighbours] = [Number(flags.clusters), Number(flags.neighbours)];
if (!text || !Number.isInteger(clusters) || clusters < 0 || !Number.isInteger(neighbours) || neighbours < 1) {
  console.error('usage: node search.mjs [--clusters N] [--neighbours N] [--keys FOLDER] COLLECTION TEXT [COUNT]');
  process.exit(2);
}
const url = process.env.ALCOVE ?? 'http://127.0.0.1:8080';
const apiKey = process.env.ALCOVE_KEY ?? '';

const seal = await SEAL();
const client = await PrivateClient.create(seal, { url, apiKey, groupSecret: clusters > 0 ? groupSecret(flags.keys) : null });
await client.uploadKeys('example');
// The text is sealed to the process that runs the model, which sees it; the gateway does not. A program with a model of its
// own embeds it here instead, and nothing but ciphertext leaves.
const vector = await client.embedSealed(process.env.ALCOVE_MODEL ?? '', text);
const { parameters, blocks, hits } = await client.search(collection, vector, Number(count), { clusters, neighbours });
if (clusters > 0 && blocks === null) console.error('note: too few clusters to hide among; the whole collection was scored');
await client.fetchDocuments(hits, parameters);
if (process.env.ALCOVE_JSON) {
  console.log(JSON.stringify({ hits, steps: client.steps, rows: parameters.rows, named_blocks: blocks ?? [] }));
} else {
  for (const hit of hits) console.log(hit.score.toFixed(4), hit.id, hit.text.slice(0, 70));
  console.log();
  for (const s of client.steps) console.log(`${s.name.padEnd(32)} ${s.ms.toFixed(0).padStart(6)} ms  ${s.sent} B sent, ${s.received} B received`);
}
