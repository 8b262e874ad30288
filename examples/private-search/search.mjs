// Searches a collection without the server learning the query or the result.
//   npm ci && ALCOVE_KEY=… node search.mjs packages "draw diagrams from text"
import SEAL from 'node-seal/throws_wasm_node_umd.js';
import { PrivateClient } from './private_client.mjs';

const [collection, text, count = '10'] = process.argv.slice(2);
if (!text) {
  console.error('usage: node search.mjs COLLECTION TEXT [COUNT]');
  process.exit(2);
}
const url = process.env.ALCOVE ?? 'http://127.0.0.1:8080';
const apiKey = process.env.ALCOVE_KEY ?? '';

const seal = await SEAL();
const client = await PrivateClient.create(seal, { url, apiKey });
await client.uploadKeys('example');
// The text is sealed to the process that runs the model, which sees it; the gateway does not. A program with a model of its
// own embeds it here instead, and nothing but ciphertext leaves.
const vector = await client.embedSealed(process.env.ALCOVE_MODEL ?? '', text);
const { parameters, hits } = await client.search(collection, vector, Number(count));
await client.fetchDocuments(hits, parameters);
if (process.env.ALCOVE_JSON) {
  console.log(JSON.stringify({ hits, steps: client.steps, rows: parameters.rows }));
} else {
  for (const hit of hits) console.log(hit.score.toFixed(4), hit.id, hit.text.slice(0, 70));
  console.log();
  for (const s of client.steps) console.log(`${s.name.padEnd(32)} ${s.ms.toFixed(0).padStart(6)} ms  ${s.sent} B sent, ${s.received} B received`);
}
