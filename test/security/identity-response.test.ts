/** Row H26 of the security cases: what the gateway echoes of the hop does not reach the caller. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { HOP_HEADER, HOP_VALUE, HOPS, startHop, USER_HEADER } from '../helpers/hops.ts';
import { rawExchange } from '../helpers/raw.ts';
import { GATEWAY_SECRET, TOKENS } from '../helpers/stack.ts';

/** A gateway that sends every request header back, as a header and as a trailer, and names the rest of the hop. */
async function startEcho(t: Test, status: number): Promise<string> {
  const server = createServer((req, res) => {
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      const name = req.rawHeaders[i] as string;
      const value = req.rawHeaders[i + 1] as string;
      if (['connection', 'host'].includes(name.toLowerCase())) continue;
      res.appendHeader(name, value);
      res.appendHeader(name.replaceAll('-', '_').toUpperCase(), value);
    }
    res.setHeader('Set-Cookie', ['session=1', 'other=2']);
    res.setHeader('X-Hop', '1');
    res.setHeader('Connection', 'keep-alive, x-hop');
    res.setHeader('Access-Control-Allow-Origin', '*');
    res.setHeader('X-Kept', 'yes');
    res.setHeader('X-Request-Id', 'of-the-gateway');
    res.setHeader('Trailer', 'x-openclaw-scopes');
    res.writeHead(status);
    res.write('body');
    res.addTrailers([['x-openclaw-scopes', 'operator.read']]);
    res.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

for (const hop of HOPS) {
  for (const status of [200, 302, 403, 404, 500]) {
    void t.test(`${hop} hop, ${status}`, async (t) => {
      const stack = await startHop(t, hop, { gatewayUrl: await startEcho(t, status) });
      const head = `GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKENS.reader}\r\n`;
      const logged = stack.nextLine();
      const answer = await rawExchange(stack.port, `${head}X-Mine: mine\r\nCookie: a=b\r\n\r\n`);
      await logged;
      t.equal(answer.status, status);
      t.equal(answer.body, 'body');
      const names = answer.rawHeaders.filter((_, i) => i % 2 === 0);
      t.strictSame(names.toSorted(), [
        'connection',
        'date',
        'keep-alive',
        'traceparent',
        'traceparent',
        'transfer-encoding',
        'x-kept',
        'x-mine',
        'x-request-id',
        'x_mine',
      ]);
      t.match(answer.headers['x-request-id'], /^[0-9a-f-]{36}$/);
      const told = `${answer.text}\n${JSON.stringify(stack.lines)}`.toLowerCase();
      for (const secret of [
        GATEWAY_SECRET,
        USER_HEADER,
        HOP_HEADER,
        HOP_VALUE,
        TOKENS.reader,
        'x-openclaw',
        'session=1',
      ]) {
        t.notOk(told.includes(secret.toLowerCase()));
        t.notOk(told.includes(secret.toLowerCase().replaceAll('-', '_')));
      }
    });
  }
}
