// Semantic search by gRPC from Node.js. The protos are read when the program starts; google/api/*.proto come with Debian's
// golang-github-grpc-ecosystem-grpc-gateway-dev (another folder that holds them: GOOGLEAPIS).
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const protos = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../protos');
const googleapis = process.env.GOOGLEAPIS ??
    '/usr/share/gocode/src/github.com/grpc-ecosystem/grpc-gateway/third_party/googleapis';
const address = (process.env.ALCOVE ?? 'http://127.0.0.1:8080').replace('http://', '');
const {alcove} = grpc.loadPackageDefinition(protoLoader.loadSync(
    ['alcove/gateway/v1/gateway.proto', 'alcove/vector/v1/vector.proto'], {includeDirs: [protos, googleapis], keepCase: true, enums: String}));

const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${process.env.ALCOVE_KEY}`);
const call = (client, method, request) => new Promise((resolve, reject) => client[method](
    request, metadata, {deadline: Date.now() + 30000}, (error, reply) => error ? reject(error) : resolve(reply)));
const open = (Service) => new Service(address, grpc.credentials.createInsecure());

const collections = open(alcove.vector.v1.VectorService);
const documents = open(alcove.gateway.v1.DocumentService);
const name = `example-node-${process.pid}`;
await call(collections, 'CreateCollection', {collection: {name, embedding_model: 'default'}});
try {
  await call(documents, 'UpsertDocuments', {collection: name, wait: true, documents: [
    {id: 'graphviz', text: 'draws graphs from a description in text'},
    {id: 'gimp', text: 'edits photographs and paintings'},
    {id: 'audacity', text: 'records and edits sound'}]});
  const {hits} = await call(documents, 'Search', {collection: name, query: 'retouch a picture', limit: 2});
  for (const hit of hits) console.log(`${hit.score.toFixed(3)}  ${hit.id}: ${hit.text}`);
} finally {
  await call(collections, 'DeleteCollection', {name});
  collections.close();
  documents.close();
}
