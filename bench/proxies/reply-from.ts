/**
 * Fastify with @fastify/reply-from: bearer match, headers set and deleted, Fastify's own log to a file. Its arguments are the gateway and, for
 * mutual TLS, the files of certificate, key and authority.
 */
import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { fastifyReplyFrom } from '@fastify/reply-from';
import { fastify } from 'fastify';
import { listen } from '../listen.ts';

const [base, ...files] = process.argv.slice(2);
const [cert, key, ca] = files.map((path) => readFileSync(path));
const connect = cert && key && ca ? { cert, key, ca } : {};
const allowed = `Bearer ${process.env.BENCH_TOKEN}`;
const secret = `Bearer ${process.env.BENCH_SECRET}`;

const server = fastify({ logger: { level: 'info' }, bodyLimit: 20 * 1024 * 1024 });
await server.register(fastifyReplyFrom, {
  base: base as string,
  undici: { connect, connections: 1_000_000, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 },
});
// The body is only carried.
server.removeAllContentTypeParsers();
server.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

function rewriteRequestHeaders(_: unknown, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const kept: IncomingHttpHeaders = {};
  for (const name in headers) {
    if (/^(x-openclaw-|x-forwarded-|forwarded$|x-real-ip$|cookie$|origin$|referer$)/.test(name)) continue;
    kept[name] = headers[name];
  }
  kept.authorization = secret;
  kept['x-openclaw-scopes'] = 'operator.read,operator.write';
  return kept;
}

server.all('/*', (request, reply) => {
  if (request.headers.authorization !== allowed) return reply.code(401).send({ error: 'invalid_token' });
  return reply.from(request.url, { rewriteRequestHeaders });
});
await server.ready();
listen(server.server);
