// The gateway through @grpc/grpc-js: run by `node --test` with ALCOVE_ADDRESS and ALCOVE_KEY set.
import assert from 'node:assert/strict';
import path from 'node:path';
import {test} from 'node:test';
import {fileURLToPath} from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const googleapis = '/usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis';
const address = process.env.ALCOVE_ADDRESS;
const key = process.env.ALCOVE_KEY;

const definition = protoLoader.loadSync(
    ['alcove/gateway/v1/gateway.proto', 'alcove/vector/v1/vector.proto', 'alcove/inference/v1/inference.proto'],
    {includeDirs: [path.join(root, 'protos'), googleapis], keepCase: true, enums: String, longs: Number});
const {alcove} = grpc.loadPackageDefinition(definition);

function client(Service) {
  return new Service(address, grpc.credentials.createInsecure());
}

function call(service, method, request, metadata = {authorization: `Bearer ${key}`}) {
  const headers = new grpc.Metadata();
  for (const [name, value] of Object.entries(metadata)) headers.set(name, value);
  return new Promise((resolve, reject) => service[method](
      request, headers, {deadline: Date.now() + 60000}, (error, reply) => error ? reject(error) : resolve(reply)));
}

const vectors = client(alcove.vector.v1.VectorService);
const documents = client(alcove.gateway.v1.DocumentService);
const inference = client(alcove.inference.v1.InferenceService);
const name = `js${Date.now()}`;

test('creates a collection, stores documents and finds them', async () => {
  const created = await call(vectors, 'CreateCollection', {collection: {name, embedding_model: 'default'}});
  assert.equal(created.collection.name, name);
  await call(documents, 'UpsertDocuments',
      {collection: name, wait: true, documents: [{id: 'a', text: 'a red bicycle'}, {id: 'b', text: 'tax law'}]});
  const found = await call(documents, 'Search', {collection: name, query: 'cycling'});
  assert.equal(found.hits[0].id, 'a');
});

test('embeds texts', async () => {
  const reply = await call(inference, 'Embed', {texts: ['one', 'two']});
  assert.equal(reply.embeddings.length, 2);
  assert.equal(reply.embeddings[0].values.length, 384);
});

test('gets UNAUTHENTICATED without a key and NOT_FOUND for what is not there', async () => {
  await assert.rejects(call(vectors, 'ListCollections', {}, {}), {code: grpc.status.UNAUTHENTICATED});
  await assert.rejects(call(vectors, 'GetCollection', {name: 'nowhere'}), {code: grpc.status.NOT_FOUND});
});

test('removes the collection', async () => {
  await call(vectors, 'DeleteCollection', {name});
  // At once, whichever node is asked.
  for (let i = 0; i < 4; ++i) {
    await assert.rejects(call(vectors, 'GetCollection', {name}), {code: grpc.status.NOT_FOUND});
  }
});

test('closes its connections', () => {
  for (const service of [vectors, documents, inference]) service.close();
});
