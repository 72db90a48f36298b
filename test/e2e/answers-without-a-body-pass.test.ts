import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { sendRaw } from '../helpers/raw.ts';
import { get } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

interface Case {
  readonly name: string;
  readonly method: 'GET' | 'HEAD';
  readonly answer: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
}

const CASES: readonly Case[] = [
  {
    name: '204',
    method: 'GET',
    answer: 'HTTP/1.1 204 No Content\r\n\r\n',
    headers: { 'transfer-encoding': undefined },
  },
  {
    name: '204 with framing that it must not have',
    method: 'GET',
    answer: 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    headers: { 'transfer-encoding': undefined },
  },
  { name: '304', method: 'GET', answer: 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', headers: { etag: '"a"' } },
  {
    name: '304 with the length of what was not sent',
    method: 'GET',
    answer: 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n',
    headers: { 'content-length': '99' },
  },
  {
    name: 'HEAD with a length',
    method: 'HEAD',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n',
    headers: { 'content-length': '99' },
  },
  {
    name: 'HEAD of an event stream',
    method: 'HEAD',
    answer: 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
    headers: { 'content-type': 'text/event-stream' },
  },
  {
    name: 'HEAD refused by the gateway',
    method: 'HEAD',
    answer: 'HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n',
    headers: { 'content-length': '9' },
  },
  {
    name: 'an empty 200',
    method: 'GET',
    answer: 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
    headers: { 'content-length': '0' },
  },
];

void t.test('the next answer on the connection is the next request’s', async (t) => {
  for (const { name, method, answer, headers } of CASES) {
    await t.test(name, async (t) => {
      const gateway = await startRawGateway(t, {
        onRequest: ({ socket }, nth) =>
          void socket.write(nth === 1 ? answer : 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext'),
      });
      const more = 'routes: [{ method: HEAD, path: /v1/models, scope: operator.read }]\nstream: { heartbeat: 5ms }';
      const { port } = await startStack(t, { gatewayUrl: gateway.url, more });
      const { responses, text } = await sendRaw(port, get('/v1/models').replace('GET', method) + get('/v1/models'), {
        responses: 2,
        methods: [method, 'GET'],
      });
      t.equal(responses[0]?.status, Number(answer.slice(9, 12)));
      t.match(responses[0]?.headers, headers);
      for (const [name, value] of Object.entries(headers)) t.equal(responses[0]?.headers[name], value);
      t.equal(responses[1]?.body, 'next');
      t.notMatch(text, /keep-alive\n\n/);
    });
  }
});
