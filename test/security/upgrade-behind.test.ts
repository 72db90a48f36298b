/** Behind a head with `Upgrade` Node's parser throws away the rest of the read: nothing may be read there any more. */
import t from 'tap';
import { startRawGateway } from '../helpers/raw-gateway.ts';
import { openRaw } from '../helpers/raw.ts';
import { authorized, get, post } from '../helpers/request-bytes.ts';
import { startStack } from '../helpers/stack.ts';

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: h2c\r\n';
const CHAT = '{"model":"openclaw"}';
const INNER = post(`Content-Length: ${CHAT.length}\r\n`, CHAT);
const OUTER = `POST /v1/responses HTTP/1.1\r\n${authorized()}Content-Length: ${INNER.length}\r\n\r\n`;

const CASES: Readonly<Record<string, { readonly head: string; readonly status: number; readonly passes: number }>> = {
  'that passes': { head: get('/v1/models', UPGRADE), status: 200, passes: 1 },
  'that is not exposed': { head: get('/nowhere', UPGRADE), status: 404, passes: 0 },
  'without a credential': {
    head: `GET /healthz HTTP/1.1\r\nHost: localhost\r\n${UPGRADE}\r\n`,
    status: 200,
    passes: 1,
  },
  'with a body': { head: post(`${UPGRADE}Content-Length: 2\r\n`, '{}'), status: 200, passes: 1 },
  'of a preflight': {
    head: `OPTIONS /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n${UPGRADE}\r\n`,
    status: 204,
    passes: 0,
  },
};

for (const [name, { head, status, passes }] of Object.entries(CASES)) {
  void t.test(`a request ${name} is the last of its connection`, async (t) => {
    const gateway = await startRawGateway(t);
    const { port } = await startStack(t, {
      gatewayUrl: gateway.url,
      listen: '{ port: 0, health: true, origins: ["https://app.example"] }',
    });
    const raw = await openRaw(t, port);
    raw.send(`${head}${OUTER}`);
    await raw.until((text) => text.startsWith(`HTTP/1.1 ${status}`));
    raw.send(INNER);
    const text = await raw.closed();
    t.match(text, /\r\nconnection: close\r\n/i);
    t.equal(text.split('HTTP/1.1 ').length - 1, 1);
    t.equal(gateway.text.split(' HTTP/1.1\r\n').length - 1, passes, 'the smuggled request reached nobody');
  });
}
