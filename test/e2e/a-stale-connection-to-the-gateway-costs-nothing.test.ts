import t from 'tap';
import { JSON_ANSWER, startRawGateway } from '../helpers/raw-gateway.ts';
import { readRequests } from '../helpers/requests.ts';
import { rawExchange } from '../helpers/raw.ts';
import { chunked, get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

const REQUESTS = [
  get('/v1/models'),
  post('Content-Length: 2\r\n', '{}'),
  post('Transfer-Encoding: chunked\r\n', chunked('{}')),
];

void t.test('a connection is used again', async (t) => {
  const gateway = await startRawGateway(t);
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  for (const bytes of REQUESTS) t.equal((await rawExchange(port, bytes)).status, 200);
  t.equal(gateway.connections.length, 1);
});

void t.test('one that the gateway closed while it was idle is not', async (t) => {
  for (const how of ['end', 'reset'] as const) {
    const gateway = await startRawGateway(t);
    const { port } = await startStack(t, { gatewayUrl: gateway.url });
    for (const bytes of REQUESTS) {
      t.equal((await rawExchange(port, bytes)).status, 200, how);
      const last = gateway.connections.at(-1)?.socket;
      if (how === 'end') last?.end();
      else last?.resetAndDestroy();
    }
    t.equal(gateway.connections.length, 3);
    for (const { text } of gateway.connections) t.equal(readRequests(text).length, 1);
  }
});

void t.test('nor one whose Keep-Alive says that its time is over', async (t) => {
  const gateway = await startRawGateway(t, {
    onRequest: ({ socket }) => void socket.write(JSON_ANSWER.replace('\r\n\r\n', '\r\nKeep-Alive: timeout=2\r\n\r\n')),
  });
  const { port } = await startStack(t, { gatewayUrl: gateway.url });
  for (const bytes of REQUESTS) t.equal((await rawExchange(port, bytes)).status, 200);
  t.equal(gateway.connections.length, 3);
});

void t.test('one that dies under a request is 502, and the request is never sent twice', async (t) => {
  for (const bytes of REQUESTS) {
    const gateway = await startRawGateway(t, {
      onRequest: ({ socket }, nth) => void (nth === 2 ? socket.destroy() : socket.write(JSON_ANSWER)),
    });
    const { port } = await startStack(t, { gatewayUrl: gateway.url });
    t.equal((await rawExchange(port, bytes)).status, 200);
    t.equal((await rawExchange(port, bytes)).status, 502);
    t.equal(gateway.connections.length, 1);
    t.equal(readRequests(gateway.text).length, 2);
    t.equal((await rawExchange(port, bytes)).status, 200);
  }
});
